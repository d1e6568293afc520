"""The parts of a pre-activation: exact, against plain Hugging Face hooks, in every family."""

from __future__ import annotations

import hf_reference as reference
import numpy as np
import pytest
import torch
from attribution_cases import SUPPORTED, model_of, observed_pre_activations, pairs_of
from tiny_models import ragged_rows, tiny_hf

from headtorch.core.analysis.attribution import attribute, attribute_all, half_rule, take
from headtorch.core.analysis.lookup import upstream_contributions
from headtorch.core.errors import AddressError, Interrupted, ModelError
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch

GATED = ["llama", "phi3", "gemma", "gemma2", "olmo2"]


@pytest.mark.parametrize("family", SUPPORTED)
def test_parts_sum_to_the_pre_activation_that_hugging_face_computes(family: str) -> None:
    rows, neurons, found = pairs_of(family)
    hf = tiny_hf(family)
    observed = np.array([observed_pre_activations(hf, row, neuron) for row, neuron in zip(rows, neurons, strict=True)])
    n, reads = observed.shape
    parts = (found.embed, found.position, found.heads, found.attention_bias, found.mlps, found.bias)
    flat = np.concatenate([np.nan_to_num(part.reshape(n, reads, -1)) for part in parts], axis=2)
    assert np.all(np.abs(flat.sum(2) - observed) <= 1e-4 * np.abs(flat).sum(2))
    np.testing.assert_allclose(found.sum, flat.sum(2), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.pre_activation, observed, rtol=1e-4, atol=1e-5)
    assert found.relative_error.max() <= 1e-4
    np.testing.assert_allclose(found.relative_error, np.abs(found.error) / np.abs(flat).sum(2), rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("kind", reference.KINDS)
def test_every_part_equals_the_one_computed_by_hand_from_hooks_and_weight_slices(kind: str) -> None:
    rows, neurons, found = pairs_of(kind)
    hf = reference.double(tiny_hf(kind))
    for i, (row, neuron) in enumerate(zip(rows, neurons, strict=True)):
        expected = reference.reference_parts(hf, row, neuron.layer, neuron.index)
        feeding = expected["heads"].shape[1]
        for name in ("embed", "position", "bias", "pre_activation"):
            np.testing.assert_allclose(getattr(found, name)[i], expected[name].detach(), atol=2e-5, err_msg=name)
        close = {"heads": feeding, "attention_bias": feeding, "mlps": neuron.layer}
        for name, n_layers in close.items():
            if n_layers:
                np.testing.assert_allclose(
                    getattr(found, name)[i, :, :n_layers], expected[name].detach(), atol=2e-5, err_msg=name
                )
        if feeding:
            dot = expected["heads"].detach() * expected["scale"].detach()
            np.testing.assert_allclose(found.dot[i, :, :feeding], dot, atol=1e-4)
        assert np.isnan(found.heads[i, :, feeding:]).all()
        assert not found.attention_bias[i, :, feeding:].any()
        assert not found.mlps[i, :, neuron.layer :].any()


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "gpt_neox_sequential", "llama", "bloom", "gemma2", "olmo2"])
def test_heads_of_the_neurons_own_layer_count_in_sequential_models(family: str) -> None:
    _, neurons, found = pairs_of(family)
    for i, neuron in enumerate(neurons):
        assert np.isfinite(found.heads[i, :, neuron.layer]).all()
        assert np.abs(found.heads[i, :, neuron.layer]).min() > 0
        assert np.isnan(found.heads[i, :, neuron.layer + 1 :]).all()
        assert np.isnan(found.removal[i, neuron.layer + 1 :]).all()


@pytest.mark.parametrize("family", ["gpt_neox", "gptj", "phi", "falcon"])
def test_heads_of_the_neurons_own_layer_do_not_count_in_parallel_models(family: str) -> None:
    _, neurons, found = pairs_of(family)
    for i, neuron in enumerate(neurons):
        assert np.isnan(found.heads[i, :, neuron.layer :]).all()
        assert np.isfinite(found.heads[i, :, : neuron.layer]).all()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_removal_is_the_change_of_the_activation_when_the_heads_part_is_subtracted(kind: str) -> None:
    _, neurons, found = pairs_of(kind)
    act = torch.nn.functional.silu if kind == "llama" else lambda x: torch.nn.functional.gelu(x, approximate="tanh")

    def activation(reads: np.ndarray) -> np.ndarray:
        opened = act(torch.tensor(reads[0], dtype=torch.float64)).numpy()
        return opened * reads[1] if len(reads) == 2 else opened

    for i, neuron in enumerate(neurons):
        pre, heads = found.pre_activation[i, :, None, None], found.heads[i, :, : neuron.layer + 1]
        expected = activation(pre) - activation(pre - heads)
        np.testing.assert_allclose(found.removal[i, : neuron.layer + 1], expected, atol=1e-5)
        np.testing.assert_allclose(found.activation[i], activation(found.pre_activation[i]), atol=1e-5)
    headline = found.removal if kind == "llama" else found.heads[:, 0]
    np.testing.assert_array_equal(found.headline, headline)


