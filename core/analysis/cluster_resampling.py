"""Resampling of whole clusters of documents: what `cluster_statistics` is made of. Works on sums of clusters [cluster].

Places of one cluster are not independent, clusters are. Chosen by simulated coverage and false positives
(tests/core/analysis/test_cluster_statistics_coverage.py):

    studentised ratio   bootstrap-t of ratios of sums: percentiles of (θ* − θ)/se* keep 95 % where those of θ* (BCa)
                        keep 84-92 %, since sums of activations are skewed
    jackknife           the spread of the values without one cluster each, with t on the effective number of clusters
    wild bootstrap      one-sided p with the null imposed; Rademacher weights, since Webb's are calibrated no better
    shifted labels      guards the two before it where a side has few places and these are by chance alike, so that
                        their spread must be learned from the other side: wild bootstraps alone rejected up to 27 %
                        at a nominal 5 %, intervals kept 80 %
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from headtorch.core.records import Interval

DRAWS = 5000
TOLERANCE = 1e-9  # relative; draws that equal what was observed count as reaching it

Floats = NDArray[np.float64]


def cluster_codes(clusters: ArrayLike | Sequence[Hashable]) -> Int[np.ndarray, " place"]:
    """Clusters numbered 0, 1, 2 … in sorted order."""
    codes: NDArray[np.int64] = np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)
    return codes


def cluster_sums(values: ArrayLike, codes: Int[np.ndarray, " place"]) -> Float[np.ndarray, " cluster"]:
    """The sum of a quantity over the places of each cluster."""
    return np.bincount(codes, weights=np.asarray(values, np.float64))


def effective_clusters(weights: Float[np.ndarray, " cluster"]) -> float:
    """(Σw)²/Σw²: how many clusters of equal weight say as much; 0 without weight."""
    total = float((weights**2).sum())
    return float(weights.sum()) ** 2 / total if total > 0 else 0.0


def cluster_draws(n: int, *, seed: int, draws: int = DRAWS) -> Float[np.ndarray, "draw cluster"]:
    """How often each of n clusters is drawn, with n draws with replacement."""
    drawn = np.random.default_rng(seed).integers(0, n, (draws, n))
    cells = drawn + n * np.arange(draws)[:, None]
    return np.bincount(cells.reshape(-1), minlength=n * draws).reshape(draws, n).astype(np.float64)


def studentised_ratio(
    numerators: Float[np.ndarray, "ratio cluster"],
    denominators: Float[np.ndarray, "ratio cluster"],
    *,
    seed: int,
    draws: int = DRAWS,
) -> tuple[Interval, float]:
    """95 % interval and one-sided p of "> 0" of θ = Σx/Σy, or of Σx/Σy − Σx′/Σy′, by the studentised bootstrap.

    t* = (θ* − θ)/se* in every resample of clusters, where se² = n/(n − 1)·Σu² with the linearised ratio's
    u = (x − θy)/Σy. The interval is [θ − t*₉₇.₅·se, θ − t*₂.₅·se], p = (1 + #{t* ≥ θ/se})/(1 + draws). A resample
    without spread has no t*.
    """
    once = np.ones((1, numerators.shape[1]))
    [theta], [se] = (one.tolist() for one in _ratio_and_error(numerators, denominators, once))
    if se <= TOLERANCE * abs(theta):
        return Interval(theta, theta), 1 / (1 + draws) if theta > 0 else 1.0
    counts = cluster_draws(numerators.shape[1], seed=seed, draws=draws)
    thetas, errors = _ratio_and_error(numerators, denominators, counts)  # each: draw
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (thetas - theta) / errors
    t = t[np.isfinite(t)]
    low, high = np.quantile(t, [0.025, 0.975]).tolist()
    return Interval(theta - high * se, theta - low * se), (1 + int((t >= theta / se).sum())) / (1 + draws)


def _ratio_and_error(
    x: Float[np.ndarray, "ratio cluster"],
    y: Float[np.ndarray, "ratio cluster"],
    counts: Float[np.ndarray, "draw cluster"],
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """θ and its standard error, with every cluster as often as `counts` says."""
    n, sign = x.shape[1], np.array([1.0, -1.0])[: len(x)]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = sign / (counts @ y.T)  # draw ratio
        ratios = (counts @ x.T) * scale * sign
        u = scale @ x - (ratios * scale) @ y  # draw cluster
        return ratios @ sign, np.sqrt(n / (n - 1) * np.einsum("dc,dc,dc->d", counts, u, u))


def jackknife_error(without: Float[np.ndarray, " cluster"]) -> float:
    """se² = (n − 1)/n·Σ(θ₋ᵢ − mean)² over the values without one cluster each; NaN where one of them is none."""
    n = len(without)
    return math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))


def t_interval(value: float, error: float, degrees: float) -> Interval | None:
    """value ± t₉₇.₅(degrees)·error; None without an error or for less than one degree of freedom."""
    if degrees < 1 or not math.isfinite(error):
        return None
    half = float(stats.t.ppf(0.975, degrees)) * error
    return Interval(value - half, value + half)


@dataclass(frozen=True)
class Contrast:
    """Places of two sides within groups: what the contrast of ratios Δ is computed from. See `contrast_value`.

    Only groups with places on both sides are in it, numbered from 0; Σ activation > 0.
    """

    effect: Float[np.ndarray, " place"]
    activation: Float[np.ndarray, " place"]
    holds: Bool[np.ndarray, " place"]
    group: Int[np.ndarray, " place"]
    cluster: Int[np.ndarray, " place"]

    @property
    def sums(self) -> Float[np.ndarray, "4 cluster group"]:
        """Σe where it holds, Σa there, Σe elsewhere, Σa there."""
        groups, clusters = int(self.group.max()) + 1, int(self.cluster.max()) + 1
        cell = self.cluster * groups + self.group
        sides = [side * values for side in (self.holds, ~self.holds) for values in (self.effect, self.activation)]
        return np.stack([np.bincount(cell, one, clusters * groups).reshape(clusters, groups) for one in sides])

    def without(self, value: float) -> Contrast:
        """The same places less a contrast of `value`: e − Δ·a where it holds."""
        return replace(self, effect=self.effect - value * self.activation * self.holds)


def contrast_parts(sums: Float[np.ndarray, "4 *cell"]) -> Float[np.ndarray, "2 *cell"]:
    """w·(e₁/a₁ − e₀/a₀) and w = a₁a₀/(a₁ + a₀), for each group; 0 for one without activation."""
    e1, a1, e0, a0 = sums
    total = np.where(a1 + a0 > 0, a1 + a0, np.inf)
    return np.stack([(e1 * a0 - e0 * a1) / total, a1 * a0 / total])


def contrast_value(sums: Float[np.ndarray, "4 *draw group"]) -> Float[np.ndarray, " *draw"]:
    """Δ = Σ_k w_k·(e₁/a₁ − e₀/a₀)/Σ_k w_k over groups k, w = a₁a₀/(a₁ + a₀): a group with one side has no weight.

    That is the coefficient of "holds" in the regression of e/a on it and the groups, weighted by a. NaN without weight.
    """
    numerator, denominator = contrast_parts(sums).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Floats = np.asarray(numerator / denominator)
    return value


def side_clusters(sums: Float[np.ndarray, "4 cluster group"]) -> tuple[float, float]:
    """The effective clusters of either side, where it holds and elsewhere; clusters weigh as they do in Δ."""
    _, a1, _, a0 = sums
    share = a1.sum(0) / (a1 + a0).sum(0)  # group
    return effective_clusters(((1 - share) * a1).sum(1)), effective_clusters((share * a0).sum(1))


def welch_degrees(first: float, second: float, clusters: int) -> float:
    """Welch-Satterthwaite degrees of freedom from the effective clusters g of two sides, both above 1.

    (1/g₁ + 1/g₀)²/(1/(g₁²(g₁ − 1)) + 1/(g₀²(g₀ − 1))), at most clusters − 1.
    """
    spread = sum(1 / (g**2 * (g - 1)) for g in (first, second))
    return min((1 / first + 1 / second) ** 2 / spread, clusters - 1)


def wild_p(sums: Float[np.ndarray, "4 cluster group"], *, seed: int, draws: int = DRAWS) -> float:
    """One-sided p of Δ > 0: wild cluster bootstrap of the studentised Δ with Δ = 0 imposed (Cameron et al. 2008).

    Residuals r = e − α_k·a under the null, with α_k = Σe/Σa of group k, get one sign per cluster and draw. Δ and the
    residuals of its own fit, hence its standard error, are linear in the signs, so a draw is one row of two products.
    """
    e1, a1, e0, a0 = sums
    total = (a1 + a0).sum(0)  # group
    share, alpha = a1.sum(0) / total, (e1 + e0).sum(0) / total
    r1, r0 = e1 - alpha * a1, e0 - alpha * a0  # cluster group
    score = ((1 - share) * r1 - share * r0).sum(1)  # cluster
    design = (1 - share) * a1 - share * a0  # cluster group
    spread = ((1 - share) ** 2 * a1 + share**2 * a0).sum(1)  # cluster
    residual = np.diag(score) - ((r1 + r0) / total) @ design.T - np.outer(score, spread) / spread.sum()
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, (draws, len(score)), np.int8) - 1.0
    signs[0] = 1.0  # what was observed, counted as one draw
    with np.errstate(divide="ignore", invalid="ignore"):
        t = signs @ score / np.linalg.norm(signs @ residual, axis=1)
    t = np.nan_to_num(t, posinf=np.inf, neginf=-np.inf)
    reached = t >= (t[0] - TOLERANCE * abs(t[0]) if np.isfinite(t[0]) else t[0])
    return int(reached.sum()) / draws


def shift_p(contrast: Contrast, *, seed: int, draws: int = DRAWS) -> float:
    """One-sided p of Δ > 0: the share of shifted labels whose Δ reaches the observed one."""
    observed = float(contrast_value(contrast.sums.sum(1)))
    reached = shifted_contrasts(contrast, seed=seed, draws=draws) >= observed - TOLERANCE * abs(observed)
    return (1 + int(reached.sum())) / (1 + len(reached))


def shifted_contrasts(contrast: Contrast, *, seed: int, draws: int = DRAWS) -> Float[np.ndarray, " draw"]:
    """Δ with the labels shifted, within groups, along places that stand cluster by cluster; at least `draws` of them.

    Clusters are put in random orders, those of the labels and of the effects apart, and the shift goes round. Labels
    and effects each keep what neighbours in a cluster share; what they have to do with one another is lost. With
    several groups every draw takes a random shift of each.
    """
    rng = np.random.default_rng(seed)
    cluster, group, groups = contrast.cluster, contrast.group, int(contrast.group.max()) + 1
    rounds = -(-draws // len(cluster))
    ranks = rng.permuted(np.tile(np.arange(int(cluster.max()) + 1), (rounds, 1)), axis=1)  # round cluster
    keys = ranks[:, cluster] + rng.random((rounds, len(cluster))) / 2 + group * (len(cluster) + 1.0)
    labels = contrast.holds[np.argsort(keys, axis=1)].astype(np.float64)  # round place, group by group
    order = np.lexsort((cluster, group))
    ends = np.cumsum(np.bincount(group))
    numerator, denominator = np.zeros((2, rounds * len(cluster) if groups == 1 else draws))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        effect, activation = contrast.effect[order[start:end]], contrast.activation[order[start:end]]
        parts = contrast_parts(_shifted(labels[:, start:end], effect, activation))  # 2 shift
        picked = slice(None) if groups == 1 else rng.integers(0, parts.shape[1], draws)
        numerator += parts[0][picked]
        denominator += parts[1][picked]
    return numerator / denominator


def _shifted(
    labels: Float[np.ndarray, "round place"], effect: Float[np.ndarray, " place"], activation: Floats
) -> Float[np.ndarray, "4 shift"]:
    """The sums of one group's sides for every shift of every round's labels: circular correlations, by FFT."""
    n, of_labels = len(effect), np.fft.rfft(labels)
    e1, a1 = (np.fft.irfft(of_labels * np.conj(np.fft.rfft(one)), n).reshape(-1) for one in (effect, activation))
    return np.stack([e1, a1, effect.sum() - e1, activation.sum() - a1])
