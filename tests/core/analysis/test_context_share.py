"""What is left of a neuron without its heads, against whole forward passes with every head's output replaced."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from effect_cases import model_of, plain
from naive_effects import Change, neuron_at_end
from torch import Tensor

from headtorch.core.analysis.context_share import last_token_activations, last_token_r2, without_heads
from headtorch.core.analysis.position_replay import Queries
from headtorch.core.records import NeuronId

FAMILIES = ["gpt2", "llama", "gpt_neox", "bloom", "gemma2", "opt"]
ROWS = [[5, 9, 3, 7, 11, 2, 40, 8, 21, 6], [4, 4, 9, 30, 2, 7, 8], [12]]
PLACES = [(0, 9), (0, 4), (1, 6), (0, 4), (2, 0)]
NEURON, EARLIER = NeuronId(2, 5), NeuronId(1, 7)
by_family = pytest.mark.parametrize("family", FAMILIES)


@cache
def means(family: str) -> Tensor:
    facts = model_of(family).facts
    generator = torch.Generator().manual_seed(1)
    return torch.randn(facts.n_layers, facts.n_heads, facts.d_head, generator=generator)


def naive(family: str, row: list[int], neuron: NeuronId) -> float:
    """The neuron at the end of the row, every head of every layer at its mean there."""

    def at_its_mean(layer: int) -> Change:
        return lambda z: z[-1].copy_(means(family)[layer].flatten())  # type: ignore[func-returns-value]

    changes = {layer: at_its_mean(layer) for layer in range(len(means(family)))}
    return neuron_at_end(plain(family), row, neuron, changes)[0]


@by_family
def test_without_heads_every_head_at_p_is_at_its_mean(family: str) -> None:
    rows, ends = (np.array(one) for one in zip(*PLACES, strict=True))
    for neuron in (NEURON, EARLIER):
        left = without_heads(model_of(family), ROWS, Queries.of(neuron, rows, ends), means(family))
        expected = [naive(family, ROWS[r][: p + 1], neuron) for r, p in PLACES]
        np.testing.assert_allclose(left, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@by_family
@pytest.mark.parametrize("offset", [0, 6])
def test_of_every_token_alone_it_is_what_any_text_before_it_leaves(family: str, offset: int) -> None:
    model = model_of(family)
    of_token = last_token_activations(model, [NEURON, EARLIER], means(family), offset=offset)
    assert of_token.shape == (model.facts.d_vocab, 2)
    for token in (3, 40, model.facts.d_vocab - 1):
        expected = [naive(family, [*[8, 21, 30, 9, 4, 7][:offset], token], neuron) for neuron in (NEURON, EARLIER)]
        np.testing.assert_allclose(of_token[token], expected, rtol=1e-4, atol=1e-4 * np.abs(of_token).max())


def test_r2_is_that_of_a_line_fitted_on_the_training_places() -> None:
    rng = np.random.default_rng(0)
    x, held_out = rng.normal(size=200), np.arange(200) % 2 == 1
    assert last_token_r2(x, 3 * x - 1, held_out) == pytest.approx(1)
    y = 2 * x + rng.normal(size=200)
    y[held_out] += 0.5
    slope, constant = np.polyfit(x[~held_out], y[~held_out], 1)
    errors = y[held_out] - (slope * x[held_out] + constant)
    expected = 1 - (errors**2).mean() / y[held_out].var()
    assert last_token_r2(x, y, held_out) == pytest.approx(expected)


def test_a_token_that_says_nothing_has_no_r2_above_zero_and_a_silent_neuron_none() -> None:
    y, held_out = np.arange(20.0), np.arange(20) % 2 == 1
    constant = last_token_r2(np.ones(20), y, held_out)
    assert constant is not None and -0.1 < constant <= 0
    assert last_token_r2(y, np.ones(20), held_out) is None
    assert last_token_r2(y, y, np.zeros(20, bool)) is None
