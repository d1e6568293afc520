"""Shares and contrasts over clusters: by hand, by brute force, and by scipy and statsmodels where they apply."""

from __future__ import annotations

import time

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from headtorch.core.analysis.cluster_resampling import (
    Contrast,
    cluster_codes,
    cluster_draws,
    shift_p,
    shifted_contrasts,
    wild_p,
)
from headtorch.core.analysis.cluster_statistics import (
    clustered_accuracy,
    paired_difference,
    ratio_contrast,
    ratio_contrast_within,
    ratio_estimate,
    relative_change,
    share_lost,
)
from headtorch.core.analysis.statistics import balanced_accuracy_interval, fisher_p

Floats = NDArray[np.float64]


class Places:
    """Places of a neuron: effects that a cluster shares in part, activations, a rule, last tokens."""

    def __init__(self, clusters: int = 40, seed: int = 0, delta: float = 0.0, tokens: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.cluster = np.repeat(np.arange(clusters), np.minimum(rng.geometric(0.3, clusters), 8))
        n = len(self.cluster)
        self.activation = rng.lognormal(0, 0.5, n)
        self.holds = rng.random(n) < rng.beta(1, 2, clusters)[self.cluster]
        self.token = rng.integers(0, tokens, n)
        share = 0.1 + 0.05 * rng.normal(size=clusters)[self.cluster] + 0.1 * rng.normal(size=n) + delta * self.holds
        self.effect = self.activation * share

    def sums(self, values: Floats) -> Floats:
        return np.array([values[self.cluster == one].sum() for one in np.unique(self.cluster)])

    def contrast(self, groups: bool = False) -> Contrast:
        token = self.token if groups else np.zeros_like(self.token)
        return Contrast(self.effect, self.activation, self.holds, token, self.cluster)


def test_ratios_by_hand() -> None:
    """Three places in two clusters: (1 + 2 + 3)/(2 + 4 + 6), a share lost of the same sums, and the change of one."""
    estimate, p = ratio_estimate([1, 2, 3], [2, 4, 6], [7, 7, 9], seed=0)
    assert (estimate.value, estimate.low, estimate.high, p) == (0.5, None, None, None)
    assert share_lost([1, 2, 3], [2, 4, 6], [7, 7, 9], seed=0)[0].value == 0.5
    assert relative_change([2, 4, 6], [1, 2, 3], [7, 7, 9], seed=0).value == -0.5
    difference = paired_difference([2, 4, 6], [1, 2, 3], [2, 4, 6], [2, 4, 3], [7, 7, 9], seed=0)
    assert difference.value == pytest.approx(-0.25) and difference.low is None
    with pytest.raises(ValueError, match="not defined"):
        ratio_estimate([1.0, 2.0], [1.0, -1.0], [0, 1], seed=0)


@pytest.mark.parametrize("clusters", [8, 40])
def test_the_interval_of_a_ratio_is_the_studentised_bootstrap(clusters: int) -> None:
    """Against a loop that puts clusters together one by one and computes the ratio and its error from them."""
    places = Places(clusters)
    x, y = places.sums(places.effect), places.sums(places.activation)

    def error(a: Floats, b: Floats) -> float:
        residual = a - a.sum() / b.sum() * b
        return float(np.sqrt(len(a) / (len(a) - 1) * (residual**2).sum())) / float(b.sum())

    theta, counts, t = x.sum() / y.sum(), cluster_draws(clusters, seed=5, draws=1000), []
    for drawn in counts.astype(int):
        a, b = np.repeat(x, drawn), np.repeat(y, drawn)
        t.append((a.sum() / b.sum() - theta) / error(a, b))
    low, high = theta - np.quantile(t, [0.975, 0.025]) * error(x, y)
    estimate, p = ratio_estimate(places.effect, places.activation, places.cluster, seed=5, draws=1000)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((theta, low, high))
    assert p == pytest.approx((1 + np.sum(np.array(t) >= theta / error(x, y))) / 1001)


def test_the_interval_of_a_ratio_is_near_scipys_where_clusters_are_many() -> None:
    places = Places(300)
    estimate, p = ratio_estimate(places.effect, places.activation, places.cluster, seed=0)
    reference = stats.bootstrap(
        (places.sums(places.effect), places.sums(places.activation)),
        lambda x, y, axis: x.sum(axis) / y.sum(axis),
        paired=True,
        vectorized=True,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = reference.high - reference.low
    assert (estimate.low, estimate.high) == pytest.approx((reference.low, reference.high), abs=0.06 * width)
    assert p is not None and p < 0.001


def test_draws_are_draws_with_replacement() -> None:
    counts = cluster_draws(20, seed=0)
    assert (counts.sum(1) == 20).all() and counts.shape == (5000, 20)
    assert counts.mean(0) == pytest.approx(1.0, abs=0.06)
    assert counts.var(0) == pytest.approx(0.95, abs=0.1)


def test_nothing_to_spread_gives_an_interval_without_width() -> None:
    """All heads take all: every cluster has the same ratio. A head that does nothing takes 0, and p says nothing."""
    places = Places(10)
    everything, p = ratio_estimate(places.activation, places.activation, places.cluster, seed=0)
    assert (everything.value, everything.low, everything.high) == pytest.approx((1, 1, 1))
    assert p is not None and p < 0.001
    nothing, p = ratio_estimate(np.zeros(len(places.effect)), places.activation, places.cluster, seed=0)
    assert (nothing.value, nothing.low, nothing.high, p) == (0, 0, 0, 1)


def test_a_paired_difference_is_drawn_jointly() -> None:
    """Against a loop over the same draws; the error of a difference of ratios is that of the differences."""
    places, rng = Places(25), np.random.default_rng(3)
    x, y = places.activation, places.activation * rng.lognormal(0, 0.1, len(places.activation))
    changed, placebo = 0.2 * x, y * rng.uniform(0.5, 1, len(y))
    sums = np.stack([places.sums(one) for one in (changed, x, placebo, y)])

    def difference(of: Floats) -> tuple[float, float]:
        first, x, second, y = of
        u = (first - first.sum() / x.sum() * x) / x.sum() - (second - second.sum() / y.sum() * y) / y.sum()
        return first.sum() / x.sum() - second.sum() / y.sum(), float(np.sqrt(25 / 24 * (u**2).sum()))

    value, error = difference(sums)
    drawn = [difference(np.repeat(sums, one.astype(int), axis=1)) for one in cluster_draws(25, seed=4, draws=500)]
    t = [(theta - value) / se for theta, se in drawn]
    low, high = value - np.quantile(t, [0.975, 0.025]) * error
    estimate = paired_difference(x, changed, y, placebo, places.cluster, seed=4, draws=500)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, low, high))


