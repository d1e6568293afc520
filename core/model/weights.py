"""The model's weights in the terms of the method: directions in the residual stream, folded when they are read, fp32.

The model itself stays unprocessed. What a norm does to a direction that is read through it is put into the direction:

    pre = ⟨w_in, norm(r)⟩ + b_in = ⟨centre(γ ⊙ w_in), r⟩ / σ(r) + (b_in + ⟨w_in, β⟩)

with γ, β the norm's gain and bias; centring only for LayerNorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtorch.core.model.anatomy import Anatomy, Block, bias_of, centred, out_in

Pick = Sequence[int] | slice
ALL = slice(None)


class Weights:
    """Folded reads of one model's weights. Everything is made on demand; nothing is kept."""

    def __init__(self, anatomy: Anatomy, d_vocab: int, n_heads: int) -> None:
        self._anatomy = anatomy
        self._d_vocab = d_vocab
        self._n_heads = n_heads

    def read_directions(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "read neuron d_model"]:
        """centre(γ ⊙ w_in) for each read of each neuron; read 0 is the gate and read 1 the up of a gated MLP."""
        block = self._anatomy.blocks[layer]
        weights = torch.stack([_pick(w, neurons).float() for w in self._reads(block)])  # [read, neuron, d_model]
        if block.mlp_norm is None:
            return weights
        weights = weights * block.mlp_norm.gain
        return centred(weights) if block.mlp_norm.kind == "layer" else weights

    def read_biases(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "read neuron"]:
        """b_in + ⟨w_in, β⟩: what the pre-activation is when the normalised residual stream is 0."""
        block = self._anatomy.blocks[layer]
        norm_bias = block.mlp_norm.bias if block.mlp_norm else None
        biases = []
        for weight, bias in zip(self._reads(block), self._input_biases(block), strict=True):
            picked = _pick(weight, neurons)  # [neuron, d_model]
            total = picked.new_zeros(len(picked), dtype=torch.float32) if bias is None else _pick(bias, neurons)
            biases.append(total if norm_bias is None else total + picked.float() @ norm_bias)
        return torch.stack(biases)

    def write_directions(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "neuron d_model"]:
        """w_out: what a unit of activation adds to the residual stream.

        Where a norm follows the MLP it is γ_post ⊙ w_out, and the addition is that divided by σ_post of the prompt.
        """
        block = self._anatomy.blocks[layer]
        rows = _pick(out_in(block.mlp_output).T, neurons).float()  # [neuron, d_model]
        return rows if block.mlp_post_norm is None else rows * block.mlp_post_norm.gain

    def head_outputs(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """W_O of each head: its z [d_head] times this is its output (before a post-norm, if there is one)."""
        weight = out_in(self._anatomy.blocks[layer].attention_output)  # [d_model, head * d_head]
        return weight.T.reshape(self._n_heads, -1, len(weight)).float()

    def output_bias(self, layer: int) -> Float[Tensor, "d_model"] | None:
        """b_O of the layer's attention, or None."""
        return bias_of(self._anatomy.blocks[layer].attention_output)

    def unembedding(self, tokens: Pick = ALL) -> Float[Tensor, "d_model token"]:
        """W_U times the final norm's gain; columns centred over d_model where the final norm is a LayerNorm.

        Then logit_t = ⟨column_t, r⟩ / σ_final(r) + a constant of the token, for the final residual stream r. Rows of
        the matrix that belong to no token of the tokenizer are left out.
        """
        norm = self._anatomy.final_norm
        rows = _pick(cast(Tensor, self._anatomy.unembedding.weight)[: self._d_vocab], tokens).float() * norm.gain
        return (centred(rows) if norm.kind == "layer" else rows).T

    def _reads(self, block: Block) -> list[Tensor]:
        if self._anatomy.layout.fused_gate_up:
            return list(out_in(block.mlp_reads[0]).chunk(2))
        return [out_in(module) for module in block.mlp_reads]

    def _input_biases(self, block: Block) -> list[Tensor | None]:
        biases = [bias_of(module) for module in block.mlp_reads]
        if self._anatomy.layout.fused_gate_up:
            fused = biases[0]
            return [None, None] if fused is None else list(fused.chunk(2))
        return biases


def activate(activation: nn.Module, pre: Float[Tensor, "read ..."]) -> Float[Tensor, "..."]:
    """act(pre[0]), or act(pre[0]) · pre[1] for a gated MLP."""
    opened = cast(Tensor, activation(pre[0]))
    return opened if len(pre) == 1 else opened * pre[1]


def _pick(rows: Tensor, which: Pick) -> Tensor:
    if isinstance(which, slice):
        return rows[which]
    return rows[torch.as_tensor(which, dtype=torch.long, device=rows.device)]
