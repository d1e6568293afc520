"""The paper's ablation, value vectors at zero with the value biases kept, against plain Hugging Face hooks.

The constant that stands in for z is made here from the model's own modules: the value projection read at the bias of
the norm before it, which is what it gives where the normalised residual stream is 0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ragged_rows, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.gradient import gradient_estimate
from headtorch.core.analysis.replacements import replacements, value_constants
from headtorch.core.causes import Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import HeadId, NeuronId

# of blocks; inside a block of the norm before attention, the projection that makes values, the output projection
PATHS = {
    "gpt2": ("transformer.h", "ln_1", "attn.c_attn", "attn.c_proj"),
    "gpt_neox": ("gpt_neox.layers", "input_layernorm", "attention.query_key_value", "attention.dense"),
    "llama": ("model.layers", "input_layernorm", "self_attn.v_proj", "self_attn.o_proj"),
    "opt": ("model.decoder.layers", "self_attn_layer_norm", "self_attn.v_proj", "self_attn.out_proj"),
    "gemma": ("model.layers", "input_layernorm", "self_attn.v_proj", "self_attn.o_proj"),
    "gemma2": ("model.layers", "input_layernorm", "self_attn.v_proj", "self_attn.o_proj"),
}
KINDS = ("demo", "gpt2", "gpt_neox", "gpt_neox_sequential", "llama", "opt", "gemma", "gemma2")
HEADS = [HeadId(0, 1), HeadId(1, 0), HeadId(1, 3)]
NEURON = NeuronId(2, 4)
WHERE: tuple[Where, ...] = ("all", "last")


@cache
def model_of(kind: str) -> LanguageModel:
    return open_model("demo", device="cpu") if kind == "demo" else tiny_model(kind)


def rows_of(model: LanguageModel) -> list[list[int]]:
    return [*ragged_rows(model, 4), [3, 5]]


def parts(hf: PreTrainedModel, layer: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    blocks, *inside = PATHS[hf.config.model_type]
    block = hf.get_submodule(blocks)[layer]  # type: ignore[index]
    return tuple(block.get_submodule(path) for path in inside)  # type: ignore[return-value]


@torch.no_grad()
def constant(hf: PreTrainedModel, head: HeadId) -> Tensor:
    """What every value vector of the head holds, whatever the token: [d_head]."""
    norm, project, _ = parts(hf, head.layer)
    config = hf.config
    bias = getattr(norm, "bias", None)
    values = project(torch.zeros(1, 1, config.hidden_size) if bias is None else bias[None, None])[0, 0]
    if config.model_type == "gpt2":
        return values.chunk(3)[2].unflatten(0, (config.num_attention_heads, -1))[head.index]
    if config.model_type == "gpt_neox":
        return values.unflatten(0, (config.num_attention_heads, 3, -1))[head.index, 2]
    groups = getattr(config, "num_key_value_heads", config.num_attention_heads)
    return values.unflatten(0, (groups, -1))[head.index * groups // config.num_attention_heads]


@contextmanager
def held(hf: PreTrainedModel, head: HeadId, value: Tensor, where: Where) -> Iterator[None]:
    """While this holds, the head's z is `value`, everywhere or at the last position of the one row that is read."""
    mine = slice(head.index * len(value), (head.index + 1) * len(value))

    def put(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        z = inputs[0].clone()
        flat = z.view(-1, z.shape[-1])  # position head·d_head
        flat[slice(None) if where == "all" else -1, mine] = value
        return (z, *inputs[1:])

    handle = parts(hf, head.layer)[2].register_forward_pre_hook(put)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def p_of_all(model: LanguageModel, row: Sequence[int]) -> Tensor:
    """p of every token at the row's end."""
    logits = model.hf(torch.tensor([list(row)]), use_cache=False).logits[0, -1, : model.facts.d_vocab]
    return logits.double().softmax(0)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", KINDS)
def test_the_change_of_p_equals_plain_hooks_that_hold_z_at_its_constant(kind: str, where: Where) -> None:
    model = model_of(kind)
    rows = rows_of(model)
    clean = [p_of_all(model, row) for row in rows]
    token = int(clean[0].argmax())
    changes = ablate_heads(model, rows, NEURON, token, HEADS, replacement="zero-values", where=where)
    for head, change in zip(HEADS, changes, strict=True):
        with held(model.hf, head, constant(model.hf, head), where):
            expected = [
                float(p_of_all(model, row)[token] - before[token]) for row, before in zip(rows, clean, strict=True)
            ]
        np.testing.assert_allclose(change.delta_p, expected, atol=1e-5)
    assert max(np.abs(change.delta_p).max() for change in changes) > 1e-3


def test_without_any_bias_of_values_it_is_zero_and_with_one_it_is_not() -> None:
    for kind, differs in (("gemma", False), ("demo", True), ("gpt2", True), ("llama", True), ("gemma2", True)):
        model = model_of(kind)
        zero, kept = (
            ablate_heads(model, rows_of(model), NEURON, 17, HEADS, replacement=replacement, where="all")
            for replacement in ("zero", "zero-values")
        )
        apart = max(np.abs(one.delta_log_p - other.delta_log_p).max() for one, other in zip(zero, kept, strict=True))
        assert (apart > 1e-2) if differs else apart == 0, kind


def test_it_is_zero_value_vectors_in_a_model_whose_value_biases_were_moved_into_the_output_bias() -> None:
    model = model_of("gpt2")
    folded = copy.deepcopy(model.hf)
    width = folded.config.hidden_size
    for layer in range(folded.config.n_layer):
        norm, project, output = parts(folded, layer)
        heads = [constant(model.hf, HeadId(layer, index)) for index in range(folded.config.n_head)]
        with torch.no_grad():
            output.bias += torch.cat(heads) @ output.weight
            project.bias[2 * width :] = -(norm.bias @ project.weight[:, 2 * width :])
    rows, head, token = rows_of(model), HeadId(1, 2), 17

    def no_values(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output.chunk(3, dim=-1)[2].unflatten(-1, (folded.config.n_head, -1))[..., head.index, :] = 0
        return output

    def p(row: Sequence[int]) -> float:
        with torch.no_grad():
            logits = folded(torch.tensor([list(row)])).logits[0, -1, : model.facts.d_vocab]
        return float(logits.double().softmax(0)[token])

    clean = [p(row) for row in rows]
    np.testing.assert_allclose(clean, [float(p_of_all(model, row)[token]) for row in rows], atol=1e-6)
    handle = parts(folded, head.layer)[1].register_forward_hook(no_values)
    expected = [p(row) - before for row, before in zip(rows, clean, strict=True)]
    handle.remove()
    [change] = ablate_heads(model, rows, NEURON, token, [head], replacement="zero-values", where="all")
    np.testing.assert_allclose(change.delta_p, expected, atol=1e-5)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_effects_and_their_estimate_replace_by_the_same_constant(kind: str, where: Where) -> None:
    model = model_of(kind)
    rows, by = rows_of(model), replacements(model, "zero-values")
    exact = effects(model, rows, [NEURON] * len(rows), by, where=where)
    changes = ablate_heads(model, rows, NEURON, 17, HEADS, by=by, where=where)
    for head, change in zip(HEADS, changes, strict=True):
        np.testing.assert_allclose(-exact.activation[:, head.layer, head.index], change.delta_activation, atol=5e-5)
    constants = value_constants(model)
    for head in HEADS:
        np.testing.assert_allclose(constants[head.layer, head.index], constant(model.hf, head), atol=1e-6)
    estimate = gradient_estimate(model, rows, [NEURON] * len(rows), by, where=where)
    fires = np.isfinite(exact.activation)
    assert np.isfinite(estimate.activation[fires]).all() and exact.replacement == "zero-values"
