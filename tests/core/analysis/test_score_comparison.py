"""Two sets of scores: by hand, against plain resampling of neurons, and calibrated where there is no difference."""

from __future__ import annotations

import numpy as np
import pytest

from headtorch.core.analysis.score_comparison import by_head, compare_pairs, compare_sets
from headtorch.core.records import HeadId, NeuronId, Score


def score(e: float | None, neuron: int, head: int) -> Score:
    return Score(
        neuron=NeuronId(3, neuron),
        head=HeadId(0, head),
        explainer="rules",
        n_active=10,
        n_inactive=10,
        true_active=5,
        true_inactive=5,
        unusable=0,
        e=e,
        interval=None,
        f1=None,
        mcc=None,
        p=None,
        q=None,
        random_text_precision=None,
        controls=[],
        dropped=0,
        wrong_active=[],
        wrong_inactive=[],
    )


def drawn(rng: np.random.Generator, neurons: int, mean: float = 0.6, first: int = 0) -> list[Score]:
    """Scores with a part that the heads of a neuron share; neurons differ in how many heads they have."""
    return [
        score(float(np.clip(mean + shared + 0.05 * rng.normal(), 0, 1)), first + n, head)
        for n in range(neurons)
        for shared in [0.08 * rng.normal()]
        for head in range(int(rng.integers(1, 5)))
    ]


def test_difference_and_cliffs_delta_by_hand() -> None:
    """0.9 and 0.5 against 0.5, 0.4 and 0.7: of the six pairs 4 are above, 1 below, 1 equal."""
    first = [score(0.9, 0, 0), score(0.5, 1, 0)]
    second = [score(0.5, 2, 0), score(0.4, 3, 0), score(0.7, 3, 1), score(None, 4, 0)]
    found = compare_sets(first, second)
    assert found.difference == pytest.approx(0.7 - 1.6 / 3)
    assert found.delta == pytest.approx((4 - 1) / 6)
    assert (found.first.n_heads, found.second.n_heads, found.second.n_neurons) == (2, 3, 2)
    assert not found.paired


def test_pairs_are_the_heads_that_both_have_scored() -> None:
    """Gains 0.2, 0 and −0.1; heads that one of the two has not scored take no part."""
    first = by_head([score(0.9, 0, 0), score(0.6, 0, 1), score(0.4, 1, 0), score(0.8, 2, 0), score(None, 1, 1)])
    second = by_head([score(0.7, 0, 0), score(0.6, 0, 1), score(0.5, 1, 0), score(0.2, 1, 1)])
    found = compare_pairs(first, second)
    assert found.paired and found.first.n_heads == found.second.n_heads == 3
    assert found.difference == pytest.approx(0.1 / 3)
    assert found.delta == 0.0
    assert found.first.mean == pytest.approx(1.9 / 3) and found.second.mean == pytest.approx(1.8 / 3)


def test_intervals_are_those_of_resampled_neurons() -> None:
    """Against a loop that puts neurons together one by one and counts pairs of heads one by one."""
    rng = np.random.default_rng(3)
    first, second = drawn(rng, 12), drawn(rng, 15, mean=0.5, first=50)

    def neurons(scores: list[Score]) -> list[list[float]]:
        found: dict[NeuronId, list[float]] = {}
        for one in scores:
            found.setdefault(one.neuron, []).append(one.e or 0.0)
        return list(found.values())

    a, b = neurons(first), neurons(second)
    differences, deltas = [], []
    for _ in range(2000):
        x = np.concatenate([a[i] for i in rng.integers(0, len(a), len(a))])
        y = np.concatenate([b[i] for i in rng.integers(0, len(b), len(b))])
        differences.append(x.mean() - y.mean())
        deltas.append(np.mean([np.sign(one - y).mean() for one in x]))
    found = compare_sets(first, second)
    assert found.interval is not None and found.delta_interval is not None
    ends = found.interval.low, found.interval.high, found.delta_interval.low, found.delta_interval.high
    expected = *np.quantile(differences, [0.025, 0.975]), *np.quantile(deltas, [0.025, 0.975])
    assert ends == pytest.approx(expected, abs=0.03)


def test_paired_intervals_are_narrower_where_heads_agree_and_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(4)
    first = drawn(rng, 20)
    second = [score((one.e or 0) - 0.03, one.neuron.index, one.head.index) for one in first]
    paired, apart = compare_pairs(by_head(first), by_head(second)), compare_sets(first, second)
    assert paired == compare_pairs(by_head(first), by_head(second))
    assert paired.difference == pytest.approx(0.03) == apart.difference and paired.delta == 1.0
    assert paired.interval is not None and apart.interval is not None
    assert paired.interval.low == pytest.approx(0.03) == paired.interval.high
    assert apart.interval.low < 0 < apart.interval.high


@pytest.mark.parametrize("neurons", [10, 25])
def test_without_a_difference_intervals_hold_zero_about_as_often_as_they_say(neurons: int) -> None:
    rng = np.random.default_rng(5)
    inside = []
    for trial in range(200):
        found = compare_sets(drawn(rng, neurons), drawn(rng, neurons, first=100), seed=trial)
        assert found.interval is not None and found.delta_interval is not None
        inside.append(
            (found.interval.low <= 0 <= found.interval.high, found.delta_interval.low <= 0 <= found.delta_interval.high)
        )
    share = np.mean(inside, axis=0)
    assert (share > 0.87).all() and (share < 0.99).all()


@pytest.mark.parametrize("heads", [0, 1, 3])
def test_one_neuron_or_none_has_no_interval(heads: int) -> None:
    alone = [score(0.5 + 0.1 * head, 0, head) for head in range(heads)]
    others = [score(0.4, 5, 0), score(0.6, 6, 0)]
    found = compare_sets(alone, others)
    assert found.interval is None and found.delta_interval is None and (found.difference is None) == (heads == 0)
    paired = compare_pairs(by_head(alone), by_head(alone))
    assert paired.interval is None and paired.delta_interval is None and paired.first.interval is None
