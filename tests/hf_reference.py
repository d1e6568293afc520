"""The decomposition once more, by hand: plain Hugging Face forward hooks and weight slices, one row at a time, in fp64.

Nothing here uses headtorch's own model code, so that agreement means something. Only three kinds of model are written
out; they cover LayerNorm and RMSNorm, sequential and parallel blocks, fused and grouped projections, gated MLPs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

KINDS = ("gpt2", "gpt_neox", "gpt_neox_sequential", "llama")


@dataclass
class Block:
    """The modules of one block and its value and output weights, head by head."""

    attention_norm: nn.Module
    output: nn.Module
    mlp_norm: nn.Module
    mlp: nn.Module
    reads: list[nn.Module]
    value_weight: Tensor  # head d_model d_head
    value_bias: Tensor  # head d_head
    output_weight: Tensor  # head d_head d_model
    output_bias: Tensor  # d_model
    read_weights: list[Tensor]  # each d_model d_mlp


def double(hf: PreTrainedModel) -> PreTrainedModel:
    """A copy in fp64."""
    return copy.deepcopy(hf).double().eval()


def blocks(hf: PreTrainedModel) -> list[Block]:
    kind = hf.config.model_type
    if kind == "gpt2":
        return [_gpt2(block, hf.config.n_head) for block in hf.transformer.h]
    if kind == "gpt_neox":
        return [_neox(block, hf.config.num_attention_heads) for block in hf.gpt_neox.layers]
    return [_llama(block, hf.config) for block in hf.model.layers]


def _gpt2(block: Any, heads: int) -> Block:
    width = block.attn.c_proj.weight.shape[0]
    value = block.attn.c_attn.weight[:, 2 * width :]  # d_model head·d_head
    return Block(
        block.ln_1, block.attn.c_proj, block.ln_2, block.mlp, [block.mlp.c_fc],
        value.unflatten(1, (heads, -1)).transpose(0, 1),
        block.attn.c_attn.bias[2 * width :].unflatten(0, (heads, -1)),
        block.attn.c_proj.weight.unflatten(0, (heads, -1)),
        block.attn.c_proj.bias,
        [block.mlp.c_fc.weight],
    )  # fmt: skip


def _neox(block: Any, heads: int) -> Block:
    fused = block.attention.query_key_value
    weight = fused.weight.unflatten(0, (heads, 3, -1))[:, 2]  # head d_head d_model
    return Block(
        block.input_layernorm, block.attention.dense, block.post_attention_layernorm, block.mlp,
        [block.mlp.dense_h_to_4h],
        weight.transpose(1, 2),
        fused.bias.unflatten(0, (heads, 3, -1))[:, 2],
        block.attention.dense.weight.T.unflatten(0, (heads, -1)),
        block.attention.dense.bias,
        [block.mlp.dense_h_to_4h.weight.T],
    )  # fmt: skip


def _llama(block: Any, config: Any) -> Block:
    groups = config.num_key_value_heads
    shared = config.num_attention_heads // groups
    value, output = block.self_attn.v_proj, block.self_attn.o_proj
    return Block(
        block.input_layernorm, output, block.post_attention_layernorm, block.mlp,
        [block.mlp.gate_proj, block.mlp.up_proj],
        value.weight.unflatten(0, (groups, -1)).transpose(1, 2).repeat_interleave(shared, 0),
        value.bias.unflatten(0, (groups, -1)).repeat_interleave(shared, 0),
        output.weight.T.unflatten(0, (config.num_attention_heads, -1)),
        output.bias,
        [block.mlp.gate_proj.weight.T, block.mlp.up_proj.weight.T],
    )  # fmt: skip


@contextmanager
def recording(places: dict[str, tuple[nn.Module, str]]) -> Iterator[dict[str, Tensor]]:
    """Record the "in" or "out" of modules during a forward pass."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, side: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
            value = inputs[0] if side == "in" else output
            seen[name] = value[0] if isinstance(value, tuple) else value

        return hook

    with ExitStack() as stack:
        for name, (module, side) in places.items():
            stack.callback(module.register_forward_hook(keep(name, side)).remove)
        yield seen


def run(hf: PreTrainedModel, row: list[int]) -> dict[str, Tensor]:
    """What every block's output projection, MLP norm, MLP and MLP reads saw at the last token of a clean pass."""
    places: dict[str, tuple[nn.Module, str]] = {}
    for k, block in enumerate(blocks(hf)):
        places |= {f"z {k}": (block.output, "in"), f"mlp {k}": (block.mlp, "out"), f"r {k}": (block.mlp_norm, "in")}
        places |= {f"pre {k} {e}": (module, "out") for e, module in enumerate(block.reads)}
    with recording(places) as seen, torch.no_grad():
        hf(torch.tensor([row]), use_cache=False)
    return {name: value[0, -1] for name, value in seen.items()}


def norm_scale(norm: nn.Module, x: Tensor) -> Tensor:
    """σ by the textbook."""
    if isinstance(norm, nn.LayerNorm):
        return (x.var(-1, unbiased=False) + norm.eps).sqrt()
    return (x.pow(2).mean(-1) + norm.variance_epsilon).sqrt()


def centre(norm: nn.Module, x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else x


def value_constant(block: Block) -> Tensor:  # head d_head
    """What z holds on every prompt: the value bias, and the norm's bias through W_V."""
    bias = getattr(block.attention_norm, "bias", None)
    through = 0 if bias is None else torch.einsum("m,hmd->hd", bias, block.value_weight)
    return block.value_bias + through


def reference_parts(hf: PreTrainedModel, row: list[int], layer: int, index: int) -> dict[str, Tensor]:
    """All parts of the neuron's pre-activations at the end of `row`; first axis: read."""
    seen, every = run(hf, row), blocks(hf)
    norm, mine = every[layer].mlp_norm, every[layer]
    scale = norm_scale(norm, seen[f"r {layer}"])
    directions = torch.stack([weight[:, index] for weight in mine.read_weights])  # read d_model

    def read(x: Tensor) -> Tensor:  # … d_model → read …
        return torch.einsum("...m,em->e...", centre(norm, x) * norm.weight / scale, directions)

    feeding = every[: layer + (not getattr(hf.config, "use_parallel_residual", False))]
    heads, biases = [], []
    for k, block in enumerate(feeding):
        constant = value_constant(block)
        z = seen[f"z {k}"].unflatten(0, constant.shape) - constant  # head d_head
        heads.append(read(torch.einsum("hd,hdm->hm", z, block.output_weight)))
        biases.append(read(block.output_bias + torch.einsum("hd,hdm->m", constant, block.output_weight)))
    norm_bias = getattr(norm, "bias", None)
    stored = torch.stack([module.bias[index] for module in mine.reads])
    return {
        "embed": read(hf.get_input_embeddings().weight[row[-1]]),
        "position": read(hf.transformer.wpe.weight[len(row) - 1]) if hasattr(hf, "transformer") else 0 * stored,
        "heads": torch.stack(heads, 1) if heads else torch.empty(len(stored), 0, 0),  # read layer head
        "attention_bias": torch.stack(biases, 1) if biases else torch.empty(len(stored), 0),  # read layer
        "mlps": torch.stack([read(seen[f"mlp {k}"]) for k in range(layer)], 1)
        if layer
        else torch.empty(len(stored), 0),
        "bias": stored if norm_bias is None else stored + directions @ norm_bias,
        "pre_activation": torch.stack([seen[f"pre {layer} {e}"][index] for e in range(len(stored))]),
        "scale": scale,
    }
