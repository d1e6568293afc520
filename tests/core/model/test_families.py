"""Every supported family, on tiny random models: both faces are the Hugging Face model, and the parts make the whole.

What is expected comes from plain Hugging Face forward hooks and parameters, by module paths written down here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import Float
from tiny_models import CONFIGS, FAMILIES, PADDED_ROWS, ragged_rows, tiny_hf, tiny_tokenizer
from torch import Tensor, nn

from headtorch.core.model.checks import head_contributions, sum_of_parts
from headtorch.core.model.fingerprint import module_fingerprint
from headtorch.core.model.language_model import LanguageModel

TOLERANCE = 1e-4  # the most that any number may differ, relative to its scale
Make = Callable[..., LanguageModel]

BLOCKS = {"gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers"} | dict.fromkeys(
    ("gpt2", "gpt_neo", "gptj", "falcon", "bloom"), "transformer.h"
)
READS = {
    "gpt2": ["mlp.c_fc"],
    "gpt_neo": ["mlp.c_fc"],
    "gpt_neox": ["mlp.dense_h_to_4h"],
    "gptj": ["mlp.fc_in"],
    "phi": ["mlp.fc1"],
    "phi3": ["mlp.gate_up_proj"],
    "falcon": ["mlp.dense_h_to_4h"],
    "bloom": ["mlp.dense_h_to_4h"],
    "opt": ["fc1"],
}
OUTPUTS = {
    "gpt2": "mlp.c_proj",
    "gpt_neo": "mlp.c_proj",
    "gpt_neox": "mlp.dense_4h_to_h",
    "gptj": "mlp.fc_out",
    "phi": "mlp.fc2",
    "falcon": "mlp.dense_4h_to_h",
    "bloom": "mlp.dense_4h_to_h",
    "opt": "fc2",
}
VALUES = {
    "gpt2": "attn.c_attn",
    "gpt_neo": "attn.attention.v_proj",
    "gpt_neox": "attention.query_key_value",
    "gptj": "attn.v_proj",
    "phi3": "self_attn.qkv_proj",
    "falcon": "self_attention.query_key_value",
    "bloom": "self_attention.query_key_value",
}
PARALLEL = {"gpt_neox", "gptj", "phi", "falcon"}
POST_NORM = {"gemma2", "gemma3", "olmo2"}


def kind(family: str) -> str:
    """The family that a variant such as gpt_neox_sequential belongs to."""
    return family.removesuffix("_sequential")


def block_of(model: LanguageModel, family: str, layer: int) -> nn.Module:
    return model.hf.get_submodule(f"{BLOCKS.get(kind(family), 'model.layers')}.{layer}")


def padded(rows: list[list[int]]) -> Tensor:
    out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row)
    return out


def watched(model: LanguageModel, module: nn.Module, row: list[int], *, output: bool) -> Tensor:
    """What goes into or out of `module` when Hugging Face runs one row alone: [position, width]."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: Any, out: Any) -> None:
        found = out if output else inputs[0]
        seen.append(found.detach().clone())  # Falcon adds to the MLP's output in place

    handle = module.register_forward_hook(keep)
    model.hf(input_ids=torch.tensor([row]))
    handle.remove()
    return seen[0].reshape(len(row), -1)


def pre_activations(model: LanguageModel, family: str, layer: int, row: list[int]) -> Float[Tensor, "read d_mlp"]:
    """Observed at the row's last position by a Hugging Face hook on the MLP's input projection."""
    block = block_of(model, family, layer)
    paths = READS.get(kind(family), ["mlp.gate_proj", "mlp.up_proj"])
    found = torch.cat([watched(model, block.get_submodule(path), row, output=True)[-1] for path in paths])
    return found.reshape(2 if kind(family) == "phi3" else len(paths), -1)


def value_weight(family: str, module: nn.Module, heads: int, d_head: int) -> Float[Tensor, "kv_head*d_head d_model"]:
    """W_V as Hugging Face stores it in `module`, which may hold queries and keys too."""
    weight = module.weight.float()
    match kind(family):
        case "gpt2":  # [d_model, 3 * d_model]
            return weight.T[-heads * d_head :]
        case "phi3":
            return weight[heads * d_head :].chunk(2)[1]
        case "falcon" if family == "falcon":  # all queries, one key, one value
            return weight[-d_head:]
        case "gpt_neox" | "bloom" | "falcon":  # head by head: query, key, value
            return weight.reshape(heads, 3, d_head, -1)[:, 2].flatten(0, 1)
        case _:
            return weight