def test_contrast_by_hand() -> None:
    """(1 + 2)/(2 + 2) − (1 + 0)/(2 + 2) = 0.5; with a side missing there is none."""
    holds = [True, True, False, False]
    estimate, p = ratio_contrast([1, 2, 1, 0], [2, 2, 2, 2], holds, [0, 1, 2, 3], seed=0)
    assert estimate is not None and estimate.value == pytest.approx(0.5) and (estimate.low, p) == (None, None)
    assert ratio_contrast([1, 2], [1, 1], [True, True], [0, 1], seed=0) == (None, None)
    assert ratio_contrast([], [], [], [], seed=0) == (None, None)


def test_contrast_within_groups_is_the_weighted_regression_with_groups() -> None:
    """The coefficient of "holds" in the regression of e/a on it and the groups, weighted by a, by statsmodels."""
    places = Places(60, delta=0.1)
    groups = (places.token[:, None] == np.arange(5)).astype(float)
    design = np.column_stack([places.holds, groups])
    fit = sm.WLS(places.effect / places.activation, design, weights=places.activation).fit()
    estimate, p = ratio_contrast_within(
        places.effect, places.activation, places.holds, places.token, places.cluster, seed=0
    )
    assert estimate is not None and estimate.value == pytest.approx(fit.params[0])
    robust = fit.get_robustcov_results("cluster", groups=places.cluster, use_correction=True)
    assert estimate.low is not None and estimate.high is not None
    assert (estimate.high - estimate.low) / 2 == pytest.approx(2.0 * robust.bse[0], rel=0.12)
    assert p is not None and p < 0.01


def test_contrast_within_one_group_is_the_plain_contrast_and_single_sided_groups_drop_out() -> None:
    places = Places(30, delta=0.05)
    args = places.effect, places.activation, places.holds
    plain = ratio_contrast(*args, places.cluster, seed=1)
    assert ratio_contrast_within(*args, np.full(len(places.effect), 8), places.cluster, seed=1) == plain
    one_sided = np.where(places.token == 0, ~places.holds, 2)  # token 0 splits into a group of either side
    others = places.token != 0
    expected = ratio_contrast(*(one[others] for one in args), places.cluster[others], seed=1)
    assert ratio_contrast_within(*args, one_sided, places.cluster, seed=1) == expected
    assert ratio_contrast_within(*args, places.holds, places.cluster, seed=1) == (None, None)


