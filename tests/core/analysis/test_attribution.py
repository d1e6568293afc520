"""The parts of a pre-activation: exact, against plain Hugging Face hooks, in every family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import hf_reference as reference
import msgspec
import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, ragged_rows, tiny_hf, tiny_model, tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from headtorch.core.analysis.attribution import Attribution, attribute, attribute_all, half_rule, take
from headtorch.core.analysis.attribution_records import attribution_records
from headtorch.core.analysis.lookup import check_feeds, sources, top_upstream_neurons, upstream_contributions
from headtorch.core.errors import AddressError, Interrupted, ModelError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import GatedNumber, GatedSources, HeadId, NeuronId, PromptAttribution
from headtorch.core.watch import Watch

SUPPORTED = [family for family in FAMILIES if family not in ("falcon_new", "falcon_sequential")]
GATED = ["llama", "phi3", "gemma", "gemma2", "olmo2"]


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


@cache
def pairs_of(family: str) -> tuple[list[list[int]], list[NeuronId], Attribution]:
    """Six rows of different lengths, each with a neuron of its own, over all layers."""
    model = model_of(family)
    rows = ragged_rows(model, 6)
    neurons = [NeuronId(i % model.facts.n_layers, 5 * i + 1) for i in range(len(rows))]
    return rows, neurons, attribute(model, rows, neurons)


def observed_pre_activations(hf: PreTrainedModel, row: list[int], neuron: NeuronId) -> list[float]:
    """Straight from the output of the MLP's input projections."""
    layout = LAYOUTS[hf.config.model_type]
    block = hf.get_submodule(layout.blocks)[neuron.layer]
    places = {path: (block.get_submodule(path), "out") for path in layout.mlp_reads}
    with reference.recording(places) as seen, torch.no_grad():
        hf(torch.tensor([row]), use_cache=False)
    ends = [seen[path].reshape(len(row), -1)[-1] for path in layout.mlp_reads]
    reads = ends[0].chunk(2) if layout.fused_gate_up else ends
    return [float(read[neuron.index]) for read in reads]


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


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_which_heads_count_is_what_changing_the_last_layers_heads_does_to_the_neuron(kind: str) -> None:
    hf, [row] = tiny_hf(kind), ragged_rows(model_of(kind), 1)
    neuron = NeuronId(1, 3)
    [before] = observed_pre_activations(hf, row, neuron)
    output = reference.blocks(hf)[neuron.layer].output
    handle = output.register_forward_pre_hook(lambda _module, inputs: (2 * inputs[0],))
    [after] = observed_pre_activations(hf, row, neuron)
    handle.remove()
    counts = bool(model_of(kind).eligible_heads(neuron.layer)[neuron.layer].all())
    assert (abs(after - before) > 1e-3) == counts


@pytest.mark.parametrize("kind", reference.KINDS)
def test_moving_a_constant_from_the_value_bias_to_the_output_bias_changes_nothing(kind: str) -> None:
    rows, neurons, found = pairs_of(kind)
    hf = tiny_hf(kind)
    shift = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for block in reference.blocks(hf):
            constant = torch.randn(block.value_bias.shape, generator=shift)
            if kind == "llama":  # two heads share each value head
                constant = constant[::2].repeat_interleave(2, 0)
                _llama_value_bias(hf, block).add_(constant[::2].flatten())
            else:
                block.value_bias.add_(constant)
            block.output_bias.sub_(torch.einsum("hd,hdm->m", constant, block.output_weight))
    again = attribute(LanguageModel.from_hf(hf, tiny_tokenizer()), rows, neurons)
    np.testing.assert_allclose(again.heads, found.heads, atol=5e-5)
    np.testing.assert_allclose(again.attention_bias, found.attention_bias, atol=5e-5)
    np.testing.assert_allclose(again.sum, found.sum, atol=5e-5)


def _llama_value_bias(hf: PreTrainedModel, block: reference.Block) -> Tensor:
    layer = [one.output for one in reference.blocks(hf)].index(block.output)
    return hf.model.layers[layer].self_attn.v_proj.bias


