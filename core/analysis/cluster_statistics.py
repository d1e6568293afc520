"""Shares and contrasts of sums over places, with intervals and tests that know of clusters of documents.

Effects relative to the activation are ratios of sums, Σe/Σa over the places in question: e/a explodes where the neuron
fires weakly. Intervals are 95 %. With fewer than FEWEST clusters there is neither an interval nor a p: nothing that
resamples so few clusters keeps what it promises. How each number is resampled: `cluster_resampling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headtorch.core.analysis.cluster_resampling import (
    DRAWS,
    Contrast,
    cluster_codes,
    cluster_sums,
    contrast_value,
    jackknife_error,
    shift_p,
    shifted_contrasts,
    side_clusters,
    studentised_ratio,
    t_interval,
    welch_degrees,
    wild_p,
)
from headtorch.core.analysis.statistics import balanced_accuracy, balanced_accuracy_interval
from headtorch.core.claims import Estimate
from headtorch.core.records import Interval, Verdict

FEWEST = 8  # clusters
FEWEST_OF_A_SIDE = 2.0  # effective clusters of either side of a contrast
FEW = 20.0  # of a side, below which its spread is learned from the other side, too
SPREAD_DRAWS = 1000  # enough for a standard deviation

Floats = NDArray[np.float64]


def ratio_estimate(
    numerator: ArrayLike, denominator: ArrayLike, clusters: ArrayLike, *, seed: int, draws: int = DRAWS
) -> tuple[Estimate, float | None]:
    """Σx/Σy over places, with its interval and the one-sided p of "> 0" (studentised bootstrap over clusters).

    Taken: x = a_on − a_on[z_h ← off], y = a_on − a_off. Restored: x = a_off[z_h ← on] − a_off, the same y. An effect as
    a share: x = e, y = a. Raises ValueError where Σy = 0.
    """
    codes = cluster_codes(clusters)
    x, y = cluster_sums(numerator, codes), cluster_sums(denominator, codes)
    value = _ratio(x, y)
    if len(x) < FEWEST:
        return Estimate(value), None
    interval, p = studentised_ratio(x[None], y[None], seed=seed, draws=draws)
    return Estimate(value, interval.low, interval.high), p


def share_lost(
    remaining: ArrayLike, activation: ArrayLike, clusters: ArrayLike, *, seed: int, draws: int = DRAWS
) -> tuple[Estimate, float | None]:
    """1 − Σa⁰/Σa, such as the context share, with its interval and the one-sided p of "> 0".

    Raises ValueError where Σa = 0.
    """
    a, a0 = np.asarray(activation, np.float64), np.asarray(remaining, np.float64)
    return ratio_estimate(a - a0, a, clusters, seed=seed, draws=draws)


def relative_change(
    before: ArrayLike, after: ArrayLike, clusters: ArrayLike, *, seed: int, draws: int = DRAWS
) -> Estimate:
    """Σ(x′ − x)/Σx with its interval. Raises ValueError where Σx = 0."""
    x, changed = np.asarray(before, np.float64), np.asarray(after, np.float64)
    return ratio_estimate(changed - x, x, clusters, seed=seed, draws=draws)[0]


def paired_difference(
    before: ArrayLike,
    after: ArrayLike,
    placebo_before: ArrayLike,
    placebo_after: ArrayLike,
    clusters: ArrayLike,
    *,
    seed: int,
    draws: int = DRAWS,
) -> Estimate:
    """Σ(x′ − x)/Σx − Σ(y′ − y)/Σy of the same places, y under the placebo; clusters are drawn with both.

    Raises ValueError where a sum is 0.
    """
    codes = cluster_codes(clusters)
    x, changed, y, placebo = (cluster_sums(one, codes) for one in (before, after, placebo_before, placebo_after))
    value = _ratio(changed, x) - _ratio(placebo, y)
    if len(x) < FEWEST:
        return Estimate(value)
    interval, _ = studentised_ratio(np.stack([changed, placebo]), np.stack([x, y]), seed=seed, draws=draws)
    return _estimate(value, interval)


def ratio_contrast(
    effect: ArrayLike,
    activation: ArrayLike,
    holds: ArrayLike,
    clusters: ArrayLike,
    *,
    seed: int,
    draws: int = DRAWS,
) -> tuple[Estimate | None, float | None]:
    """Δ = Σe/Σa where `holds` − Σe/Σa elsewhere, and the one-sided p of Δ > 0. Give −e for a suppressing head.

    Interval: t on Welch-Satterthwaite degrees of freedom with the error of the jackknife over clusters. Where a side
    has fewer than FEW effective clusters, (Σa_c)²/Σa_c² with a_c the cluster's Σa, the error is that of labels shifted
    over what Δ leaves, if it is larger. p: the larger of a wild cluster bootstrap with the null imposed and of shifted
    labels. Both are None where a side has fewer than two effective clusters. None, None where a side has no place.
    """
    groups = np.zeros(np.shape(np.asarray(holds)), np.int64)
    return ratio_contrast_within(effect, activation, holds, groups, clusters, seed=seed, draws=draws)


def ratio_contrast_within(
    effect: ArrayLike,
    activation: ArrayLike,
    holds: ArrayLike,
    groups: ArrayLike,
    clusters: ArrayLike,
    *,
    seed: int,
    draws: int = DRAWS,
) -> tuple[Estimate | None, float | None]:
    """Δ within groups of places, such as those that share the last token, pooled over the groups k:

        Δ = Σ_k w_k·(Σe/Σa where `holds` − Σe/Σa elsewhere)/Σ_k w_k,   w_k = a₁a₀/(a₁ + a₀)

    with a₁, a₀ = Σa of either side of the group: the coefficient of `holds` in the regression of e/a on it and the
    groups, weighted by a. Groups with one side only drop out; None, None where none remains. Otherwise as
    `ratio_contrast`.
    """
    contrast = _contrast(effect, activation, holds, groups, clusters)
    if contrast is None:
        return None, None
    sums = contrast.sums  # 4 cluster group
    whole = sums.sum(1)
    value = float(contrast_value(whole))
    if not np.isfinite(value):
        return None, None
    n_clusters, (first, second) = sums.shape[1], side_clusters(sums)
    if n_clusters < FEWEST or min(first, second) < FEWEST_OF_A_SIDE:
        return Estimate(value), None
    error = jackknife_error(contrast_value(whole[:, None] - sums))
    if min(first, second) < FEW:
        shifted = shifted_contrasts(contrast.without(value), seed=seed, draws=min(draws, SPREAD_DRAWS))
        error = max(error, float(shifted.std()))
    p = max(wild_p(sums, seed=seed, draws=draws), shift_p(contrast, seed=seed, draws=draws))
    return _estimate(value, t_interval(value, error, welch_degrees(first, second, n_clusters))), p


def clustered_accuracy(
    verdicts: Sequence[Verdict], labels: Sequence[bool], clusters: ArrayLike, *, seed: int, draws: int = DRAWS
) -> tuple[float | None, Interval | None, float | None]:
    """E = (TPR + TNR)/2 with its interval (Wilson, combined by MOVER), and the one-sided p of E > 0.5 over clusters.

    2E − 1 is the contrast of `ratio_contrast` with e = "called active" and a = 1, and so is its p. A verdict of None is
    a wrong one. All None where a class is empty.
    """
    truth = np.asarray(labels, bool)
    right = np.array(
        [verdict is not None and verdict == label for verdict, label in zip(verdicts, labels, strict=True)]
    )
    n_active, n_inactive = int(truth.sum()), int((~truth).sum())
    counts = int(right[truth].sum()), n_active, int(right[~truth].sum()), n_inactive
    called = np.where(truth, right, ~right)
    _, p = ratio_contrast(called, np.ones(len(truth)), truth, clusters, seed=seed, draws=draws)
    return balanced_accuracy(*counts), balanced_accuracy_interval(*counts), p


def _ratio(x: Floats, y: Floats) -> float:
    if float(y.sum()) == 0:
        raise ValueError("A share of a sum that is 0 is not defined.")
    return float(x.sum() / y.sum())


def _estimate(value: float, interval: Interval | None) -> Estimate:
    return Estimate(value) if interval is None else Estimate(value, interval.low, interval.high)


def _contrast(
    effect: ArrayLike, activation: ArrayLike, holds: ArrayLike, groups: ArrayLike, clusters: ArrayLike
) -> Contrast | None:
    """The places of the groups that have both sides; None without any."""
    e, a = np.asarray(effect, np.float64), np.asarray(activation, np.float64)
    side, group = np.asarray(holds, bool), cluster_codes(groups)
    both = np.bincount(group, side) * np.bincount(group, ~side) > 0
    chosen = both[group]
    if not chosen.any():
        return None
    sign = -1.0 if a[chosen].sum() < 0 else 1.0  # a neuron that fires negatively: Σe/Σa is the same
    return Contrast(
        effect=sign * e[chosen],
        activation=sign * a[chosen],
        holds=side[chosen],
        group=cluster_codes(group[chosen]),
        cluster=cluster_codes(np.asarray(clusters)[chosen]),
    )
