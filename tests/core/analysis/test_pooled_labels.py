"""The permutation test over all pairs: by enumeration, against a regression, and calibrated where heads agree."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from headtorch.core.analysis.pooled_labels import NeuronChanges, pooled_ablation_p

Floats = NDArray[np.float64]


def drawn(rng: np.random.Generator, heads: int = 4, prompts: int = 30, effect: float = 0.0) -> NeuronChanges:
    """Heads that change uncertain prompts alike, and whose labels agree in part; two prompts a cluster at times."""
    uncertain, topic = rng.lognormal(0, 0.7, prompts), rng.normal(size=prompts)
    active = topic + 0.7 * rng.normal(size=(heads, prompts)) > 0
    changes = -uncertain * (0.5 + 0.3 * rng.random((heads, prompts))) - effect * active
    return NeuronChanges(changes, active, rng.integers(0, 2 * prompts, prompts).tolist())


def test_p_is_the_exact_one_for_a_small_table() -> None:
    """One neuron with two heads and five clusters: all 120 orders of the clusters, both heads in the same one."""
    rng = np.random.default_rng(0)
    active = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]], bool)
    changes = rng.normal(size=(2, 5)) - 0.8 * active

    def statistic(order: tuple[int, ...]) -> float:
        x = active[:, list(order)] - active.mean(1, keepdims=True)
        return float((x * (changes - changes.mean(1, keepdims=True))).sum())

    observed = abs(statistic((0, 1, 2, 3, 4)))
    exact = np.mean([abs(statistic(order)) >= observed - 1e-12 for order in permutations(range(5))])
    result = pooled_ablation_p([NeuronChanges(changes, active, "abcde")], permutations=40_000)
    assert result is not None and (result.pairs, result.neurons) == (2, 1)
    assert 0.01 < exact < 0.9 and result.p == pytest.approx(exact, abs=0.01)


def test_the_difference_is_that_of_a_regression_with_pairs() -> None:
    rng = np.random.default_rng(1)
    neurons = [drawn(rng, heads=3, prompts=12, effect=0.4) for _ in range(3)]
    x, y, pair = [], [], []
    for n, one in enumerate(neurons):
        clusters = np.array(one.clusters)
        for h in range(3):
            for cluster in np.unique(clusters):
                x.append(one.active[h, clusters == cluster].mean())
                y.append(one.changes[h, clusters == cluster].mean())
                pair.append(3 * n + h)
    design = np.column_stack([x, np.array(pair)[:, None] == np.arange(9)]).astype(float)
    result = pooled_ablation_p(neurons)
    assert result is not None and result.pairs == 9 and result.neurons == 3
    assert result.difference == pytest.approx(sm.OLS(np.array(y), design).fit().params[0])


def test_prompts_of_a_cluster_count_once_and_pairs_with_one_label_do_not_count() -> None:
    changes, active = np.array([[-1.0, -1.0, 0.0, 0.2]]), np.array([[True, True, False, False]])
    once = pooled_ablation_p([NeuronChanges(changes[:, 1:], active[:, 1:], [0, 1, 2])])
    assert pooled_ablation_p([NeuronChanges(changes, active, [0, 0, 1, 2])]) == once
    constant = NeuronChanges(changes, np.ones((1, 4), bool), range(4))
    assert pooled_ablation_p([constant]) is None and pooled_ablation_p([]) is None
    both = pooled_ablation_p([constant, NeuronChanges(changes, active, range(4))])
    assert both is not None and (both.pairs, both.neurons) == (1, 1)


def test_p_is_calibrated_where_heads_agree_and_finds_what_is_there() -> None:
    """Labels permuted head by head would reject far more often: heads of one neuron say much the same."""

    def p_of(seed: int, effect: float, *, apart: bool = False) -> float:
        rng = np.random.default_rng(seed)
        neurons = [drawn(rng, effect=effect) for _ in range(4)]
        if apart:
            neurons = [
                NeuronChanges(one.changes[h : h + 1], one.active[h : h + 1], one.clusters)
                for one in neurons
                for h in range(len(one.active))
            ]
        result = pooled_ablation_p(neurons, seed=seed, permutations=199)
        assert result is not None
        return result.p

    nulls = np.array([p_of(seed, 0.0) for seed in range(600)])
    assert 0.03 <= (nulls <= 0.05).mean() <= 0.07 and 0.45 <= nulls.mean() <= 0.55
    assert np.mean([p_of(seed, 0.0, apart=True) <= 0.05 for seed in range(300)]) > 0.12
    assert np.mean([p_of(seed, 0.4) <= 0.05 for seed in range(100)]) > 0.8
