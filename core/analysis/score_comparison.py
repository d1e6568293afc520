"""Two sets of scores against one another: a difference, an effect size, and intervals that know of the neurons.

Heads of one neuron are alike, so whole neurons are resampled, never heads.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.score_summary import GroupScores, group_scores
from headtorch.core.analysis.statistics import percentile_interval
from headtorch.core.records import HeadId, Interval, NeuronId, Record, Score

RESAMPLES = 2000
FEW = 10  # neurons below which a percentile interval is too narrow to be taken at its word

Head: TypeAlias = tuple[NeuronId, HeadId]
Floats: TypeAlias = NDArray[np.float64]


class Comparison(Record, frozen=True, kw_only=True):
    """Scores `first` against scores `second`.

    difference: of the means, first − second; for pairs the mean difference on the same head
    delta: Cliff's delta, P(first > second) − P(first < second) over all pairs of a head of either set, or over the
        heads that both have scored; 0 is no difference, ±1 is one set wholly above the other
    Intervals: 95 %, percentiles of a bootstrap over neurons; None where a set has fewer than two neurons.
    """

    paired: bool
    first: GroupScores
    second: GroupScores
    difference: float | None
    interval: Interval | None
    delta: float | None
    delta_interval: Interval | None


def compare_sets(first: Sequence[Score], second: Sequence[Score], *, seed: int = 0) -> Comparison:
    """Sets of scores of different neurons, or of different models: either side's neurons are drawn on their own.

    mean₁ − mean₂, and δ = Σᵢⱼ sign(Eᵢ − Eⱼ)/(n₁·n₂), both from sums over neurons, so that a resample is a choice of
    neurons on either side.
    """
    x, of_x = _values(first)
    y, of_y = _values(second)
    difference = delta = interval = delta_interval = None
    if x.size and y.size:
        dominance = np.sign(x[:, None] - y[None, :])
        difference, delta = float(x.mean() - y.mean()), float(dominance.mean())
        a, b = _members(of_x), _members(of_y)  # cluster value, 0 or 1
        if min(len(a), len(b)) > 1:
            u, v = _draws(len(a), seed), _draws(len(b), seed + 1)  # resample cluster
            n, m = u @ a.sum(1), v @ b.sum(1)  # resample
            interval = percentile_interval(u @ (a @ x) / n - v @ (b @ y) / m)
            delta_interval = percentile_interval(((u @ (a @ dominance @ b.T)) * v).sum(1) / (n * m))
    return Comparison(
        paired=False,
        first=group_scores(first, seed=seed),
        second=group_scores(second, seed=seed + 1),
        difference=difference,
        interval=interval,
        delta=delta,
        delta_interval=delta_interval,
    )


def compare_pairs(first: Mapping[Head, Score], second: Mapping[Head, Score], *, seed: int = 0) -> Comparison:
    """Two explainers on the same heads, those that both have scored: the mean of E₁ − E₂ and of its sign."""
    shared = [head for head in first if head in second and None not in (first[head].e, second[head].e)]
    x, clusters = _values([first[head] for head in shared])
    y, _ = _values([second[head] for head in shared])
    gain = x - y
    interval = delta_interval = None
    members = _members(clusters)
    if len(members) > 1:
        weights = _draws(len(members), seed)  # resample cluster
        n = weights @ members.sum(1)
        interval = percentile_interval(weights @ (members @ gain) / n)
        delta_interval = percentile_interval(weights @ (members @ np.sign(gain)) / n)
    return Comparison(
        paired=True,
        first=group_scores([first[head] for head in shared], seed=seed),
        second=group_scores([second[head] for head in shared], seed=seed),
        difference=float(gain.mean()) if gain.size else None,
        interval=interval,
        delta=float(np.sign(gain).mean()) if gain.size else None,
        delta_interval=delta_interval,
    )


def by_head(scores: Sequence[Score]) -> dict[Head, Score]:
    """The scores of one explainer, by neuron and head."""
    return {(score.neuron, score.head): score for score in scores}


def _values(scores: Sequence[Score]) -> tuple[Floats, list[NeuronId]]:
    scorable = [(score.e, score.neuron) for score in scores if score.e is not None]
    return np.array([e for e, _ in scorable], np.float64), [neuron for _, neuron in scorable]


def _members(clusters: Sequence[Hashable]) -> Float[np.ndarray, "cluster value"]:
    """1 where a value belongs to a cluster; clusters in order of first appearance."""
    names = list(dict.fromkeys(clusters))
    return np.array([[one == name for one in clusters] for name in names], np.float64).reshape(
        len(names), len(clusters)
    )


def _draws(clusters: int, seed: int) -> Float[np.ndarray, "resample cluster"]:
    """How often each cluster is drawn: as many draws with replacement as there are clusters."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(np.float64)
