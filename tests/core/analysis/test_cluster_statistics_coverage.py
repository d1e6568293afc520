"""Do intervals hold the truth as often as they say, and do tests reject a true null no more often? By simulation.

Places come in clusters of 1 to 8 that share part of their effects and of the rule; activations are skewed. A share of
trials is itself uncertain: the limits of single settings leave room for that, those of all settings together do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.cluster_statistics import (
    clustered_accuracy,
    paired_difference,
    ratio_contrast,
    ratio_contrast_within,
    ratio_estimate,
    relative_change,
)
from headtorch.core.claims import Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Kind = Literal["even", "skewed", "sparse"]
KINDS: tuple[Kind, ...] = ("even", "skewed", "sparse")
DRAWS = 799


class Cluster:
    """Places of random clusters."""

    def __init__(self, rng: np.random.Generator, clusters: int) -> None:
        self.rng, self.clusters = rng, clusters
        self.of = np.repeat(np.arange(clusters), np.minimum(1 + rng.geometric(0.35, clusters), 8))
        self.n = len(self.of)
        self.activation = rng.lognormal(0, 0.5, self.n)

    def shares(self, kind: Kind) -> Floats:
        """e/a: normal, lognormal, or 0.4 at the few places that a cluster's own rate says, and near 0 elsewhere."""
        rng = self.rng
        if kind == "even":
            return 0.1 + 0.05 * rng.normal(size=self.clusters)[self.of] + 0.1 * rng.normal(size=self.n)
        if kind == "skewed":
            return 0.05 * rng.lognormal(0, 0.5, self.clusters)[self.of] * rng.lognormal(0, 1, self.n)
        rate = rng.beta(0.3, 2.7, self.clusters)[self.of]
        return np.where(rng.random(self.n) < rate, 0.4, 0.02) + 0.02 * rng.normal(size=self.n)

    def rule(self, few: int = 0) -> Bools:
        """At places of every cluster, by its own rate; or only in the first `few` clusters."""
        if few:
            return (self.of < few) & (self.rng.random(self.n) < 0.7)
        return self.rng.random(self.n) < self.rng.beta(1, 2, self.clusters)[self.of]


MEAN: dict[Kind, float] = {"even": 0.1, "skewed": 0.05 * float(np.exp(0.625)), "sparse": 0.02 + 0.1 * 0.38}


