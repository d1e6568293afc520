"""Scores of a fixed judgement when its labels are corrupted: what theory says they must fall to, they fall to.

With TP of n₁ active and TN of n₀ inactive prompts judged right, c = TP + n₀ − TN prompts are called active. If a share
f of the labels of either class is exchanged for the other, n₁' = (1 − f)·n₁ + f·n₀ and n₀' are fixed, and

    E[TP'] = (1 − f)·TP + f·(n₀ − TN)        E[TN'] = (1 − f)·TN + f·(n₁ − TP)

E' = (TP'/n₁' + TN'/n₀')/2, F1' = 2·TP'/(c + n₁') and MCC' = (TP'·n − c·n₁')/√(c·(n − c)·n₁'·n₀') are linear in these,
so their means follow; for n₁ = n₀ that of E' is ½ + (E − ½)(1 − 2f). A full shuffle has E[TP'] = c·n₁/n, hence E' = ½,
MCC' = 0 and F1' = 2·c·n₁/(n·(c + n₁)) on average.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from headtorch.core.analysis.score import score_judgement
from headtorch.core.records import HeadActivity, HeadId, Judgement, NeuronId, Score, Verdict

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)
DRAWS = 1500
CASES = [(20, 20, 17, 15), (40, 12, 33, 9), (8, 40, 8, 22), (16, 16, 4, 5)]  # n₁, n₀, TP, TN


def labelled(active: list[bool]) -> HeadActivity:
    return HeadActivity(
        neuron=NEURON,
        head=HEAD,
        rule="baseline",
        suppressing=False,
        active=active,
        explain_share=0.5,
        mean_active=None,
        mean_inactive=None,
    )


def judged(verdicts: list[Verdict]) -> Judgement:
    return Judgement(
        neuron=NEURON,
        head=HEAD,
        explainer="rules",
        judge="rule",
        prompts=list(range(len(verdicts))),
        verdicts=verdicts,
    )


def case(n_active: int, n_inactive: int, true_active: int, true_inactive: int) -> tuple[list[bool], list[Verdict]]:
    labels = [True] * n_active + [False] * n_inactive
    right = [i < true_active for i in range(n_active)] + [i < true_inactive for i in range(n_inactive)]
    return labels, [label if ok else not label for label, ok in zip(labels, right, strict=True)]


def scored(labels: list[bool], verdicts: list[Verdict]) -> Score:
    return score_judgement(judged(verdicts), labelled(labels), shuffles=0)


def flipped(labels: list[bool], share: float, rng: np.random.Generator) -> list[bool]:
    """A share of either class, drawn without replacement, with the other label."""
    found = list(labels)
    for label in (True, False):
        members = [i for i, one in enumerate(labels) if one is label]
        for i in rng.choice(members, round(share * len(members)), replace=False):
            found[int(i)] = not label
    return found


def mean_within_its_error(values: list[float | None], expected: float) -> None:
    """Four standard errors, for values whose mean is estimated from DRAWS draws."""
    known = np.array(values, dtype=np.float64)
    assert known.mean() == pytest.approx(expected, abs=4 * float(known.std()) / math.sqrt(len(known)) + 1e-12)


@pytest.mark.parametrize(("n_active", "n_inactive", "true_active", "true_inactive"), CASES)
def test_under_shuffled_labels_nothing_is_left(
    n_active: int, n_inactive: int, true_active: int, true_inactive: int
) -> None:
    labels, verdicts = case(n_active, n_inactive, true_active, true_inactive)
    n, called = len(labels), true_active + n_inactive - true_inactive
    rng = np.random.default_rng(0)
    scores = [scored(rng.permutation(labels).tolist(), verdicts) for _ in range(DRAWS)]
    mean_within_its_error([score.e for score in scores], 0.5)
    mean_within_its_error([score.mcc for score in scores], 0.0)
    mean_within_its_error([score.f1 for score in scores], 2 * called * n_active / (n * (called + n_active)))
    for level in (0.01, 0.05, 0.2):  # Fisher's test is exact: at most so often below the level
        share = np.mean([score.p is not None and score.p <= level for score in scores])
        assert share <= level + 3 * math.sqrt(level * (1 - level) / DRAWS)
    covered = [score.interval is not None and score.interval.low <= 0.5 <= score.interval.high for score in scores]
    assert np.mean(covered) > 0.93


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("n_active", "n_inactive", "true_active", "true_inactive"), CASES)
def test_flipped_labels_take_away_what_the_formula_says(
    n_active: int, n_inactive: int, true_active: int, true_inactive: int, share: float
) -> None:
    labels, verdicts = case(n_active, n_inactive, true_active, true_inactive)
    n, called = len(labels), true_active + n_inactive - true_inactive
    actives = (1 - share) * n_active + share * n_inactive
    tp = (1 - share) * true_active + share * (n_inactive - true_inactive)
    tn = (1 - share) * true_inactive + share * (n_active - true_active)
    rng = np.random.default_rng(1)
    scores = [scored(flipped(labels, share, rng), verdicts) for _ in range(DRAWS if 0 < share < 1 else 1)]
    assert {(score.n_active, score.n_inactive) for score in scores} == {(round(actives), n - round(actives))}
    mean_within_its_error([score.e for score in scores], (tp / actives + tn / (n - actives)) / 2)
    mean_within_its_error([score.f1 for score in scores], 2 * tp / (called + actives))
    mcc = (tp * n - called * actives) / math.sqrt(called * (n - called) * actives * (n - actives))
    mean_within_its_error([score.mcc for score in scores], mcc)
    if n_active == n_inactive:
        e = scored(labels, verdicts).e
        assert e is not None
        mean_within_its_error([score.e for score in scores], 0.5 + (e - 0.5) * (1 - 2 * share))


def test_unusable_answers_pull_below_chance_so_the_shuffled_control_is_the_measure() -> None:
    """Each of u unusable answers among n is wrong under any label: E = (1 − u/n)/2 on average."""
    labels, verdicts = case(20, 12, 18, 10)
    rng = np.random.default_rng(2)
    silent: list[Verdict] = [None if i % 4 == 0 else verdict for i, verdict in enumerate(verdicts)]
    scores = [scored(rng.permutation(labels).tolist(), silent) for _ in range(DRAWS)]
    assert {score.unusable for score in scores} == {8}
    mean_within_its_error([score.e for score in scores], (1 - 8 / 32) / 2)
    control = next(
        one
        for one in score_judgement(judged(silent), labelled(labels), shuffles=2000).controls
        if one.name == "shuffled"
    )
    assert control.e == pytest.approx((1 - 8 / 32) / 2, abs=0.01)
    assert np.mean([score.p is not None and score.p <= 0.05 for score in scores]) <= 0.05


def test_a_judgement_and_labels_that_do_not_belong_together_are_refused() -> None:
    labels, verdicts = case(3, 3, 2, 2)
    with pytest.raises(ValueError, match=r"L2\.H4"):
        score_judgement(msgspec.structs.replace(judged(verdicts), head=HeadId(0, 0)), labelled(labels))
    with pytest.raises(ValueError, match="prompt 5"):
        score_judgement(judged(verdicts), labelled(labels[1:]))
    with pytest.raises(ValueError, match="5 verdicts on 6"):
        score_judgement(msgspec.structs.replace(judged(verdicts), verdicts=verdicts[1:]), labelled(labels))
