"""Two sets of scores against one another: a difference, an effect size, and intervals whose units are neurons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from headtorch.core.analysis.score_summary import (
    FEWEST_NEURONS,
    GroupScores,
    difference_interval,
    group_scores,
    mean_interval,
    neuron_means,
)
from headtorch.core.records import HeadId, Interval, NeuronId, Record, Score

Head: TypeAlias = tuple[NeuronId, HeadId]
Floats: TypeAlias = NDArray[np.float64]


class Comparison(Record, frozen=True, kw_only=True):
    """Scores `first` against scores `second`; every number is of the neurons' means.

    difference: mean of the first − mean of the second; for pairs the mean difference on the same heads
    delta: Cliff's delta, P(first > second) − P(first < second) over all pairs of a neuron of either set, or over the
        neurons of which both scored the same heads; 0 is no difference, ±1 is one set wholly above the other
    Intervals: 95 %; None where a set has fewer than `FEWEST_NEURONS` neurons.
    """

    paired: bool
    first: GroupScores
    second: GroupScores
    difference: float | None
    interval: Interval | None
    delta: float | None
    delta_interval: Interval | None


def compare_sets(first: Sequence[Score], second: Sequence[Score]) -> Comparison:
    """Sets of scores of different neurons, or of different models: Welch's t, and Cliff's delta over neurons."""
    x, y = _means(first), _means(second)
    both = min(x.size, y.size) > 0
    dominance = np.sign(x[:, None] - y[None, :])  # neuron neuron
    return Comparison(
        paired=False,
        first=group_scores(first),
        second=group_scores(second),
        difference=float(x.mean() - y.mean()) if both else None,
        interval=difference_interval(x, y),
        delta=float(dominance.mean()) if both else None,
        delta_interval=_dominance_interval(dominance),
    )


def compare_pairs(first: Mapping[Head, Score], second: Mapping[Head, Score]) -> Comparison:
    """Two explainers on the same heads, those that both have scored: each neuron's mean of E₁ − E₂, and its sign."""
    shared = [head for head in first if head in second and None not in (first[head].e, second[head].e)]
    gains = [(first[head].e or 0.0) - (second[head].e or 0.0) for head in shared]
    means = neuron_means(gains, [neuron for neuron, _ in shared])
    signs = np.sign(np.round(means, 12))
    return Comparison(
        paired=True,
        first=group_scores([first[head] for head in shared]),
        second=group_scores([second[head] for head in shared]),
        difference=float(means.mean()) if means.size else None,
        interval=mean_interval(means),
        delta=float(signs.mean()) if signs.size else None,
        delta_interval=_sign_interval(signs),
    )


def by_head(scores: Sequence[Score]) -> dict[Head, Score]:
    """The scores of one explainer, by neuron and head."""
    return {(score.neuron, score.head): score for score in scores}


def _means(scores: Sequence[Score]) -> Float[np.ndarray, " neuron"]:
    scorable = [(score.e, score.neuron) for score in scores if score.e is not None]
    return neuron_means([e for e, _ in scorable], [neuron for _, neuron in scorable])


def _dominance_interval(dominance: Float[np.ndarray, "neuron neuron"]) -> Interval | None:
    """Of Cliff's delta, from the unbiased variance of the mean of a table of signs (Cliff 1996)."""
    n, m = dominance.shape
    if min(n, m) < FEWEST_NEURONS:
        return None
    delta = float(dominance.mean())
    rows = float(((dominance.mean(1) - delta) ** 2).sum())
    columns = float(((dominance.mean(0) - delta) ** 2).sum())
    cells = float(((dominance - delta) ** 2).sum())
    variance = (m**2 * rows + n**2 * columns - cells) / (n * m * (n - 1) * (m - 1))
    return _delta_interval(delta, max(variance, (1 - delta**2) / (n * m - 1)), min(n, m))


def _sign_interval(signs: Float[np.ndarray, " neuron"]) -> Interval | None:
    if len(signs) < FEWEST_NEURONS:
        return None
    return _delta_interval(float(signs.mean()), float(signs.var(ddof=1)) / len(signs), len(signs))


def _delta_interval(delta: float, variance: float, units: int) -> Interval:
    """(δ − δ³ ± t·s·√(1 − 2δ² + δ⁴ + t²s²))/(1 − δ² + t²s²): within ±1, wider to the side of 0 (Feng and Cliff 2004).

    t has units − 1 degrees of freedom. For δ = ±1 the inner end is ±(n − t²)/(n + t²), as of n equal signs.
    """
    t = float(stats.t.ppf(0.975, units - 1))
    if abs(delta) == 1:
        inner = delta * (units - t**2) / (units + t**2)
        return Interval(min(delta, inner), max(delta, inner))
    spread = t**2 * variance
    half = math.sqrt(spread * ((1 - delta**2) ** 2 + spread))
    low, high = ((delta - delta**3 + side * half) / (1 - delta**2 + spread) for side in (-1, 1))
    return Interval(low, high)
