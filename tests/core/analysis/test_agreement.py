"""Agreement of cheap numbers with exact effects, against scipy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from tiny_models import ragged_rows, tiny_model

from headtorch.core.analysis.agreement import agreement, agreements, pearson, spearman, top_overlap
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.gradient import gradient_estimate
from headtorch.core.analysis.replacements import replacements
from headtorch.core.records import NeuronId


@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_those_of_scipy_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.integers(-4, 5, (2, 20)).astype(float)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)


def test_a_side_that_does_not_vary_has_no_correlation_and_no_top() -> None:
    flat, steep = np.zeros(9), np.arange(9.0)
    for number in (spearman, pearson, top_overlap):
        assert number(flat, steep) is None
        assert number(steep, flat) is None
        assert number(steep[:1], steep[:1]) is None


def test_a_constant_with_rounding_is_still_a_number() -> None:
    assert pearson(np.full(4, 0.1), np.arange(4.0)) is None
    assert pearson(np.array([1e-300, 0, 0]), np.arange(3.0)) is None  # its square is 0


def test_the_top_five_are_compared_in_size() -> None:
    effect = np.array([9.0, -8, 7, -6, 5, 1, 0, 0.5])
    assert top_overlap(-effect, effect) == 1
    assert top_overlap(np.array([9.0, 8, 7, 0, 1, 5, 6, 2]), effect) == pytest.approx(3 / 5)
    assert top_overlap(effect[:5], effect[:5]) is None  # of five heads, all are among the five largest


def test_ties_for_the_top_count_as_the_mean_over_all_ways_to_break_them() -> None:
    x, y = np.array([3.0, 1, 1, 1, 0]), np.array([0.0, 3, 0, 2, 1])

    def broken(values: np.ndarray) -> set[frozenset[int]]:
        orders = [sorted(order, key=lambda i: -values[i]) for order in permutations(range(5))]
        return {frozenset(order[:2]) for order in orders}

    overlaps = [len(one & other) / 2 for one in broken(x) for other in broken(y)]
    assert top_overlap(x, y, k=2) == pytest.approx(np.mean(overlaps))


def test_prompts_that_say_nothing_are_left_out_of_the_mean_and_counted() -> None:
    random = np.random.default_rng(0)
    values, effect = random.normal(size=(2, 3, 2, 4))
    values[1] = 2.0
    effect[:, 1, 3] = np.nan
    found = agreement(values, effect, "dot", "activation")
    ranks = [stats.spearmanr(values[i].ravel()[:-1], effect[i].ravel()[:-1]).statistic for i in (0, 2)]
    assert (found.n, found.n_spearman, found.n_top, found.pairs) == (3, 2, 2, 21)
    assert found.spearman == pytest.approx(np.mean(ranks))
    known = np.isfinite(effect)
    assert found.pearson == pytest.approx(stats.pearsonr(values[known], effect[known]).statistic)
    nothing = agreement(values[1:2], effect[1:2], "dot", "activation")
    assert (nothing.spearman, nothing.top, nothing.pearson, nothing.n_spearman) == (None, None, None, 0)


def expected(values: Sequence[np.ndarray], effect: Sequence[np.ndarray]) -> tuple[float, float]:
    pairs = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in zip(values, effect, strict=True)]
    within = np.mean([stats.spearmanr(x, y).statistic for x, y in pairs])
    return float(within), float(stats.pearsonr(*(np.concatenate(side) for side in zip(*pairs, strict=True))).statistic)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_every_estimate_is_compared_for_each_neuron_and_overall(family: str) -> None:
    model = tiny_model(family)
    rows = ragged_rows(model, 4)
    neurons = [NeuronId(2, 3), NeuronId(1, 8), NeuronId(2, 3), NeuronId(1, 8)]
    by = replacements(model, "mean", ragged_rows(model, 5, seed=9))
    exact, gradient = effects(model, rows, neurons, by), gradient_estimate(model, rows, neurons, by)
    attribution = attribute(model, rows, neurons)
    betas = {neuron: np.random.default_rng(neuron.index).normal(size=(3, 4)) for neuron in set(neurons)}
    found = agreements(exact, attribution, betas=betas, gradient=gradient)
    table = {(one.neuron, one.estimate, one.quantity): one for one in found}
    assert len(table) == len(found) == 3 * 5 * 2
    every = {
        ("dot", "pre_activation"): attribution.dot[:, 0],
        ("direct", "pre_activation"): attribution.heads[:, 0],
        ("direct", "activation"): attribution.direct,
        ("removal", "activation"): attribution.removal,
        ("beta", "activation"): np.stack([betas[neuron] for neuron in neurons]),
        ("gradient", "activation"): gradient.activation,
        ("gradient", "pre_activation"): gradient.pre_activation,
    }
    for neuron in (None, *neurons[:2]):
        mine = [i for i in range(4) if neuron in (None, neurons[i])]
        for (estimate, quantity), values in every.items():
            one = table[neuron, estimate, quantity]
            within, pooled = expected(values[mine], getattr(exact, quantity)[mine])
            assert (one.n, one.n_spearman) == (len(mine), len(mine))
            assert one.spearman == pytest.approx(within)
            assert one.pearson == pytest.approx(pooled, abs=1e-6)
    assert {one.estimate for one in agreements(exact, attribution)} == {"dot", "direct", "removal"}


def test_what_a_head_adds_is_compared_with_the_negative_effect_of_adding_it_again() -> None:
    model = tiny_model("gpt2")
    rows, neurons = ragged_rows(model, 3), [NeuronId(2, 3)] * 3
    doubled, attribution = effects(model, rows, neurons, replacements(model, "double")), attribute(model, rows, neurons)
    gradient = gradient_estimate(model, rows, neurons, replacements(model, "double"))
    found = {(one.estimate, one.quantity): one for one in agreements(doubled, attribution, gradient=gradient)}
    within, pooled = expected(attribution.direct, -doubled.pre_activation)
    assert found["direct", "pre_activation"].spearman == pytest.approx(within)
    assert found["direct", "pre_activation"].pearson == pytest.approx(pooled, abs=1e-6)
    assert found["gradient", "activation"].spearman == pytest.approx(
        expected(gradient.activation, doubled.activation)[0]
    )
