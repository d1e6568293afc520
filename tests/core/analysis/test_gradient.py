"""The gradient estimate of effects: the slope of the neuron, by finite differences in plain Hugging Face models."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from effect_cases import asked, made, model_of, plain, stand_ins
from naive_effects import neuron_at_end
from tiny_models import FAMILIES, ragged_rows
from torch import Tensor

from headtorch.core.analysis.gradient import estimate_error, gradient_estimate
from headtorch.core.analysis.replacements import Replacements
from headtorch.core.causes import Where
from headtorch.core.records import NeuronId


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_estimate_is_the_slope_of_a_small_step_towards_the_replacement(family: str) -> None:
    model, hf = model_of(family), copy.deepcopy(plain(family)).double()
    row, neuron, step = ragged_rows(model, 2)[1], NeuronId(2, 4), 2e-3  # norms and softmaxes stay in fp32
    where: Where = "all" if FAMILIES.index(family) % 2 else "last"
    by = made(family, "mean")
    found = gradient_estimate(model, [row], [neuron], by, where=where)
    [vectors] = stand_ins(by, family, row)
    d_head = model.facts.d_head
    for k, h in [(0, 1), (1, 3)]:
        mine = slice(h * d_head, (h + 1) * d_head)
        moved = []
        for way in (1, -1):

            def nudge(z: Tensor, k: int = k, mine: slice = mine, way: int = way) -> None:
                here = slice(-1, None) if where == "last" else slice(None)
                z[here, mine] += way * step * (vectors[k][mine] - z[here, mine])

            moved.append(np.array(neuron_at_end(hf, row, neuron, {k: nudge})))
        slope = (moved[1] - moved[0]) / (2 * step)
        np.testing.assert_allclose((found.activation[0, k, h], found.pre_activation[0, k, h]), slope, atol=2e-3)


def test_the_gradient_estimate_of_a_resampling_is_that_of_the_mean_donor() -> None:
    model, (rows, neurons) = model_of("llama"), asked("llama")
    by = made("llama", "resample")
    found = gradient_estimate(model, rows, neurons, by)
    for i, (row, neuron) in enumerate(zip(rows, neurons, strict=True)):
        assert by.pool is not None
        mean = Replacements("mean", means=by.pool[by.drawn(row)].mean(0))
        alone = gradient_estimate(model, [row], [neuron], mean)
        np.testing.assert_allclose(alone.activation[0], found.activation[i], atol=2e-5)


def test_the_error_of_an_estimate_is_its_largest_and_its_mean_square_distance_from_the_effects() -> None:
    exact, estimate = np.array([[3.0, -4.0], [np.nan, 0.0]]), np.array([[3.0, -3.0], [np.nan, -1.0]])
    error = estimate_error(estimate, exact)
    assert error.max == 1
    assert error.rms_relative == pytest.approx(np.sqrt(2 / 25))
    assert estimate_error(estimate[1], exact[1]).rms_relative is None
    assert estimate_error(np.array([np.nan]), np.array([np.nan])).max is None
