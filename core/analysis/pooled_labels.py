"""Do labels matter for what ablations do, over all pairs of a neuron and a head? One permutation test.

Heads of one neuron are ablated on the same prompts: where a prediction is uncertain, every head may change it more, and
labels of several heads may agree. So the labels of all heads of a neuron are permuted together, over its clusters of
documents: what the heads share stays, what labels and changes have to do with one another goes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

PERMUTATIONS = 5000
TOLERANCE = 1e-9  # relative

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NeuronChanges:
    """What ablating each of a neuron's heads did on the same prompts, such as Δ log p(t)."""

    changes: Float[np.ndarray, "head prompt"]
    active: Bool[np.ndarray, "head prompt"]
    clusters: Sequence[Hashable]  # [prompt], of near-duplicate documents


@dataclass(frozen=True)
class PooledLabels:
    """The test over all pairs of a neuron and a head that have prompts of both labels in different clusters."""

    pairs: int
    neurons: int
    difference: float  # mean change where a head is active − elsewhere, pooled
    p: float  # two-sided


def pooled_ablation_p(
    neurons: Sequence[NeuronChanges], *, seed: int = 0, permutations: int = PERMUTATIONS
) -> PooledLabels | None:
    """Two-sided p of "the label does not matter" over all pairs, and the pooled difference.

    A cluster counts once: with x its share of active prompts and y its mean change, centred within each pair, the
    statistic is Σ x·y over pairs and clusters, and the difference Σ x·y / Σ x². p = (1 + permutations that reach the
    statistic in size)/(1 + permutations). None where no pair has clusters that differ in their labels.
    """
    rng = np.random.default_rng(seed)
    pairs, used, observed, scale, shuffled = 0, 0, 0.0, 0.0, np.zeros(permutations)
    for one in neurons:
        x, y = _by_cluster(one.active, one.clusters), _by_cluster(one.changes, one.clusters)  # head cluster
        differing = (x**2).sum(1) > 0
        if not differing.any():
            continue
        pairs, used = pairs + int(differing.sum()), used + 1
        products = x.T @ y  # cluster cluster: every cluster's labels with every cluster's changes
        places = np.arange(products.shape[0])
        orders = rng.permuted(np.tile(places, (permutations, 1)), axis=1)  # permutation cluster
        shuffled += products[orders, places].sum(1)
        observed += float(np.trace(products))
        scale += float((x**2).sum())
    if pairs == 0:
        return None
    reached = np.abs(shuffled) >= abs(observed) * (1 - TOLERANCE)
    p = (1 + int(reached.sum())) / (1 + permutations)
    return PooledLabels(pairs=pairs, neurons=used, difference=observed / scale, p=p)


def _by_cluster(values: NDArray[np.generic], clusters: Sequence[Hashable]) -> Float[np.ndarray, "head cluster"]:
    """Means over the prompts of each cluster, less the mean over clusters."""
    numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    codes = np.array([numbers[cluster] for cluster in clusters], np.int64)
    sums = np.stack([np.bincount(codes, row.astype(np.float64), len(numbers)) for row in values])
    means = sums / np.bincount(codes, minlength=len(numbers))
    centred: Floats = means - means.mean(1, keepdims=True)
    return centred