def close(one: Tensor, other: Tensor, scale: Tensor | None = None) -> bool:
    size = (other if scale is None else scale).abs().max()
    return float((one - other).abs().max()) <= TOLERANCE * float(size)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str, tiny_model: Make) -> LanguageModel:
    return tiny_model(family)


def test_scan_face_gives_the_activations_that_hugging_face_computes(family: str, model: LanguageModel) -> None:
    rows = ragged_rows(model)
    layers = [0, model.facts.n_layers - 1]
    found = model.mlp_activations(padded(rows), layers)
    assert sorted(found) == layers
    for layer in layers:
        output = block_of(model, family, layer).get_submodule(OUTPUTS.get(kind(family), "mlp.down_proj"))
        for i, row in enumerate(rows):
            assert close(found[layer][i, : len(row)], watched(model, output, row, output=False))


def test_logits_are_those_of_hugging_face_over_the_tokens_of_the_tokenizer(model: LanguageModel) -> None:
    rows = ragged_rows(model)
    found = model.logits(padded(rows))
    for i, row in enumerate(rows):
        expected = model.hf(input_ids=torch.tensor([row])).logits[0]
        assert expected.shape[-1] - found.shape[-1] == PADDED_ROWS
        assert close(found[i, : len(row)], expected[:, : found.shape[-1]])


def test_a_row_gives_the_same_numbers_alone_and_in_a_batch(model: LanguageModel) -> None:
    rows = ragged_rows(model)
    layer = model.facts.n_layers - 1
    together = model.trace(rows, layer)
    activations = model.mlp_activations(padded(rows), [layer])[layer]
    for i, row in enumerate(rows):
        alone = model.trace([row], layer)
        for name in ("heads", "residual", "mlps", "attention_bias", "activation", "pre_activation", "embed"):
            assert close(getattr(together, name)[i], getattr(alone, name)[0]), name
        assert close(together.patterns[i, ..., : len(row)], alone.patterns[0])
        assert close(together.values[i, :, : len(row)], alone.values[0])
        assert not together.patterns[i, ..., len(row) :].any()
        assert close(activations[i, : len(row)], model.mlp_activations(torch.tensor([row]), [layer])[layer][0])


def test_the_parts_sum_to_the_pre_activation_that_hugging_face_computes(family: str, model: LanguageModel) -> None:
    rows = ragged_rows(model)
    for layer in range(model.facts.n_layers):
        trace = model.trace(rows, layer)
        heads = head_contributions(model, trace).flatten(1, 2)  # [row, layer * head, d_model]
        position = [] if trace.position is None else [trace.position[:, None]]
        parts = torch.cat([trace.embed[:, None], *position, heads, trace.attention_bias, trace.mlps], dim=1)
        through = torch.einsum("rpd,xnd->rpxn", parts, model.read_directions(layer)) / trace.scale[:, None, None, None]
        biases = model.read_biases(layer)  # [read, neuron]
        total, size = through.sum(1) + biases, through.abs().sum(1) + biases.abs()
        observed = torch.stack([pre_activations(model, family, layer, row) for row in rows])
        assert float(((total - observed).abs() / size).max()) <= TOLERANCE


def test_both_faces_see_the_same_neurons(family: str, model: LanguageModel) -> None:
    rows = ragged_rows(model)
    for layer in range(model.facts.n_layers):
        trace = model.trace(rows, layer)
        scanned = model.mlp_activations(padded(rows), [layer])[layer]
        at_last = scanned[torch.arange(len(rows)), trace.lengths - 1]
        assert close(trace.activation, at_last)
        assert close(model.activate(trace.pre_activation.transpose(0, 1)), at_last)
        assert close(sum_of_parts(model, trace), trace.residual)


def test_sources_sum_to_the_heads(model: LanguageModel) -> None:
    trace = model.trace(ragged_rows(model), model.facts.n_layers - 1)
    looked_up = torch.einsum("rkhs,rkshe->rkhe", trace.patterns, trace.values)
    assert close(looked_up, trace.heads)
    assert torch.allclose(trace.patterns.sum(-1), torch.ones(()), atol=1e-5)


