"""Scores of groups and two sets of scores: by hand, by other people's implementations, and by simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from headtorch.core.analysis.score_comparison import by_head, compare_pairs, compare_sets
from headtorch.core.analysis.score_summary import group_scores
from headtorch.core.records import HeadId, Interval, NeuronId, Score


def score(e: float | None, neuron: int, head: int, low: float | None = None, q: float | None = None) -> Score:
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
        interval=None if low is None else Interval(low, 1.0),
        f1=None,
        mcc=None,
        p=None,
        q=q,
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


def means(scores: list[Score]) -> NDArray[np.float64]:
    by_neuron: dict[NeuronId, list[float]] = {}
    for one in scores:
        by_neuron.setdefault(one.neuron, []).append(one.e or 0.0)
    return np.array([np.mean(values) for values in by_neuron.values()])


def ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def test_a_neuron_counts_once_however_many_heads_it_has() -> None:
    """0.9 and, of two heads, 0.5 and 0.7: the mean over neurons is 0.75, that over heads would be 0.7."""
    group = group_scores([score(0.9, 0, 0), score(0.5, 1, 0), score(0.7, 1, 1), score(None, 2, 0)])
    assert (group.n_neurons, group.n_heads) == (2, 3)
    assert group.mean == pytest.approx(0.75) and group.sd == pytest.approx(np.std([0.9, 0.6], ddof=1))
    assert group.interval is None
    nothing = group_scores([score(None, 0, 0)])
    assert (nothing.mean, nothing.sd, nothing.interval, nothing.n_heads) == (None, None, None, 0)


def test_heads_above_chance_are_counted_apart_from_the_mean() -> None:
    """Above chance is a lower bound above 0.5 with q below 0.05; a high E alone is not."""
    scores = [score(0.9, 0, 0, 0.6, 0.01), score(0.9, 0, 1, 0.4, 0.01), score(0.9, 1, 0, 0.6, 0.2), score(0.9, 1, 1)]
    assert group_scores(scores).above_chance == 1


def test_the_interval_of_a_group_is_t_over_neurons() -> None:
    scores = drawn(np.random.default_rng(0), 9)
    of_neurons = means(scores)
    reference = stats.t.interval(0.95, 8, of_neurons.mean(), stats.sem(of_neurons))
    assert ends(group_scores(scores).interval) == pytest.approx(reference)
    assert group_scores(drawn(np.random.default_rng(0), 7)).interval is None


def test_difference_and_cliffs_delta_by_hand() -> None:
    """0.9 and 0.5 against 0.5 and, of two heads, 0.4 and 0.7: of the four pairs of neurons 2 are above, 1 is below."""
    first = [score(0.9, 0, 0), score(0.5, 1, 0)]
    second = [score(0.5, 2, 0), score(0.4, 3, 0), score(0.7, 3, 1), score(None, 4, 0)]
    compared = compare_sets(first, second)
    assert compared.difference == pytest.approx(0.7 - 1.05 / 2)
    assert compared.delta == pytest.approx((2 - 1) / 4)  # 0.9 above both; 0.5 equal and below
    assert (compared.first.n_heads, compared.second.n_heads, compared.second.n_neurons) == (2, 3, 2)
    assert not compared.paired


def test_pairs_are_the_heads_that_both_have_scored() -> None:
    """Gains 0.2 and 0 of one neuron, −0.3 of another; heads that one of the two has not scored take no part."""
    first = by_head([score(0.9, 0, 0), score(0.6, 0, 1), score(0.2, 1, 0), score(0.8, 2, 0), score(None, 1, 1)])
    second = by_head([score(0.7, 0, 0), score(0.6, 0, 1), score(0.5, 1, 0), score(0.2, 1, 1)])
    compared = compare_pairs(first, second)
    assert compared.paired and compared.first.n_heads == compared.second.n_heads == 3
    assert compared.difference == pytest.approx((0.1 - 0.3) / 2)
    assert compared.delta == 0.0
    assert compared.first.mean == pytest.approx((0.75 + 0.2) / 2)


def test_a_difference_is_welchs_as_statsmodels_has_it_and_cliffs_delta_that_of_mann_whitney() -> None:
    rng = np.random.default_rng(3)
    first, second = drawn(rng, 12), drawn(rng, 15, mean=0.5, first=50)
    x, y = means(first), means(second)
    compared = compare_sets(first, second)
    reference = CompareMeans(DescrStatsW(x), DescrStatsW(y)).tconfint_diff(usevar="unequal")
    assert ends(compared.interval) == pytest.approx(reference)
    u = stats.mannwhitneyu(x, y).statistic
    assert compared.delta == pytest.approx(2 * u / (len(x) * len(y)) - 1)
    low, high = ends(compared.delta_interval)
    assert -1 < low < (compared.delta or 0) < high < 1


def test_the_interval_of_cliffs_delta_is_near_that_of_resampled_neurons() -> None:
    rng = np.random.default_rng(3)
    first, second = drawn(rng, 60), drawn(rng, 50, mean=0.55, first=100)
    x, y = means(first), means(second)
    draws = [np.sign(rng.choice(x, 60)[:, None] - rng.choice(y, 50)).mean() for _ in range(2000)]
    assert ends(compare_sets(first, second).delta_interval) == pytest.approx(
        np.quantile(draws, [0.025, 0.975]), abs=0.03
    )


def test_one_statistic_has_one_value_wherever_it_stands() -> None:
    """A group has the same interval alone, compared on either side, and paired with itself."""
    rng = np.random.default_rng(6)
    first, second = drawn(rng, 10), drawn(rng, 11, first=50)
    alone = group_scores(first)
    assert alone == compare_sets(first, second).first == compare_sets(second, first).second
    assert alone == compare_pairs(by_head(first), by_head(first)).first
    forth, back = compare_sets(first, second), compare_sets(second, first)
    assert ends(forth.interval) == pytest.approx(tuple(-one for one in reversed(ends(back.interval))))
    assert ends(forth.delta_interval) == pytest.approx(tuple(-one for one in reversed(ends(back.delta_interval))))


def test_paired_intervals_are_narrower_where_heads_agree() -> None:
    rng = np.random.default_rng(4)
    first = drawn(rng, 20)
    second = [score((one.e or 0) - 0.03, one.neuron.index, one.head.index) for one in first]
    paired, apart = compare_pairs(by_head(first), by_head(second)), compare_sets(first, second)
    assert paired.difference == pytest.approx(0.03) == apart.difference and paired.delta == 1.0
    assert ends(paired.interval) == pytest.approx((0.03, 0.03))
    assert ends(apart.interval)[0] < 0 < ends(apart.interval)[1]
    low, high = ends(paired.delta_interval)
    assert high == 1.0 and low == pytest.approx(0.64, abs=0.02)  # 20 equal signs: (20 − t²)/(20 + t²)


@pytest.mark.parametrize("neurons", [8, 12, 20])
def test_intervals_hold_the_truth_as_often_as_they_say(neurons: int) -> None:
    """Neurons with 1 to 4 heads, against a larger group of a lower mean; the truth is that of many neurons."""
    rng = np.random.default_rng(5)
    many, lower = means(drawn(rng, 4000)), means(drawn(rng, 4000, mean=0.55))
    truth = many.mean(), many.mean() - lower.mean(), np.sign(many[:, None] - lower).mean()
    inside = []
    for _ in range(1000):
        first = drawn(rng, neurons)
        compared = compare_sets(first, drawn(rng, neurons + 6, mean=0.55, first=100))
        intervals = compared.first.interval, compared.interval, compared.delta_interval
        inside.append([low <= true <= high for true, (low, high) in zip(truth, map(ends, intervals), strict=True)])
    covered = np.mean(inside, axis=0)
    assert (covered >= 0.92).all() and (covered <= 0.99).all(), covered


@pytest.mark.parametrize("neurons", [8, 20])
def test_without_a_difference_pairs_hold_zero_as_often_as_they_say(neurons: int) -> None:
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(800):
        first = drawn(rng, neurons)
        second = [score((one.e or 0) + 0.05 * rng.normal(), one.neuron.index, one.head.index) for one in first]
        compared = compare_pairs(by_head(first), by_head(second))
        inside.append([low <= 0 <= high for low, high in map(ends, (compared.interval, compared.delta_interval))])
    covered = np.mean(inside, axis=0)
    assert (covered >= 0.92).all(), covered


@pytest.mark.parametrize("neurons", [0, 1, 7])
def test_fewer_than_eight_neurons_have_no_interval(neurons: int) -> None:
    few = [score(0.5 + 0.01 * n, n, 0) for n in range(neurons)]
    many = drawn(np.random.default_rng(0), 20, first=50)
    compared = compare_sets(few, many)
    assert compared.interval is None and compared.delta_interval is None and compared.first.interval is None
    assert compared.second.interval is not None and (compared.difference is None) == (neurons == 0)
    paired = compare_pairs(by_head(few), by_head(few))
    assert paired.interval is None and paired.delta_interval is None
