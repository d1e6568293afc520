"""The statistics that stand beside every score: intervals, exact tests, adjusted p values, seeded permutations.

Where a quantity is undefined (an empty group, one class only, a constant) the answer is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from headtorch.core.records import Interval

Side = Literal["two-sided", "greater"]
Floats = NDArray[np.float64]


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate: where (p̂ − p)² ≤ z²·p(1 − p)/n. Raises ValueError for n = 0."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is not a rate.")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half)))


def balanced_accuracy(true_active: int, n_active: int, true_inactive: int, n_inactive: int) -> float | None:
    """E = (TPR + TNR)/2; None when a class is empty."""
    if n_active == 0 or n_inactive == 0:
        return None
    return (true_active / n_active + true_inactive / n_inactive) / 2


def balanced_accuracy_interval(
    true_active: int, n_active: int, true_inactive: int, n_inactive: int, confidence: float = 0.95
) -> Interval | None:
    """Interval of (TPR + TNR)/2: Wilson's for each rate, combined by MOVER (Zou and Donner 2008).

    low = E − ½√((p₁ − l₁)² + (p₂ − l₂)²), high likewise with the upper limits. None when a class is empty.
    """
    e = balanced_accuracy(true_active, n_active, true_inactive, n_inactive)
    if e is None:
        return None
    first = wilson_interval(true_active, n_active, confidence)
    second = wilson_interval(true_inactive, n_inactive, confidence)
    p1, p2 = true_active / n_active, true_inactive / n_inactive
    low = e - math.hypot(p1 - first.low, p2 - second.low) / 2
    high = e + math.hypot(first.high - p1, second.high - p2) / 2
    return Interval(max(0.0, low), min(1.0, high))


def odds_ratio(successes: int, n: int, base_successes: int, base_n: int) -> tuple[float, Interval] | None:
    """Odds of a success among n over those among base_n, with Woolf's 95 % interval on the logarithm.

    With cells a, b of the n and c, d of base_n: ad/(bc), log ± z·√(1/a + 1/b + 1/c + 1/d). With a cell of 0, ½ is
    added to each (Haldane 1956, Anscombe 1956). None where a side is empty or nothing ever succeeds.
    """
    if n == 0 or base_n == 0 or successes + base_successes == 0:
        return None
    cells = np.array([successes, n - successes, base_successes, base_n - base_successes], np.float64)
    a, b, c, d = cells + 0.5 if (cells == 0).any() else cells
    half = float(stats.norm.ppf(0.975)) * math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    ratio = float(a * d / (b * c))
    return ratio, Interval(ratio * math.exp(-half), ratio * math.exp(half))


def f1_score(true_active: int, n_active: int, true_inactive: int, n_inactive: int) -> float | None:
    """2·TP / (2·TP + FP + FN) of the active class; None without an active prompt."""
    if n_active == 0:
        return None
    false_active = n_inactive - true_inactive
    return 2 * true_active / (true_active + false_active + n_active)


def matthews(true_active: int, n_active: int, true_inactive: int, n_inactive: int) -> float | None:
    """Matthews correlation of label and verdict; 0 for a constant verdict, None when a class is empty."""
    if n_active == 0 or n_inactive == 0:
        return None
    false_active, missed = n_inactive - true_inactive, n_active - true_active
    called, passed = true_active + false_active, true_inactive + missed
    if called == 0 or passed == 0:
        return 0.0
    covariance = true_active * true_inactive - false_active * missed
    return covariance / math.sqrt(called * passed * n_active * n_inactive)


def fisher_p(true_active: int, n_active: int, true_inactive: int, n_inactive: int) -> float | None:
    """Exact one-sided Fisher p: P(as many true actives or more), margins kept, if verdicts were blind."""
    if n_active == 0 or n_inactive == 0:
        return None
    called = true_active + n_inactive - true_inactive
    total = math.comb(n_active + n_inactive, called)
    ways = (
        math.comb(n_active, k) * math.comb(n_inactive, called - k)
        for k in range(true_active, n_active + 1)
        if k <= called
    )
    return sum(ways) / total


def benjamini_yekutieli(p: Sequence[float | None]) -> list[float | None]:
    """False discovery rates under any dependence (Benjamini and Yekutieli 2001).

    q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎·m·H(m)/j with H(m) = Σ 1/k. Tests without a p (None) get no q and do not count in m:
    whether a head can be scored does not depend on the verdicts.
    """
    return _false_discovery_rates(p, "by")


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """False discovery rates under independence or positive dependence (Benjamini and Hochberg 1995).

    q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎·m/j. Tests without a p (None) get no q and do not count in m; one of a family fixed
    beforehand that failed for want of places should be given as p = 1.
    """
    return _false_discovery_rates(p, "bh")


def _false_discovery_rates(p: Sequence[float | None], method: Literal["bh", "by"]) -> list[float | None]:
    tested = [value for value in p if value is not None]
    if not tested:
        return [None] * len(p)
    adjusted = iter(stats.false_discovery_control(tested, method=method).tolist())
    return [None if value is None else float(next(adjusted)) for value in p]


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike) -> tuple[float, float] | None:
    """Two-sample statistic sup |F₁ − F₂| and its two-sided p; None when a sample is empty."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.size == 0 or b.size == 0:
        return None
    found = stats.ks_2samp(a, b)
    return float(found.statistic), float(found.pvalue)