def test_values_are_the_value_weights_on_the_normalised_stream_without_any_bias(
    family: str, model: LanguageModel
) -> None:
    row = ragged_rows(model)[2]
    trace = model.trace([row], model.facts.n_layers - 1)
    facts = model.facts
    for layer in range(trace.values.shape[1]):
        module = block_of(model, family, layer).get_submodule(VALUES.get(kind(family), "self_attn.v_proj"))
        stream = watched(model, module, row, output=False)  # what the value projection reads
        norm = model._anatomy.blocks[layer].attention_norm
        if norm is not None and norm.bias is not None:
            stream = stream - norm.bias
        values = stream @ value_weight(family, module, facts.n_heads, facts.d_head).T
        by_head = values.reshape(len(row), facts.n_kv_heads, facts.d_head)
        expected = by_head.repeat_interleave(facts.n_heads // facts.n_kv_heads, dim=1)
        assert close(trace.values[0, layer], expected)


def test_patterns_are_those_of_hugging_face(family: str, model: LanguageModel) -> None:
    plain = tiny_hf(family, attn_implementation="eager").requires_grad_(False)
    row = ragged_rows(model)[3]
    layer = model.facts.n_layers - 1
    trace = model.trace([row], layer)
    attentions = plain(input_ids=torch.tensor([row]), output_attentions=True).attentions
    for k in range(trace.patterns.shape[1]):
        assert close(trace.patterns[0, k], attentions[k][0, :, -1])


def test_unembedding_gives_the_logits_up_to_a_constant_of_each_token(family: str, model: LanguageModel) -> None:
    row = ragged_rows(model)[3]
    residual = watched(model, model.final_norm, row, output=False)
    logits = model.logits(torch.tensor([row]))[0]
    if model.facts.soft_cap is not None:
        logits = model.facts.soft_cap * torch.atanh(logits / model.facts.soft_cap)
    constant = logits - residual @ model.unembedding() / model.final_scale(residual)[:, None]  # [position, token]
    assert close(constant, constant[:1].expand_as(constant), scale=logits)
    some = [5, 0, 77]
    assert torch.equal(model.unembedding(some), model.unembedding()[:, some])


def test_write_directions_make_what_the_mlp_adds_to_the_stream(family: str, model: LanguageModel) -> None:
    row = ragged_rows(model)[1]
    block = block_of(model, family, 1)
    output = block.get_submodule(OUTPUTS.get(kind(family), "mlp.down_proj"))
    written = model.mlp_activations(torch.tensor([row]), [1])[1][0] @ model.write_directions(1)
    if family in POST_NORM:
        norm = block.get_submodule("post_feedforward_layernorm")
        before, added = (watched(model, norm, row, output=side) for side in (False, True))
        eps = getattr(norm, "eps", None) or norm.variance_epsilon
        assert close(written / (before.square().mean(-1, keepdim=True) + eps).sqrt(), added)
    else:
        bias = 0 if output.bias is None else output.bias
        assert close(written + bias, watched(model, output, row, output=True))


def test_weights_of_chosen_neurons_are_rows_of_all_weights(model: LanguageModel) -> None:
    some = [7, 0, 31]
    assert torch.equal(model.read_directions(1, some), model.read_directions(1)[:, some])
    assert close(model.read_biases(1, some), model.read_biases(1)[:, some])
    assert torch.equal(model.write_directions(1, slice(3, 9)), model.write_directions(1)[3:9])


def test_facts_tell_the_architecture(family: str, model: LanguageModel) -> None:
    facts, config = model.facts, CONFIGS[family]()
    assert facts.family == config.model_type
    assert (facts.n_layers, facts.n_heads, facts.d_model) == (config.num_hidden_layers, 4, 32)
    assert facts.parallel == (family in PARALLEL)
    assert facts.post_norm == (family in POST_NORM)
    assert facts.gated == (kind(family) not in READS or family == "phi3")
    assert facts.d_vocab == len(model.tokenizer)
    assert facts.first_token == model.tokenizer.bos_token_id
    layer = 2
    feeding = layer if facts.parallel else layer + 1
    assert model.eligible_heads(layer).sum() == feeding * facts.n_heads
    assert model.trace([[1, 2, 3]], layer).heads.shape[1] == feeding


def test_without_a_first_token_rows_begin_with_their_text(family: str, tiny_model: Make) -> None:
    model = tiny_model(family, bos=False)
    assert model.facts.first_token is None
    row = model.row("The State of the Union")
    assert row == model.encode("The State of the Union")
    trace = model.trace([row], 1)
    scanned = model.mlp_activations(torch.tensor([row]), [1])[1][0, -1]
    assert close(trace.activation[0], scanned)


def test_inspection_leaves_the_scanning_model_as_it_was(family: str) -> None:
    model = LanguageModel.from_hf(tiny_hf(family), tiny_tokenizer())
    before = (model.hf.config._attn_implementation, type(model.mlp_output_modules[0]), model.facts.fingerprint)
    model.trace([[1, 2, 3]], 1)
    after = (model.hf.config._attn_implementation, type(model.mlp_output_modules[0]), module_fingerprint(model.hf))
    assert before == after
