"""What changing the model does to a pre-activation is what the attribution of its heads says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import hf_reference as reference
import numpy as np
import pytest
import torch
from attribution_cases import model_of, observed_pre_activations, pairs_of
from tiny_models import ragged_rows, tiny_hf, tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from headtorch.core.analysis.attribution import attribute
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId


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
