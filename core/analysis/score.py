"""How well an explanation tells, on unseen prompts, when a head is active.

E = (TPR + TNR)/2 (Neo, Cohen and Barez, arXiv 2402.15055), with what makes the number mean something: the counts, an
interval, an exact test, and the same score for explanations that should do no better than chance. All of it comes from
what the judge said and the labels alone, so that a score can be computed again without asking anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from headtorch.core.analysis.statistics import (
    auroc,
    balanced_accuracy,
    balanced_accuracy_interval,
    benjamini_yekutieli,
    f1_score,
    fisher_p,
    matthews,
)
from headtorch.core.records import Control, HeadActivity, Judgement, Score, Verdict

SHUFFLES = 20


@dataclass(frozen=True)
class Counts:
    """The table behind a score, in the order that the statistics take it. An unusable verdict is never a true one."""

    true_active: int
    n_active: int
    true_inactive: int
    n_inactive: int

    @classmethod
    def of(cls, labels: Sequence[bool], verdicts: Sequence[Verdict]) -> Counts:
        """Labels and verdicts on the same prompts."""
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


def score_judgement(judgement: Judgement, activity: HeadActivity, *, shuffles: int = SHUFFLES, seed: int = 0) -> Score:
    """The score of what a judge said, against the labels of the prompts that it was shown.

    An unusable answer counts as wrong and is counted apart. With an empty class nothing is judged, and e and all that
    depends on it is None: not scorable. Raises ValueError where judgement and labels do not belong together.
    """
    _check(judgement, activity)
    labels = [activity.active[i] for i in judgement.prompts]
    verdicts = judgement.verdicts
    scorable = is_scorable(labels)
    counts = Counts.of(labels, verdicts) if scorable else Counts(0, sum(labels), 0, len(labels) - sum(labels))
    judged = zip(judgement.prompts, labels, verdicts, strict=scorable)
    wrong = [i for i, label, verdict in judged if scorable and verdict is not label]
    table = counts.table
    return Score(
        neuron=judgement.neuron,
        head=judgement.head,
        explainer=judgement.explainer,
        n_active=counts.n_active,
        n_inactive=counts.n_inactive,
        true_active=counts.true_active,
        true_inactive=counts.true_inactive,
        unusable=sum(verdict is None for verdict in verdicts) if scorable else 0,
        e=balanced_accuracy(*table),
        interval=balanced_accuracy_interval(*table),
        f1=f1_score(*table) if scorable else None,
        mcc=matthews(*table),
        p=fisher_p(*table),
        q=None,
        random_text_precision=_precision(judgement) if scorable else None,
        controls=_controls(judgement, activity, labels, shuffles, seed) if scorable else [],
        dropped=judgement.dropped,
        wrong_active=[i for i in wrong if activity.active[i]],
        wrong_inactive=[i for i in wrong if not activity.active[i]],
        lower=sum(i >= len(activity.active) - activity.lower for i in judgement.prompts),
        auroc=_auroc(judgement.probabilities, labels) if scorable else None,
    )


def is_scorable(labels: Sequence[bool]) -> bool:
    """Whether there are prompts of both classes: with one only, no verdict can tell an explanation from a guess."""
    return any(labels) and not all(labels)


def _check(judgement: Judgement, activity: HeadActivity) -> None:
    if (activity.neuron, activity.head) != (judgement.neuron, judgement.head):
        raise ValueError(
            f"The judgement is of {judgement.head} for {judgement.neuron}, "
            f"the labels are of {activity.head} for {activity.neuron}."
        )
    shown = [*judgement.prompts, *judgement.control_prompts]
    if shown and max(shown) >= len(activity.active):
        raise ValueError(f"A verdict on prompt {max(shown)}, but {len(activity.active)} labels.")
    if is_scorable([activity.active[i] for i in judgement.prompts]):
        _check_length(judgement.verdicts, judgement.prompts)
        for verdicts in (*judgement.others, judgement.empty):
            _check_length(verdicts, judgement.control_prompts)
        _check_length(judgement.random_verdicts, judgement.random_active)
        if judgement.probabilities:
            _check_length(judgement.probabilities, judgement.prompts)


def _check_length(verdicts: Sequence[Verdict | float], shown: Sequence[object]) -> None:
    if len(verdicts) != len(shown):
        raise ValueError(f"The judge gave {len(verdicts)} verdicts on {len(shown)} prompts.")


def _auroc(probabilities: Sequence[float | None], labels: Sequence[bool]) -> float | None:
    """Over the prompts that have a probability; None where these are of one class."""
    pairs = [(p, label) for p, label in zip(probabilities, labels, strict=False) if p is not None]
    return auroc([p for p, _ in pairs], [label for _, label in pairs]) if pairs else None


def _precision(judgement: Judgement) -> float | None:
    """Of the random places that the judge calls active, the share where the head is; None when it calls none so."""
    pairs = zip(judgement.random_active, judgement.random_verdicts, strict=True)
    called = [active for active, verdict in pairs if verdict is True]
    return sum(called) / len(called) if called else None


def _controls(
    judgement: Judgement, activity: HeadActivity, labels: Sequence[bool], shuffles: int, seed: int
) -> list[Control]:
    """The score of what should do no better than chance, on this head's prompts; n is their number."""
    found = []
    of_controls = [activity.active[i] for i in judgement.control_prompts]
    if judgement.others:
        scores = [balanced_accuracy(*Counts.of(of_controls, verdicts).table) for verdicts in judgement.others]
        found.append(Control(name="other head", e=_mean(scores), n=len(of_controls)))
    empty = balanced_accuracy(*Counts.of(of_controls, judgement.empty).table)
    found.append(Control(name="empty", e=empty, n=len(of_controls)))
    rng = np.random.default_rng(seed)
    shuffled = [
        balanced_accuracy(*Counts.of([bool(label) for label in rng.permutation(labels)], judgement.verdicts).table)
        for _ in range(shuffles)
    ]
    found.append(Control(name="shuffled", e=_mean(shuffled), n=len(labels)))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def with_adjusted_p(scores: Sequence[Score], *, untested: int = 0) -> list[Score]:
    """The scores with q filled in, over all heads fixed before any was scored, not over a selection of them.

    `untested` of these have no score, for want of an answer; they count as tests that found nothing (p = 1).
    """
    adjusted = benjamini_yekutieli([*(score.p for score in scores), *[1.0] * untested])
    return [msgspec.structs.replace(score, q=q) for score, q in zip(scores, adjusted, strict=False)]
