"""How well an explanation tells, on unseen prompts, when a head is active.

E = (TPR + TNR)/2 (Neo, Cohen and Barez, arXiv 2402.15055), with what makes the number mean something: the counts, an
interval, an exact test, and the same score for explanations that should do no better than chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from headtorch.core.analysis.halves import assert_disjoint, near_copies, prompt_text
from headtorch.core.analysis.statistics import (
    balanced_accuracy,
    balanced_accuracy_interval,
    benjamini_yekutieli,
    f1_score,
    fisher_p,
    matthews,
)
from headtorch.core.records import Control, Explanation, HeadActivity, Prompt, Score, Verdict

JudgeFunction = Callable[[Explanation, Sequence[Sequence[str]]], Sequence[Verdict]]

PER_CLASS = 40
SHUFFLES = 20


@dataclass(frozen=True)
class LabelledText:
    """A random place of the corpus: its tokens and whether the head is active there."""

    tokens: tuple[str, ...]
    active: bool


@dataclass(frozen=True)
class _Counts:
    """The table behind a score, in the order that the statistics take it. An unusable verdict is never a true one."""

    true_active: int
    n_active: int
    true_inactive: int
    n_inactive: int

    @classmethod
    def of(cls, labels: Sequence[bool], verdicts: Sequence[Verdict]) -> _Counts:
        pairs = list(zip(labels, verdicts, strict=True))
        return cls(
            true_active=sum(label and verdict is True for label, verdict in pairs),
            n_active=sum(labels),
            true_inactive=sum(not label and verdict is False for label, verdict in pairs),
            n_inactive=len(pairs) - sum(labels),
        )

    @property
    def table(self) -> tuple[int, int, int, int]:
        return self.true_active, self.n_active, self.true_inactive, self.n_inactive


def score_explanation(
    prompts: Sequence[Prompt],
    activity: HeadActivity,
    explanation: Explanation,
    judge: JudgeFunction,
    *,
    texts: Sequence[Sequence[str]] | None = None,
    copies: Collection[int] | None = None,
    others: Sequence[Explanation] = (),
    random_text: Sequence[LabelledText] = (),
    per_class: int = PER_CLASS,
    shuffles: int = SHUFFLES,
    seed: int = 0,
) -> Score:
    """Score one head's explanation on the scoring half of the neuron's prompts.

    prompts: those that `activity.active` labels, in its order
    texts: what the judge reads of each prompt, up to and including the firing token; the kept tokens where not given
    copies: scoring prompts to drop as near-copies of explaining ones; found by `near_copies` where not given
    others: explanations of other heads, judged on this head's prompts as a control
    random_text: random places of the corpus, for the precision of the "active" calls there

    At most `per_class` prompts of each class are used, the first in order; active ones from lower activation bins come
    before the strongest, which would leave them no room. An unusable answer counts as wrong and is counted apart. With
    an empty class nothing is judged, and e and all that depends on it is None: not scorable.
    Raises AssertionError when the halves share a document or a cluster.
    """
    _check(prompts, activity, explanation)
    dropped = near_copies(prompts) if copies is None else copies
    unseen = [i for i, prompt in enumerate(prompts) if prompt.half == "score" and i not in dropped]
    chosen = _first_of_each(_hard_first(prompts, activity.active, unseen), activity.active, per_class)
    labels = [activity.active[i] for i in chosen]
    shown = [prompt_text(prompts[i]) if texts is None else texts[i] for i in chosen]
    scorable = any(labels) and not all(labels)
    verdicts = _ask(judge, explanation, shown) if scorable else []
    counts = _Counts.of(labels, verdicts) if scorable else _Counts(0, sum(labels), 0, len(labels) - sum(labels))
    wrong = [i for i, label, verdict in zip(chosen, labels, verdicts, strict=scorable) if verdict is not label]
    table = counts.table
    return Score(
        neuron=explanation.neuron,
        head=explanation.head,
        explainer=explanation.explainer,
        n_active=counts.n_active,
        n_inactive=counts.n_inactive,
        true_active=counts.true_active,
        true_inactive=counts.true_inactive,
        unusable=sum(verdict is None for verdict in verdicts),
        e=balanced_accuracy(*table),
        interval=balanced_accuracy_interval(*table),
        f1=f1_score(*table) if scorable else None,
        mcc=matthews(*table),
        p=fisher_p(*table),
        q=None,
        random_text_precision=_precision(judge, explanation, random_text) if scorable else None,
        controls=_controls(judge, explanation, others, shown, labels, verdicts, shuffles, seed) if scorable else [],
        dropped=sum(prompts[i].half == "score" for i in dropped),
        wrong_active=[i for i in wrong if activity.active[i]],
        wrong_inactive=[i for i in wrong if not activity.active[i]],
        lower=sum(prompts[i].bin is not None for i in chosen),
    )


def _check(prompts: Sequence[Prompt], activity: HeadActivity, explanation: Explanation) -> None:
    if len(prompts) != len(activity.active):
        raise ValueError(f"{len(prompts)} prompts but {len(activity.active)} labels.")
    if (activity.neuron, activity.head) != (explanation.neuron, explanation.head):
        raise ValueError(
            f"The explanation is of {explanation.head} for {explanation.neuron}, "
            f"the labels are of {activity.head} for {activity.neuron}."
        )
    assert_disjoint(prompts)


def _hard_first(prompts: Sequence[Prompt], active: Sequence[bool], indices: Sequence[int]) -> list[int]:
    """Weak firing where the head is active, and strong firing where it is not, before what the activation gives away.

    Without prompts from lower activation bins the order of either class stays as it is.
    """
    return sorted(indices, key=lambda i: (prompts[i].bin is None) == active[i])


def _first_of_each(indices: Sequence[int], active: Sequence[bool], per_class: int) -> list[int]:
    of_active = [i for i in indices if active[i]][:per_class]
    of_inactive = [i for i in indices if not active[i]][:per_class]
    return sorted(of_active + of_inactive)


def _ask(judge: JudgeFunction, explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[Verdict]:
    verdicts = list(judge(explanation, texts))
    if len(verdicts) != len(texts):
        raise ValueError(f"The judge gave {len(verdicts)} verdicts on {len(texts)} prompts.")
    return verdicts


def _precision(judge: JudgeFunction, explanation: Explanation, places: Sequence[LabelledText]) -> float | None:
    """Of the random places that the judge calls active, the share where the head is; None when it calls none so."""
    if not places:
        return None
    verdicts = _ask(judge, explanation, [place.tokens for place in places])
    called = [place.active for place, verdict in zip(places, verdicts, strict=True) if verdict is True]
    return sum(called) / len(called) if called else None


def _controls(
    judge: JudgeFunction,
    explanation: Explanation,
    others: Sequence[Explanation],
    texts: Sequence[Sequence[str]],
    labels: Sequence[bool],
    verdicts: Sequence[Verdict],
    shuffles: int,
    seed: int,
) -> list[Control]:
    """The score of what should do no better than chance, on the same prompts; n is their number."""
    found = []
    if others:
        scores = [balanced_accuracy(*_Counts.of(labels, _ask(judge, other, texts)).table) for other in others]
        found.append(Control(name="other head", e=_mean(scores), n=len(texts)))
    empty = msgspec.structs.replace(explanation, text="", rule=None)
    empty_score = balanced_accuracy(*_Counts.of(labels, _ask(judge, empty, texts)).table)
    found.append(Control(name="empty", e=empty_score, n=len(texts)))
    rng = np.random.default_rng(seed)
    shuffled = [
        balanced_accuracy(*_Counts.of([bool(label) for label in rng.permutation(labels)], verdicts).table)
        for _ in range(shuffles)
    ]
    found.append(Control(name="shuffled", e=_mean(shuffled), n=len(texts)))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def with_adjusted_p(scores: Sequence[Score]) -> list[Score]:
    """The scores with q filled in, over all heads given: those fixed before any was scored, not a selection of them."""
    adjusted = benjamini_yekutieli([score.p for score in scores])
    return [msgspec.structs.replace(score, q=q) for score, q in zip(scores, adjusted, strict=True)]