@pytest.mark.parametrize("family", GATED)
def test_the_half_rule_over_all_parts_sums_to_a_gated_neurons_activation(family: str) -> None:
    _, _, found = pairs_of(family)
    parts = (found.embed, found.position, found.bias, found.heads, found.attention_bias, found.mlps)
    total = sum(np.nansum(found.without_reads(part).reshape(6, -1), axis=1) for part in parts)
    np.testing.assert_allclose(total, found.activation, rtol=1e-3, atol=1e-5)


def test_the_half_rule_keeps_the_gate_open_by_half_at_zero() -> None:
    parts = np.array([[[2.0], [3.0]]])  # one prompt; gate 2, up 3
    assert half_rule(parts, np.array([[2.0, 3.0]]), np.array([0.5]))[0, 0] == 0.5 * 2 * 3


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma3"])
def test_a_prompt_gives_the_same_numbers_alone_and_among_others(family: str) -> None:
    rows, neurons, together = pairs_of(family)
    for i, (row, neuron) in enumerate(zip(rows, neurons, strict=True)):
        alone = attribute(model_of(family), [row], [neuron])
        for name in ("heads", "dot", "removal", "attention_bias", "mlps", "embed", "position", "bias"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[i], atol=2e-5, err_msg=name)


def test_every_row_with_every_neuron_equals_the_pairs() -> None:
    model = model_of("gpt2")
    rows = ragged_rows(model, 4)
    neurons = [NeuronId(2, 7), NeuronId(0, 3), NeuronId(2, 1)]
    for neuron, found in zip(neurons, attribute_all(model, rows, neurons), strict=True):
        assert found.neurons == [neuron] * len(rows)
        np.testing.assert_allclose(found.heads, attribute(model, rows, [neuron] * len(rows)).heads, atol=1e-6)
    assert attribute_all(model, rows, []) == []
    assert [len(found.neurons) for found in attribute_all(model, [], neurons)] == [0] * len(neurons)


def test_chunks_of_prompts_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, neurons, whole = pairs_of("llama")
    rows, neurons = [*rows, rows[0]], [*neurons, NeuronId(2, 9)]
    monkeypatch.setattr("headtorch.core.analysis.attribution.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("headtorch.core.analysis.attribution.PROMPTS_AT_ONCE", 2)
    monkeypatch.setattr("headtorch.core.analysis.decomposition.WEIGHT_BYTES", 1)
    found = attribute(model_of("llama"), rows, neurons)
    np.testing.assert_allclose(take(found, range(6)).heads, whole.heads, atol=1e-5)
    assert found.neurons[6] == NeuronId(2, 9)
    np.testing.assert_allclose(found.sum, found.pre_activation, atol=1e-4)


def test_what_cannot_be_asked_is_refused() -> None:
    model = model_of("gpt2")
    with pytest.raises(AddressError, match="no neuron L9"):
        attribute(model, [[1, 2]], [NeuronId(9, 0)])
    with pytest.raises(ValueError, match="2 rows but 1 neurons"):
        attribute(model, [[1], [2]], [NeuronId(0, 0)])
    with pytest.raises(ModelError, match="followed by a norm"):
        upstream_contributions(model_of("gemma2"), [[1, 2]], NeuronId(1, 0))


def test_work_reports_what_is_done_and_stops_when_asked() -> None:
    class Stopping(Watch):
        def __init__(self) -> None:
            self.done: list[int] = []

        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            self.done.append(done)

        def checkpoint(self) -> None:
            if self.done:
                raise Interrupted("stopped")

    rows, neurons, _ = pairs_of("gpt2")
    watch = Stopping()
    with pytest.raises(Interrupted):
        attribute(model_of("gpt2"), rows, neurons, watch=watch)
    assert watch.done == [1]  # the shorter of the two prompts of layer 0, which are of unlike length
