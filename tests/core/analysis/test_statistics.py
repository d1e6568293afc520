"""The statistics against other people's implementations, by exact enumeration, and under their nulls."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from headtorch.core.analysis import statistics

Table = tuple[int, int, int, int]  # true active, active, true inactive, inactive


def random_tables(n: int = 200, seed: int = 0) -> list[Table]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 41, (n, 2))
    return [(int(rng.integers(0, a + 1)), int(a), int(rng.integers(0, b + 1)), int(b)) for a, b in sizes]


def labels_and_verdicts(table: Table) -> tuple[list[int], list[int]]:
    true_active, n_active, true_inactive, n_inactive = table
    labels = [1] * n_active + [0] * n_inactive
    verdicts = [1] * true_active + [0] * (n_active - true_active)
    return labels, verdicts + [0] * true_inactive + [1] * (n_inactive - true_inactive)


def test_wilson_agrees_with_statsmodels() -> None:
    for successes, n, _, _ in random_tables():
        low, high = proportion_confint(successes, n, method="wilson")
        found = statistics.wilson_interval(successes, n)
        assert found.low == pytest.approx(low, abs=1e-12) and found.high == pytest.approx(high, abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_not_a_rate(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        statistics.wilson_interval(successes, n)


def test_scores_agree_with_scikit_learn() -> None:
    for table in random_tables():
        labels, verdicts = labels_and_verdicts(table)
        assert statistics.balanced_accuracy(*table) == pytest.approx(metrics.balanced_accuracy_score(labels, verdicts))
        assert statistics.f1_score(*table) == pytest.approx(metrics.f1_score(labels, verdicts, zero_division=0.0))
        assert statistics.matthews(*table) == pytest.approx(metrics.matthews_corrcoef(labels, verdicts), abs=1e-12)


def test_fisher_agrees_with_scipy() -> None:
    for table in random_tables():
        true_active, n_active, true_inactive, n_inactive = table
        cells = [[true_active, n_active - true_active], [n_inactive - true_inactive, true_inactive]]
        expected = stats.fisher_exact(cells, alternative="greater").pvalue
        assert statistics.fisher_p(*table) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("table", [(0, 0, 3, 5), (2, 4, 0, 0), (0, 0, 0, 0)])
def test_nothing_is_scored_without_both_classes(table: Table) -> None:
    assert statistics.balanced_accuracy(*table) is None
    assert statistics.balanced_accuracy_interval(*table) is None
    assert statistics.matthews(*table) is None
    assert statistics.fisher_p(*table) is None


def test_the_interval_reduces_to_half_wilson_when_one_rate_is_certain() -> None:
    """With 10⁶ inactive prompts all right, E's interval is TPR's at half the width, around the same centre."""
    found = statistics.balanced_accuracy_interval(13, 20, 1_000_000, 1_000_000)
    wilson = statistics.wilson_interval(13, 20)
    assert found is not None
    assert found.low == pytest.approx((wilson.low + 1) / 2, abs=1e-5)
    assert found.high == pytest.approx((wilson.high + 1) / 2, abs=1e-5)


def coverages(n_active: int, n_inactive: int, rates: Sequence[float]) -> list[float]:
    """Exact: for each pair of rates the probability of all tables whose interval holds the true (TPR + TNR)/2."""
    limits = np.empty((2, n_active + 1, n_inactive + 1))
    for i, j in np.ndindex(n_active + 1, n_inactive + 1):
        interval = statistics.balanced_accuracy_interval(i, n_active, j, n_inactive)
        assert interval is not None and 0 <= interval.low <= interval.high <= 1
        limits[:, i, j] = interval.low, interval.high
    found = []
    for tpr, tnr in itertools.product(rates, rates):
        first = stats.binom.pmf(range(n_active + 1), n_active, tpr)
        second = stats.binom.pmf(range(n_inactive + 1), n_inactive, tnr)
        truth = (tpr + tnr) / 2
        held = (limits[0] <= truth + 1e-12) & (truth - 1e-12 <= limits[1])
        found.append(float(first @ held @ second))
    return found


@pytest.mark.parametrize(("n_active", "n_inactive"), [(10, 10), (10, 40), (20, 20), (40, 40)])
def test_the_interval_covers_the_truth(n_active: int, n_inactive: int) -> None:
    """95 % nominal. Averaged over the rates at least 93 %; single corners (small n, rates near 1) may dip."""
    covered = coverages(n_active, n_inactive, (0.5, 0.65, 0.8, 0.9, 0.95))
    assert np.mean(covered) >= 0.93
    assert min(covered) >= 0.89


def test_odds_ratios_agree_with_statsmodels() -> None:
    for successes, n, others, m in random_tables():
        if successes + others == 0:
            assert statistics.odds_ratio(successes, n, others, m) is None
            continue
        cells = np.array([[successes, n - successes], [others, m - others]], np.float64)
        reference = Table2x2(cells + 0.5 * (cells.min() == 0), shift_zeros=False)
        ratio, interval = statistics.odds_ratio(successes, n, others, m) or (0.0, None)
        assert interval is not None
        expected = reference.oddsratio, *reference.oddsratio_confint()
        assert (ratio, interval.low, interval.high) == pytest.approx(expected)
    assert statistics.odds_ratio(0, 0, 3, 10) is None


Adjust = Callable[[Sequence[float | None]], list[float | None]]
ADJUSTED = pytest.mark.parametrize(
    ("adjust", "name"), [(statistics.benjamini_yekutieli, "fdr_by"), (statistics.benjamini_hochberg, "fdr_bh")]
)


@ADJUSTED
def test_false_discovery_rates_agree_with_statsmodels(adjust: Adjust, name: str) -> None:
    p = np.random.default_rng(1).uniform(size=25) ** 3
    _, expected, _, _ = multipletests(p, method=name)
    assert adjust(p.tolist()) == pytest.approx(expected.tolist())


@ADJUSTED
def test_tests_without_a_p_get_no_q(adjust: Adjust, name: str) -> None:
    assert adjust([None, 0.01, None]) == [None, pytest.approx(0.01), None]
    assert adjust([None]) == [None]
    assert adjust([]) == []


@ADJUSTED
def test_false_discoveries_stay_below_the_rate_when_all_nulls_are_true(adjust: Adjust, name: str) -> None:
    rng = np.random.default_rng(2)
    families = [adjust(rng.uniform(size=20).tolist()) for _ in range(500)]
    limit = 0.05 if name == "fdr_by" else 0.07  # the latter is exact, and a rate of 500 families is not
    assert np.mean([min(q for q in family if q is not None) < 0.05 for family in families]) <= limit


def test_two_sample_ks_is_the_largest_gap_between_the_distributions() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=30), rng.normal(0.7, size=45)
    gaps = [abs((a <= x).mean() - (b <= x).mean()) for x in np.concatenate([a, b])]
    found = statistics.kolmogorov_smirnov(a, b)
    assert found is not None and found[0] == pytest.approx(max(gaps)) and 0 < found[1] < 0.05
    assert statistics.kolmogorov_smirnov([], b) is None


def test_auroc_agrees_with_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        scores, labels = rng.integers(0, 6, 25).astype(float), rng.random(25) < 0.4
        labels[:2] = [True, False]
        assert statistics.auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert statistics.auroc([1.0, 2.0], [True, True]) is None


def test_spearman_agrees_with_scipy_with_ties() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        a, b = rng.integers(0, 5, 20), rng.integers(0, 5, 20)
        assert statistics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert statistics.spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert statistics.spearman([1.0, 2.0], [1.0, 2.0]) is None


def test_the_permutation_p_is_the_exact_one_for_a_small_table() -> None:
    """One cluster, 3 of 6 active, all of them largest: 2 of the 20 labellings are as extreme on either side."""
    values, active = [1.0, 2.0, 3.0, 7.0, 8.0, 9.0], [False] * 3 + [True] * 3
    two_sided = statistics.clustered_permutation_p(values, active, [0] * 6, seed=0, permutations=20_000)
    one_sided = statistics.clustered_permutation_p(values, active, [0] * 6, seed=0, permutations=20_000, side="greater")
    assert two_sided == pytest.approx(2 / 20, abs=0.008) and one_sided == pytest.approx(1 / 20, abs=0.006)


def test_differences_between_clusters_are_no_effect_and_differences_within_are() -> None:
    rng = np.random.default_rng(6)
    clusters = np.repeat(np.arange(6), 10)
    active = rng.random(60) < np.repeat([0.1, 0.9] * 3, 10)  # the label goes with the cluster
    active[::10], active[1::10] = True, False
    level = np.repeat([0.0, 5.0] * 3, 10) + rng.normal(size=60)  # and so does the value
    p = statistics.clustered_permutation_p(level, active, clusters.tolist(), seed=0)
    naive = stats.ttest_ind(level[active], level[~active]).pvalue
    assert naive < 1e-6 and p is not None and p > 0.05
    real = statistics.clustered_permutation_p(level + 2.0 * active, active, clusters.tolist(), seed=0)
    assert real is not None and real < 0.01
    assert statistics.clustered_permutation_p([1.0, 2.0], [True, False], ["a", "b"], seed=0) is None


def test_permutation_p_is_calibrated_and_repeatable() -> None:
    rng = np.random.default_rng(7)
    clusters = np.repeat(np.arange(5), 8).tolist()
    ps = [
        statistics.clustered_permutation_p(
            rng.normal(size=40) + np.repeat(rng.normal(size=5), 8),
            rng.random(40) < 0.5,
            clusters,
            seed=i,
            permutations=199,
        )
        for i in range(400)
    ]
    below = float(np.mean([p is not None and p <= 0.05 for p in ps]))
    assert 0.02 <= below <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 400)
    values, active = rng.normal(size=40), rng.random(40) < 0.5
    first, second = (statistics.clustered_permutation_p(values, active, clusters, seed=3) for _ in range(2))
    assert first == second


def test_fisher_is_calibrated_under_blind_verdicts() -> None:
    rng = np.random.default_rng(8)
    below = 0
    for _ in range(2000):
        labels, verdicts = rng.permutation([True] * 20 + [False] * 20), rng.random(40) < 0.5
        p = statistics.fisher_p(int((labels & verdicts).sum()), 20, int((~labels & ~verdicts).sum()), 20)
        assert p is not None
        below += p < 0.05
    assert 0.01 < below / 2000 <= 0.05


def test_bootstrap_draws_whole_clusters() -> None:
    """Two clusters of equal size with means 0 and 1: a quarter of the draws is 0, half ½, a quarter 1."""
    means = statistics.clustered_means([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"], seed=0, resamples=4000)
    shares = [float(np.mean(means == value)) for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    middle = statistics.percentile_interval(np.arange(1001.0))
    assert (middle.low, middle.high) == pytest.approx((25.0, 975.0))