def holds_truth(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def contrast_trial(seed: int, kind: Kind, clusters: int, few: int, inverse: bool, delta: float) -> tuple[bool, bool]:
    """Whether the interval holds the truth, and whether p ≤ 0.05; true and false where nothing was computed."""
    places = Cluster(np.random.default_rng(seed), clusters)
    rule = places.rule(few) ^ inverse
    effect = places.activation * (places.shares(kind) + delta * rule)
    estimate, p = ratio_contrast(effect, places.activation, rule, places.of, seed=seed, draws=DRAWS)
    if estimate is None or estimate.low is None or p is None:
        return True, False
    return holds_truth(estimate, delta), p <= 0.05


def rates(trial: Callable[[int], tuple[bool, bool]], trials: int) -> tuple[float, float]:
    first, second = np.mean([trial(seed) for seed in range(trials)], axis=0)
    return float(first), float(second)


@pytest.mark.parametrize("delta", [0.0, 0.2])
def test_contrasts_of_a_rule_that_many_clusters_share(delta: float) -> None:
    by_setting = {
        (kind, clusters): rates(lambda seed, k=kind, n=clusters: contrast_trial(seed, k, n, 0, False, delta), 150)
        for kind in KINDS
        for clusters in (20, 60)
    }
    check(by_setting, delta)


@pytest.mark.parametrize("delta", [0.0, 0.2])
def test_contrasts_where_one_side_lies_in_few_clusters(delta: float) -> None:
    """The rule holds in 4 or 10 of 60 clusters, or everywhere but there."""
    by_setting = {
        (kind, few, inverse): rates(
            lambda seed, k=kind, f=few, i=inverse: contrast_trial(seed, k, 60, f, i, delta), 120
        )
        for kind in KINDS
        for few in (4, 10)
        for inverse in (False, True)
    }
    check(by_setting, delta)


def check(by_setting: dict[tuple[object, ...], tuple[float, float]], delta: float) -> None:
    """At least 92 % hold the truth, and without a contrast at most 5 % reject, over all settings."""
    covered, rejected = np.array(list(by_setting.values())).T
    assert covered.mean() >= 0.92 and covered.min() >= 0.89, by_setting
    if delta == 0:
        assert rejected.mean() <= 0.05 and rejected.max() <= 0.1, by_setting
    else:
        assert rejected.mean() > 0.6, by_setting


@pytest.mark.parametrize("delta", [0.0, 0.15])
def test_contrasts_within_last_tokens(delta: float) -> None:
    """Tokens differ in their effects and in how often the rule holds, so that the plain contrast is wrong."""

    def trial(seed: int, kind: Kind) -> tuple[bool, bool]:
        rng = np.random.default_rng(seed)
        places = Cluster(rng, 50)
        token = np.minimum(rng.geometric(0.15, places.n) - 1, 14)
        rule = rng.random(places.n) < (0.1 + 0.05 * token) * rng.beta(2, 2, 50)[places.of] * 2
        effect = places.activation * (places.shares(kind) + 0.03 * token + delta * rule)
        estimate, p = ratio_contrast_within(effect, places.activation, rule, token, places.of, seed=seed, draws=DRAWS)
        assert estimate is not None and p is not None
        return holds_truth(estimate, delta), p <= 0.05

    by_setting: dict[tuple[object, ...], tuple[float, float]] = {
        (kind,): rates(lambda seed, k=kind: trial(seed, k), 120) for kind in KINDS
    }
    check(by_setting, delta)


def test_shares_and_relative_changes() -> None:
    """Their intervals; p of a share that is 0 on average and even. Skewed ones have less to the side of the tail."""

    def trial(seed: int, kind: Kind, clusters: int) -> tuple[bool, bool]:
        places = Cluster(np.random.default_rng(seed), clusters)
        a, share = places.activation, places.shares(kind)
        change = relative_change(a, a * share, places.of, seed=seed, draws=DRAWS)
        _, p = ratio_estimate(a * (share - MEAN[kind]), a, places.of, seed=seed, draws=DRAWS)
        return holds_truth(change, MEAN[kind] - 1), p is not None and p <= 0.05

    by_setting = {
        (kind, n): rates(lambda seed, k=kind, n=n: trial(seed, k, n), 250) for kind in KINDS for n in (20, 60)
    }
    covered, rejected = np.array(list(by_setting.values())).T
    assert covered.mean() >= 0.92 and covered.min() >= 0.89, by_setting
    assert rejected.mean() <= 0.05 and rejected.max() <= 0.09, by_setting


def test_differences_to_the_placebo() -> None:
    """Edit and placebo share their places; the truth is the difference of the mean shares."""

    def trial(seed: int, kind: Kind, clusters: int) -> tuple[bool, bool]:
        places = Cluster(np.random.default_rng(seed), clusters)
        a, placebo = places.activation, places.shares("even")
        share = places.shares(kind) + 0.5 * placebo
        estimate = paired_difference(a, a * share, a, a * placebo, places.of, seed=seed, draws=DRAWS)
        assert estimate.high is not None
        truth = MEAN[kind] + 0.5 * MEAN["even"] - MEAN["even"]
        return holds_truth(estimate, truth), estimate.high < truth

    by_setting = {
        (kind, n): rates(lambda seed, k=kind, n=n: trial(seed, k, n), 400) for kind in KINDS for n in (12, 60)
    }
    covered, below = np.array(list(by_setting.values())).T
    assert covered.mean() >= 0.92 and covered.min() >= 0.89, by_setting
    assert below.mean() <= 0.06, by_setting


@pytest.mark.parametrize("pairs", [False, True])
def test_accuracy_of_verdicts_that_know_nothing(pairs: bool) -> None:
    """Clusters share verdicts and labels in part; with pairs, a firing place and one that is off share a verdict."""

    def trial(seed: int, clusters: int) -> tuple[bool, bool]:
        rng = np.random.default_rng(seed)
        places = Cluster(rng, clusters)
        if pairs:
            of_pair = rng.random(places.n) < rng.beta(2, 2, clusters)[places.of]
            verdict = np.concatenate([of_pair, np.where(rng.random(places.n) < 0.5, of_pair, ~of_pair)])
            label = np.arange(2 * places.n) < places.n
            cluster = np.concatenate([places.of, rng.permutation(places.of)])
        else:
            verdict, label, cluster = places.rule(), places.rule(), places.of
        _, _, p = clustered_accuracy(verdict.tolist(), label.tolist(), cluster, seed=seed, draws=DRAWS)
        return p is None, p is not None and p <= 0.05

    by_setting = {n: rates(lambda seed, n=n: trial(seed, n), 300) for n in (12, 30, 80)}
    rejected = np.array([rate for _, rate in by_setting.values()])
    assert rejected.mean() <= 0.055 and rejected.max() <= 0.08, by_setting
    assert rejected.max() >= 0.01, by_setting
