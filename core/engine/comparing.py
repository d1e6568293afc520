"""What the scores of one explainer come to: q over all of its heads, and next-token against random neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headtorch.core.analysis.score import with_adjusted_p
from headtorch.core.analysis.score_comparison import compare_sets
from headtorch.core.analysis.score_summary import GroupScores
from headtorch.core.events import AnyEvent, BaselineCompared, ScoresAdjusted
from headtorch.core.records import AdjustedP, GroupMean, Score
from headtorch.core.study.study import Study


def compare(study: Study, explainer: str) -> Iterator[AnyEvent]:
    """The adjusted p values of the explainer's scores, and the means of both groups of neurons."""
    state = study.state
    scores = state.family_scores(explainer)
    untested = len(state.explainable()) - len(scores)
    adjusted = with_adjusted_p(scores, untested=untested)
    yield ScoresAdjusted(
        method="Benjamini-Yekutieli",
        tests=sum(one.p is not None for one in scores) + untested,
        adjusted=[
            AdjustedP(neuron=one.neuron, head=one.head, explainer=one.explainer, q=one.q)
            for one in adjusted
            if one.q is not None
        ],
        explainer=explainer,
    )
    random = {neuron for neuron, row in state.neurons.items() if row.random}
    alike = [one for one in adjusted if not one.lower]  # a contrast with weaker firing is another, easier question
    of_random = [one for one in alike if one.neuron in random]
    of_found = [one for one in alike if one.neuron not in random]
    comparison = compare_sets(of_found, of_random)
    yield BaselineCompared(
        explainer=explainer,
        next_token=_group(comparison.first, of_found),
        random=_group(comparison.second, of_random),
        difference=comparison.difference,
        interval=comparison.interval,
    )


def compare_again(study: Study, explainer: str) -> Iterator[AnyEvent]:
    """The same, after single heads were scored; nothing where the explainer's heads were never compared."""
    if explainer in study.state.adjustments:
        yield from compare(study, explainer)


def _group(group: GroupScores, scores: Sequence[Score]) -> GroupMean:
    known = [one.e for one in scores if one.e is not None]
    return GroupMean(
        mean=group.mean,
        median=float(np.median(known)) if known else None,
        interval=group.interval,
        heads=group.n_heads,
        neurons=group.n_neurons,
        above_chance=group.above_chance,
    )