def auroc(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """P(score of a positive > score of a negative) + ½·P(equal); None with one class only."""
    values, labels = np.asarray(scores, np.float64), np.asarray(positive, bool)
    n_positive, n_negative = int(labels.sum()), int((~labels).sum())
    if n_positive == 0 or n_negative == 0:
        return None
    ranks = stats.rankdata(values)
    return float((ranks[labels].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def spearman(first: ArrayLike, second: ArrayLike) -> float | None:
    """Rank correlation, ties averaged; None for fewer than 3 pairs or a constant."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


def clustered_permutation_p(
    values: ArrayLike,
    active: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    seed: int,
    permutations: int = 2000,
    side: Side = "two-sided",
) -> float | None:
    """p of "the label does not matter", labels permuted within clusters only (e.g. within each neuron).

    The statistic is Σ_c n₁n₀/n · (mean of the active − mean of the inactive), so what differs between clusters cancels.
    p = (1 + how many permutations reach it)/(1 + permutations). None when no cluster holds both labels.
    """
    x, labels = np.asarray(values, np.float64), np.asarray(active, bool)
    codes = _codes(clusters)
    informative = np.isin(codes, [c for c in np.unique(codes) if 0 < labels[codes == c].sum() < (codes == c).sum()])
    if not informative.any():
        return None
    x, labels, codes = x[informative], labels[informative], codes[informative]
    order = np.argsort(codes, kind="stable")
    x, labels, codes = x[order], labels[order], codes[order]
    for code in np.unique(codes):
        x[codes == code] -= x[codes == code].mean()
    # A key of cluster + U(0, 1) sorts each cluster's members at random and keeps clusters apart.
    keys = codes + np.random.default_rng(seed).random((permutations, len(x)))  # permutation value
    shuffled = labels[np.argsort(keys, axis=1)] @ x  # permutation
    observed = float(labels @ x)
    tolerance = 1e-12 * float(np.abs(x).sum())
    if side == "two-sided":
        shuffled, observed = np.abs(shuffled), abs(observed)
    reached = shuffled >= observed - tolerance
    return (1 + int(reached.sum())) / (1 + permutations)


def clustered_means(
    values: ArrayLike, clusters: Sequence[Hashable], *, seed: int, resamples: int = 2000
) -> Float[np.ndarray, " resample"]:
    """Bootstrap means of the values, whole clusters drawn with replacement."""
    means: Floats = drawn_clusters(np.asarray(values)[None], clusters, seed=seed, resamples=resamples)[0]
    return means


def drawn_clusters(
    values: ArrayLike, clusters: Sequence[Hashable], *, seed: int, resamples: int = 2000
) -> Float[np.ndarray, "quantity resample"]:
    """Bootstrap means of several quantities [quantity, value] over the same draws of whole clusters."""
    x, codes = np.asarray(values, np.float64), _codes(clusters)
    n_clusters = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, weights=one, minlength=n_clusters) for one in x])  # quantity cluster
    counts = np.bincount(codes, minlength=n_clusters).astype(np.float64)  # cluster
    drawn = np.random.default_rng(seed).integers(0, n_clusters, (resamples, n_clusters))
    means: Floats = sums[:, drawn].sum(axis=2) / counts[drawn].sum(axis=1)
    return means


def percentile_interval(draws: ArrayLike, confidence: float = 0.95) -> Interval:
    """The middle `confidence` of bootstrap draws."""
    low, high = np.quantile(np.asarray(draws, np.float64), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _codes(clusters: Sequence[Hashable]) -> Int[np.ndarray, " value"]:
    """Clusters numbered 0, 1, 2 … in order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)