def test_the_jackknife_of_a_contrast_by_brute_force() -> None:
    places = Places(30, delta=0.1)

    def contrast(chosen: NDArray[np.bool_]) -> float:
        sides = [chosen & places.holds, chosen & ~places.holds]
        first, second = (places.effect[one].sum() / places.activation[one].sum() for one in sides)
        return float(first - second)

    without = np.array([contrast(places.cluster != one) for one in range(30)])
    se = np.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    g = [
        (one := places.sums(places.activation * side)).sum() ** 2 / (one**2).sum()
        for side in (places.holds, ~places.holds)
    ]
    degrees = (1 / g[0] + 1 / g[1]) ** 2 / sum(1 / (one**2 * (one - 1)) for one in g)
    half = stats.t.ppf(0.975, min(degrees, 29)) * se
    estimate, _ = ratio_contrast(places.effect, places.activation, places.holds, places.cluster, seed=0)
    value = contrast(np.ones(len(places.effect), bool))
    assert estimate is not None and se > shifted_contrasts(places.contrast().without(value), seed=0).std()
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, value - half, value + half))


@pytest.mark.parametrize("groups", [False, True])
def test_wild_p_by_refitting_every_draw(groups: bool) -> None:
    """Signs are given to residuals under the null, place by place, and a regression is fitted to each draw."""
    places = Places(12, seed=4, delta=0.06, tokens=3)
    token = places.token if groups else np.zeros_like(places.token)
    weight = np.sqrt(places.activation)
    null = (token[:, None] == np.unique(token)).astype(float) * weight[:, None]
    design = np.column_stack([places.holds * weight, null])
    y = places.effect / weight

    def t_of(outcome: Floats) -> float:
        fit = sm.OLS(outcome, design).fit()
        robust = fit.get_robustcov_results("cluster", groups=places.cluster, use_correction=False)
        return float(robust.tvalues[0])

    residual = y - null @ np.linalg.lstsq(null, y, rcond=None)[0]
    rng = np.random.default_rng(0)
    t = [t_of(residual * rng.choice([-1.0, 1.0], 12)[places.cluster]) for _ in range(1000)]
    expected = (1 + np.sum(np.array(t) >= t_of(y))) / 1001
    p = wild_p(places.contrast(groups).sums, seed=1)
    assert 0.01 < p < 0.3
    assert p == pytest.approx(expected, abs=4 * np.sqrt(p * (1 - p) / 1000))


@pytest.mark.parametrize("groups", [False, True])
def test_shift_p_by_shifting_labels_one_by_one(groups: bool) -> None:
    places = Places(10, seed=2, delta=0.12, tokens=2)
    token = places.token if groups else np.zeros_like(places.token)
    rng = np.random.default_rng(0)

    def value(holds: NDArray[np.bool_]) -> float:
        parts = []
        for one in np.unique(token):
            sides = [(token == one) & holds, (token == one) & ~holds]
            e, a = ([values[side].sum() for side in sides] for values in (places.effect, places.activation))
            parts.append((e[0] / a[0] - e[1] / a[1], a[0] * a[1] / sum(a)))
        contrasts, weights = np.array(parts).T
        return float(np.average(contrasts, weights=weights))

    def shifted() -> NDArray[np.bool_]:
        holds = places.holds.copy()
        for one in np.unique(token):
            members = np.flatnonzero(token == one)
            orders = [
                members[np.lexsort((rng.random(len(members)), rng.permutation(10)[places.cluster[members]]))]
                for _ in range(2)
            ]
            holds[orders[0]] = np.roll(places.holds[orders[1]], rng.integers(len(members)))
        return holds

    expected = np.mean([value(shifted()) >= value(places.holds) - 1e-9 for _ in range(4000)])
    p = shift_p(places.contrast(groups), seed=3)
    assert 0.01 < p < 0.5
    assert p == pytest.approx(expected, abs=0.03)