@contextmanager
def frozen(hf: PreTrainedModel, row: list[int], layer: int) -> Iterator[list[Tensor]]:
    """Hold every head's output, every MLP's output and the scale of `layer`'s MLP norm at their values on `row`.

    Yields z per layer [position, head·d_head]: changing it in place changes what the output projections read.
    """
    blocks = reference.blocks(hf)
    places = {f"z {k}": (b.output, "in") for k, b in enumerate(blocks)} | {
        f"mlp {k}": (b.mlp, "out") for k, b in enumerate(blocks)
    }
    norm = blocks[layer].mlp_norm
    with reference.recording(places | {"r": (norm, "in")}) as seen, torch.no_grad():
        hf(torch.tensor([row]), use_cache=False)
    z = [seen[f"z {k}"][0].clone() for k in range(len(blocks))]
    scale = reference.norm_scale(norm, seen["r"])[..., None]

    def frozen_norm(module: torch.nn.Module, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        bias = getattr(module, "bias", None)
        scaled = reference.centre(module, inputs[0]) / scale * module.weight
        return scaled if bias is None else scaled + bias

    with ExitStack() as hooks:
        for k, block in enumerate(blocks):
            hooks.callback(block.output.register_forward_pre_hook(lambda _m, _x, k=k: (z[k][None],)).remove)
            mlp = seen[f"mlp {k}"]
            hooks.callback(block.mlp.register_forward_hook(lambda _m, _x, _y, mlp=mlp: mlp).remove)
        hooks.callback(norm.register_forward_hook(frozen_norm).remove)
        yield z


@pytest.mark.parametrize("kind", reference.KINDS)
@pytest.mark.parametrize("epsilon", [0.5, -1.0])
def test_scaling_a_head_with_all_else_frozen_moves_the_pre_activation_by_its_attribution(
    kind: str, epsilon: float
) -> None:
    model, hf = model_of(kind), reference.double(tiny_hf(kind))
    [row] = ragged_rows(model, 1, seed=3)
    neuron = NeuronId(2, 11)
    found = attribute(model, [row], [neuron])
    moved = np.full(found.heads[0].shape, np.nan)
    for k, block in enumerate(reference.blocks(hf)[: neuron.layer + (not model.facts.parallel)]):
        constant = reference.value_constant(block).detach()
        d_head = constant.shape[1]
        for h in range(len(constant)):
            with frozen(hf, row, neuron.layer) as z:
                before = observed_pre_activations(hf, row, neuron)
                mine = slice(h * d_head, (h + 1) * d_head)
                z[k][-1, mine] += epsilon * (z[k][-1, mine] - constant[h])
                moved[:, k, h] = np.array(observed_pre_activations(hf, row, neuron)) - before
    np.testing.assert_allclose(moved, epsilon * found.heads[0], atol=2e-5)


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


@pytest.mark.parametrize("family", SUPPORTED)
def test_sources_sum_to_the_heads_attribution(family: str) -> None:
    model = model_of(family)
    rows, neurons, found = pairs_of(family)
    neurons = [NeuronId(2, neuron.index) for neuron in neurons]
    heads = [HeadId(1, 2), HeadId(0, 0), HeadId(1, 1)]
    given = sources(model, rows, neurons, heads)
    found = attribute(model, rows, neurons)
    assert given.shape == (len(rows), 1 + model.facts.gated, len(heads), max(map(len, rows)))
    expected = np.stack([found.heads[:, :, head.layer, head.index] for head in heads], axis=2)
    np.testing.assert_allclose(given.sum(-1), expected, atol=2e-5)
    for i, row in enumerate(rows):
        assert not given[i, ..., len(row) :].any()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_each_source_equals_pattern_times_value_by_hand(kind: str) -> None:
    hf = reference.double(tiny_hf(kind))
    hf.set_attn_implementation("eager")
    [row] = ragged_rows(model_of(kind), 1, seed=4)
    neuron, head = NeuronId(1, 6), HeadId(1, 3)
    block = reference.blocks(hf)[head.layer]
    norm, bias = block.mlp_norm, getattr(block.attention_norm, "bias", 0)
    with reference.recording({"x": (block.attention_norm, "out"), "r": (norm, "in")}) as seen, torch.no_grad():
        patterns = hf(torch.tensor([row]), output_attentions=True, use_cache=False).attentions
        values = (seen["x"][0] - bias) @ block.value_weight[head.index]  # position d_head
        outputs = patterns[head.layer][0, head.index, -1][:, None] * (values @ block.output_weight[head.index])
        scaled = reference.centre(norm, outputs) * norm.weight / reference.norm_scale(norm, seen["r"][0, -1])
        expected = torch.stack([scaled @ weight[:, neuron.index] for weight in block.read_weights])
    given = sources(model_of(kind), [row], [neuron], [head])
    np.testing.assert_allclose(given[0, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", reference.KINDS)
def test_upstream_neurons_and_the_output_bias_sum_to_the_mlps_part(kind: str) -> None:
    model, hf = model_of(kind), tiny_hf(kind)
    rows, neuron = ragged_rows(model, 3), NeuronId(2, 8)
    found = attribute(model, rows, [neuron] * 3)
    given = upstream_contributions(model, rows, neuron)
    block = reference.blocks(hf)[neuron.layer]
    for k in range(neuron.layer):
        output = hf.get_submodule(LAYOUTS[hf.config.model_type].blocks)[k].get_submodule(
            LAYOUTS[hf.config.model_type].mlp_output
        )
        for i, row in enumerate(rows):
            scale = reference.norm_scale(block.mlp_norm, reference.run(hf, row)[f"r {neuron.layer}"])
            rest = reference.centre(block.mlp_norm, output.bias) * block.mlp_norm.weight / scale
            rest = torch.stack([rest @ weight[:, neuron.index] for weight in block.read_weights]).detach()
            np.testing.assert_allclose(given[i, :, k].sum(-1) + rest.numpy(), found.mlps[i, :, k], atol=2e-5)


def test_the_strongest_upstream_neurons_come_first() -> None:
    model = model_of("gpt2")
    rows, neuron = ragged_rows(model, 2), NeuronId(2, 8)
    given = upstream_contributions(model, rows, neuron)[:, 0]
    for i, strongest in enumerate(top_upstream_neurons(model, rows, neuron, n=3)):
        assert [abs(one.contribution) for one in strongest] == sorted(np.abs(given[i]).flatten(), reverse=True)[:3]
        assert all(given[i, one.neuron.layer, one.neuron.index] == one.contribution for one in strongest)
    assert top_upstream_neurons(model, rows, NeuronId(0, 8), n=3) == [[], []]


def test_a_head_that_cannot_feed_the_neuron_is_refused_with_the_reason() -> None:
    with pytest.raises(AddressError, match=r"L2\.H0 cannot feed L1\.N3, because it comes after it; .* layers 0-1"):
        check_feeds(model_of("gpt2"), HeadId(2, 0), NeuronId(1, 3))
    with pytest.raises(AddressError, match=r"L1\.H0 cannot feed L1\.N3, .* in parallel.* layers 0-0"):
        check_feeds(model_of("gpt_neox"), HeadId(1, 0), NeuronId(1, 3))
    with pytest.raises(AddressError, match="no head feeds"):
        check_feeds(model_of("gpt_neox"), HeadId(0, 0), NeuronId(0, 3))
    with pytest.raises(AddressError, match="0-3"):
        check_feeds(model_of("gpt2"), HeadId(0, 9), NeuronId(1, 3))
    check_feeds(model_of("gpt2"), HeadId(1, 0), NeuronId(1, 3))
    with pytest.raises(AddressError):
        sources(model_of("gpt2"), [[1, 2]], [NeuronId(0, 0)], [HeadId(1, 0)])


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
    assert watch.done == [2]  # the two prompts of layer 0


def test_a_record_survives_json_and_holds_null_where_a_head_cannot_feed_the_neuron() -> None:
    rows, neurons, found = pairs_of("gpt2")
    beta = np.full((3, 4), 0.25)
    neuron_zero = next(i for i, neuron in enumerate(neurons) if neuron.layer == 0)
    heads = [HeadId(0, 1)]
    given = sources(model_of("gpt2"), rows, neurons, heads)
    records = attribution_records(
        model_of("gpt2"), rows, found, heads=heads, sources=given, betas={neurons[neuron_zero]: beta}
    )
    record = msgspec.json.decode(msgspec.json.encode(records[neuron_zero]), type=PromptAttribution)
    assert record == records[neuron_zero]
    assert record.parts is not None and record.reads is None
    assert record.parts.heads[1] == [None] * 4 and None not in record.parts.heads[0]
    assert record.removal[2] == [None] * 4
    assert record.tokens == model_of("gpt2").token_texts(rows[neuron_zero])
    everything = [record.parts.embed, record.parts.position, record.parts.bias]
    everything += record.parts.attention_bias + record.parts.mlps
    everything += [value for layer in record.parts.heads for value in layer if value is not None]
    assert isinstance(record.sum, float) and isinstance(record.pre_activation, float)
    assert sum(everything) == pytest.approx(record.sum, abs=1e-5)
    assert record.error == pytest.approx(record.sum - record.pre_activation, abs=1e-9)
    assert len(record.sources["L0.H1"]) == len(record.token_ids)
    assert sum(record.sources["L0.H1"]) == pytest.approx(record.parts.heads[0][1], abs=1e-5)
    assert record.beta == beta.tolist()
    assert records[neuron_zero + 1].beta is None


def test_a_gated_neurons_record_has_a_gate_and_an_up() -> None:
    rows, neurons, found = pairs_of("llama")
    heads = [HeadId(0, 1)]
    given = sources(model_of("llama"), rows, neurons, heads)
    record = attribution_records(model_of("llama"), rows, found, heads=heads, sources=given)[2]
    assert msgspec.json.decode(msgspec.json.encode(record), type=PromptAttribution) == record
    assert record.parts is None and record.reads is not None
    assert record.reads.gate.bias == pytest.approx(found.bias[2, 0])
    assert record.reads.up.bias == pytest.approx(found.bias[2, 1])
    assert record.pre_activation == GatedNumber(*map(float, found.pre_activation[2]))
    looked_up = record.sources["L0.H1"]
    assert isinstance(looked_up, GatedSources)
    assert sum(looked_up.up) == pytest.approx(record.reads.up.heads[0][1], abs=1e-5)
