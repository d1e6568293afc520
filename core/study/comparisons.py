"""Scores side by side: next-token against random neurons, explainer against explainer, study against study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from headtorch.core.analysis.score_comparison import Comparison, by_head, compare_pairs, compare_sets
from headtorch.core.analysis.score_summary import GroupScores, group_scores
from headtorch.core.records import Record, Score
from headtorch.core.study.state import ExplainedHead, StudyState

GroupName = Literal["next-token", "random"]
GROUPS: tuple[GroupName, ...] = ("next-token", "random")


class ExplainerScores(Record, frozen=True, kw_only=True):
    """One explainer's scores of a group of neurons.

    Heads that were held against weaker firing are left out: that is another, easier question.
    """

    study: str
    explainer: str
    judges: list[str]
    group: GroupName
    scores: GroupScores
    values: list[float]  # E of each scorable head, lowest first
    lower: int  # heads left out
    unanswered: int  # heads that a language model did not answer for


class Against(Record, frozen=True, kw_only=True):
    """Two sets of scores, named, and how they compare."""

    first: str
    second: str
    first_values: list[float]
    second_values: list[float]
    comparison: Comparison


class StudyScores:
    """A study's scores by explainer and group. `scores` may be others than those stored, of the same heads."""

    def __init__(self, name: str, state: StudyState, scores: Mapping[ExplainedHead, Score] | None = None) -> None:
        self.name, self.state = name, state
        self._scores = state.scores if scores is None else scores
        self._random = {row.neuron for row in state.random_neurons()}

    @property
    def explainers(self) -> list[str]:
        """Those with a score among the study's own heads."""
        return [name for name in self.state.explainers() if self._family(name)]

    def of(self, explainer: str, group: GroupName) -> list[Score]:
        """The scores of a group, without those against weaker firing."""
        return [one for one in self._group(explainer, group) if not one.lower]

    def groups(self) -> list[ExplainerScores]:
        """Every explainer's scores of either group of neurons."""
        return [self._summary(explainer, group) for explainer in self.explainers for group in GROUPS]

    def against_random(self) -> list[Against]:
        """Next-token against random neurons, for each explainer that scored some of both."""
        found = []
        for explainer in self.explainers:
            first, second = self.of(explainer, "next-token"), self.of(explainer, "random")
            if first and second:
                names = f"{explainer}: next-token neurons", "random neurons"
                found.append(_against(*names, first, second, compare_sets(first, second)))
        return found

    def between_explainers(self) -> list[Against]:
        """Every two explainers, on the heads of next-token neurons that both have scored."""
        found = []
        for second, first in combinations(self.explainers, 2):
            one, other = by_head(self.of(first, "next-token")), by_head(self.of(second, "next-token"))
            shared = [key for key in one if key in other and None not in (one[key].e, other[key].e)]
            if shared:
                comparison = compare_pairs(one, other)
                values = [one[key] for key in shared], [other[key] for key in shared]
                found.append(_against(first, f"{second}, same heads", *values, comparison))
        return found

    def _family(self, explainer: str) -> list[Score]:
        keys = [(one.neuron, one.head, explainer) for one in self.state.explainable()]
        return [self._scores[key] for key in keys if key in self._scores]

    def _group(self, explainer: str, group: GroupName) -> list[Score]:
        return [one for one in self._family(explainer) if (one.neuron in self._random) == (group == "random")]

    def _summary(self, explainer: str, group: GroupName) -> ExplainerScores:
        everything, scores = self._group(explainer, group), self.of(explainer, group)
        judgements = self.state.judgements
        judges = [judgements[key].judge for one in everything if (key := _key(one)) in judgements]
        left = [key for key in self.state.unanswered if key[2] == explainer and key[0] in self.state.neurons]
        return ExplainerScores(
            study=self.name,
            explainer=explainer,
            judges=list(dict.fromkeys(judges)),
            group=group,
            scores=group_scores(scores),
            values=_known(scores),
            lower=len(everything) - len(scores),
            unanswered=sum((neuron in self._random) == (group == "random") for neuron, _, _ in left),
        )


def between_studies(studies: Sequence[StudyScores]) -> list[Against]:
    """Every two studies, for each explainer that both have: the heads of their next-token neurons."""
    found = []
    for one, other in combinations(studies, 2):
        for explainer in [name for name in one.explainers if name in other.explainers]:
            first, second = one.of(explainer, "next-token"), other.of(explainer, "next-token")
            if _known(first) and _known(second):
                comparison = compare_sets(first, second)
                found.append(_against(f"{explainer}: {one.name}", other.name, first, second, comparison))
    return found


def _against(
    first: str, second: str, scores: Sequence[Score], others: Sequence[Score], comparison: Comparison
) -> Against:
    return Against(
        first=first,
        second=second,
        first_values=_known(scores),
        second_values=_known(others),
        comparison=comparison,
    )


def _known(scores: Sequence[Score]) -> list[float]:
    return sorted(score.e for score in scores if score.e is not None)


def _key(score: Score) -> ExplainedHead:
    return score.neuron, score.head, score.explainer