def test_a_side_that_is_alike_by_chance_borrows_the_spread_of_the_other() -> None:
    """10 places elsewhere without any effect, 300 with a spread of 0.2: the interval is that of 10 draws of these."""
    rng = np.random.default_rng(0)
    holds, cluster = np.arange(310) >= 10, np.arange(310)
    effect = np.where(holds, 0.1 + 0.2 * rng.normal(size=310), 0.0)
    estimate, _ = ratio_contrast(effect, np.ones(310), holds, cluster, seed=0)
    assert estimate is not None and estimate.low is not None and estimate.high is not None
    half = stats.t.ppf(0.975, 9) * effect[holds].std() / np.sqrt(10)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_side_in_too_few_clusters_has_neither_interval_nor_p() -> None:
    places = Places(40)
    lone = (places.cluster == 3) & (places.activation > 0)
    estimate, p = ratio_contrast(places.effect, places.activation, lone, places.cluster, seed=0)
    assert estimate is not None and estimate.low is None and p is None


def test_a_neuron_that_fires_negatively_has_the_same_shares() -> None:
    places = Places(40, delta=0.1)
    args = places.holds, places.cluster
    assert ratio_contrast(places.effect, places.activation, *args, seed=0) == ratio_contrast(
        -places.effect, -places.activation, *args, seed=0
    )


def test_the_order_of_places_and_the_names_of_clusters_do_not_matter() -> None:
    places = Places(40, delta=0.05)
    order = np.random.default_rng(0).permutation(len(places.effect))
    names = np.array([f"document {one:03}" for one in places.cluster])
    first, _ = ratio_contrast(places.effect, places.activation, places.holds, places.cluster, seed=0)
    second, _ = ratio_contrast(*(v[order] for v in (places.effect, places.activation, places.holds, names)), seed=0)
    assert first is not None and second is not None
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))
    assert cluster_codes(["b", "a", "b"]).tolist() == [1, 0, 1]


def test_clustered_accuracy_counts_and_tests() -> None:
    """E and its interval are those of the counts, an answer that is neither is wrong, and p is near Fisher's."""
    rng = np.random.default_rng(0)
    labels = rng.random(300) < 0.5
    verdicts = np.where(rng.random(300) < 0.57, labels, ~labels).tolist()
    counts = [int((np.array(verdicts)[labels == side] == side).sum()) for side in (True, False)]
    table = counts[0], int(labels.sum()), counts[1], int((~labels).sum())
    e, interval, p = clustered_accuracy(verdicts, labels.tolist(), np.arange(300), seed=0)
    assert e == pytest.approx((table[0] / table[1] + table[2] / table[3]) / 2)
    assert interval == balanced_accuracy_interval(*table)
    assert p == pytest.approx(fisher_p(*table), rel=0.5) and 0.001 < (p or 0) < 0.1
    neither: list[bool | None] = [None] * 20
    assert clustered_accuracy(neither, [True, False] * 10, list(range(20)), seed=0)[0] == 0.0
    assert clustered_accuracy([True], [True], [0], seed=0) == (None, None, None)


def test_verdicts_that_never_differ_say_nothing_and_right_ones_everything() -> None:
    labels = [True, False] * 30
    assert clustered_accuracy([True] * 60, labels, list(range(60)), seed=0)[2] == 1.0
    p = clustered_accuracy(labels, labels, list(range(60)), seed=0)[2]
    assert p is not None and p < 0.001


def test_places_of_one_cluster_do_not_count_as_independent() -> None:
    """The same 10 documents with 30 equal places each: Fisher's p is tiny, that over clusters is not."""
    rng = np.random.default_rng(1)
    document = np.repeat(np.arange(10), 30)
    called, label = rng.random(10) < 0.5, np.arange(10) < 5
    called[:3], called[5:7] = True, False
    verdicts, labels = called[document].tolist(), label[document].tolist()
    e, _, p = clustered_accuracy(verdicts, labels, document, seed=0)
    counts = int(called[:5].sum()) * 30, 150, int((~called[5:]).sum()) * 30, 150
    assert e is not None and e > 0.5
    assert p is not None and p > 0.05 > 1e-6 > (fisher_p(*counts) or 1)


def test_calls_are_fast() -> None:
    """600 places, 100 clusters, 5,000 draws: tens of milliseconds even on a busy machine."""
    places = Places(230)
    args = [one[:600] for one in (places.effect, places.activation, places.holds, places.token, places.cluster % 100)]
    ratio_contrast_within(*args, seed=0)
    started = time.process_time()
    for seed in range(5):
        ratio_contrast_within(*args, seed=seed)
        ratio_estimate(args[0], args[1], args[4], seed=seed)
    assert time.process_time() - started < 5 * 0.15
