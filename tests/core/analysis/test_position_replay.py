"""Single positions run again, against whole forward passes with the same heads replaced."""

import numpy as np
import pytest
import torch

from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.gradient import gradient_estimate
from headtorch.core.analysis.position_replay import (
    HeadEdits,
    Queries,
    attribution_patching,
    observe,
    replay,
    takes_masks,
)
from headtorch.core.analysis.replacements import Replacements
from headtorch.core.records import NeuronId
from tests.tiny_models import FAMILIES, tiny_model

ROWS = [[5, 9, 3, 7, 11, 2, 40, 8, 21, 6], [4, 4, 9, 30, 2, 7, 8], [12, 3, 5, 6, 7, 22, 90, 1, 2, 17, 14, 60]]
PLACES = [(0, 9), (0, 4), (1, 6), (2, 11), (2, 11), (2, 3)]


def _one_head(model, layer, head, n, bank):
    heads = np.zeros((n, model.facts.n_layers, model.facts.n_heads), bool)
    heads[:, layer, head] = True
    return HeadEdits(heads, bank, np.zeros(n, np.int64))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param)


@pytest.fixture
def bank(model):
    torch.manual_seed(1)
    facts = model.facts
    return torch.randn(1, facts.n_layers, facts.n_heads, facts.d_head)


def _queries(neuron):
    return Queries.of(neuron, np.array([r for r, _ in PLACES]), np.array([p for _, p in PLACES]))


def test_effects_at_single_positions_equal_those_at_the_ends_of_cut_rows(model, bank):
    neuron = NeuronId(model.facts.n_layers - 1, 5)
    rows = [ROWS[r][: p + 1] for r, p in PLACES]
    by = Replacements("mean", means=bank[0])
    expected = effects(model, rows, [neuron] * len(rows), by)
    queries = _queries(neuron)
    seen = observe(model, ROWS, queries)
    np.testing.assert_allclose(seen.activation, expected.clean_activation, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.pre_activation[:, 0], expected.clean_pre_activation, rtol=1e-4, atol=1e-5)
    size = np.nanmax(np.abs(expected.activation))
    for layer, head in np.argwhere(model.eligible_heads(neuron.layer)).tolist():
        after = replay(model, ROWS, queries, _one_head(model, layer, head, len(queries), bank))
        np.testing.assert_allclose(
            seen.activation - after.activation, expected.activation[:, layer, head], rtol=1e-3, atol=2e-4 * size
        )


def test_attribution_patching_equals_the_gradient_of_whole_rows_at_their_ends(model, bank):
    neuron = NeuronId(model.facts.n_layers - 1, 5)
    rows = [ROWS[r][: p + 1] for r, p in PLACES]
    expected = gradient_estimate(model, rows, [neuron] * len(rows), Replacements("mean", means=bank[0]))
    queries = _queries(neuron)
    estimate = attribution_patching(model, ROWS, queries, bank, np.zeros(len(queries), np.int64))
    size = np.nanmax(np.abs(expected.activation))
    np.testing.assert_allclose(estimate, expected.activation, rtol=1e-3, atol=1e-4 * size)


def test_most_families_take_queries_side_by_side(model):
    assert takes_masks(model) or model.facts.family in {"gpt_neo", "bloom", "mistral", "gemma2", "gemma3"}
