"""The parts of a pre-activation, as tensors: some rows of a trace read by some neurons of its layer.

The residual stream that the MLP of layer l reads at position p is a sum: embedding, position, the output of every
attention head before, attention biases, and the outputs of earlier MLPs. The norm in front of the MLP divides by one
number σ and the rest of it is linear, so the pre-activation is a sum as well, one part for each:

    pre = (⟨embed, w⟩ + ⟨position, w⟩ + Σ_h ⟨o_h, w⟩ + Σ_k ⟨attention bias_k, w⟩ + Σ_k ⟨MLP_k, w⟩) / σ + bias

w is the neuron's read direction with the norm's gain (and centring) folded in; o_h = z_h W_O is head h's output at p
without its value bias, γ ⊙ o_h / σ_post where a norm follows attention. Neo, Cohen and Barez (arXiv 2402.15055) rank
heads by ⟨o_h, w_in⟩, here `dot`. A gated neuron has two reads, gate and up, and each is such a sum.

Only z at p is needed: ⟨z_h, W_O[h] w⟩ with W_O[h] w made once for each neuron.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.model.language_model import LanguageModel, Trace

WEIGHT_BYTES = 256 * 2**20  # of read directions pulled back through W_O held at once


@dataclass(frozen=True)
class ReadWeights:
    """Some neurons of one layer: what they read, and what they read through each head before them."""

    layer: int
    neurons: list[int]
    directions: Float[Tensor, "read neuron d_model"]
    biases: Float[Tensor, "read neuron"]
    heads: Float[Tensor, "read neuron layer head d_head"]  # W_O[h] (γ ⊙ w); γ = 1 without a norm after attention

    def take(self, index: Sequence[int]) -> ReadWeights:
        """These neurons, in this order, repeats allowed."""
        chosen = [self.neurons[i] for i in index]
        places = torch.tensor(index, device=self.biases.device)
        return ReadWeights(
            self.layer, chosen, self.directions[:, places], self.biases[:, places], self.heads[:, places]
        )


@torch.no_grad()
def read_weights(model: LanguageModel, trace: Trace, neurons: Sequence[int]) -> ReadWeights:
    """Pull the read directions of `neurons` of the traced layer back through W_O of every head that can feed them."""
    directions = model.read_directions(trace.layer, list(neurons))  # read neuron d_model
    n_heads, d_head = trace.heads.shape[2:]
    heads = directions.new_zeros(*directions.shape[:2], trace.heads.shape[1], n_heads, d_head)
    for layer in range(trace.heads.shape[1]):
        seen = directions if trace.post_gain is None else directions * trace.post_gain[layer]
        heads[:, :, layer] = torch.einsum("hdm,enm->enhd", model.head_outputs(layer), seen)
    return ReadWeights(trace.layer, list(neurons), directions, model.read_biases(trace.layer, list(neurons)), heads)


@dataclass(frozen=True)
class Parts:
    """Parts of the pre-activations of some rows × neurons (or row i with neuron i: no neuron axis), as tensors."""

    pre_activation: Float[Tensor, "row read *neuron"]
    activation: Float[Tensor, "row *neuron"]
    embed: Float[Tensor, "row read *neuron"]
    position: Float[Tensor, "row read *neuron"]
    heads: Float[Tensor, "row read *neuron layer head"]
    attention_bias: Float[Tensor, "row read *neuron layer"]
    mlps: Float[Tensor, "row read *neuron layer"]
    bias: Float[Tensor, "row read *neuron"]
    dot: Float[Tensor, "row read *neuron layer head"]
    removal: Float[Tensor, "row *neuron layer head"]
    gate_ratio: Float[Tensor, "row *neuron"]


@torch.no_grad()
def parts_of(model: LanguageModel, trace: Trace, weights: ReadWeights, *, paired: bool) -> Parts:
    """Every part of the pre-activations of the traced rows × `weights.neurons`; `paired`: row i with neuron i only."""
    n, kept = ("r", "") if paired else ("n", "n")  # the neuron's letter in the sums below
    w = weights.directions

    def read(stream: Tensor) -> Tensor:  # row … d_model → row read neuron …
        return torch.einsum(f"r...m,e{n}m->re{kept}...", stream, w)

    def over(scale: Tensor, like: Tensor) -> Tensor:
        return scale.reshape(-1, *(1,) * (like.ndim - 1))

    dot = torch.einsum(f"rkhd,e{n}khd->re{kept}kh", trace.heads, weights.heads)
    if trace.post_scale is not None:
        shape = (len(dot), *(1,) * (dot.ndim - 3), dot.shape[-2], 1)
        dot = dot / trace.post_scale.reshape(shape)
    embed, bias_parts, mlps = read(trace.embed), read(trace.attention_bias), read(trace.mlps)
    position = torch.zeros_like(embed) if trace.position is None else read(trace.position)
    pre, activation = _observed(trace, weights.neurons, paired)
    heads = dot / over(trace.scale, dot)
    return Parts(
        pre_activation=pre,
        activation=activation,
        embed=embed / over(trace.scale, embed),
        position=position / over(trace.scale, position),
        heads=heads,
        attention_bias=bias_parts / over(trace.scale, bias_parts),
        mlps=mlps / over(trace.scale, mlps),
        bias=weights.biases.T.clone() if paired else weights.biases.expand_as(embed),
        dot=dot,
        removal=_removal(model, pre, heads),
        gate_ratio=_gate_ratio(model, pre),
    )


def _observed(trace: Trace, neurons: list[int], paired: bool) -> tuple[Tensor, Tensor]:
    """The model's own pre-activations [row read *neuron] and activations [row *neuron]."""
    if not paired:
        return trace.pre_activation[:, :, neurons], trace.activation[:, neurons]
    rows = torch.arange(len(neurons), device=trace.activation.device)
    return trace.pre_activation[rows, :, neurons], trace.activation[rows, neurons]


def _removal(model: LanguageModel, pre: Tensor, heads: Tensor) -> Tensor:
    reads_first, heads_first = pre.movedim(1, 0), heads.movedim(1, 0)  # read row *neuron (layer head)
    full = reads_first[..., None, None]
    return model.activate(full) - model.activate(full - heads_first)


def _gate_ratio(model: LanguageModel, pre: Tensor) -> Tensor:
    """κ = act(g)/g; its limit ½ at g = 0 (SiLU and GELU alike)."""
    if pre.shape[1] == 1:
        return torch.ones_like(pre[:, 0])
    gate = pre[:, 0]
    safe = torch.where(gate.abs() > 1e-6, gate, 1.0)
    ratio = model.activate(torch.stack([safe, torch.ones_like(safe)])) / safe
    return torch.where(gate.abs() > 1e-6, ratio, 0.5)


def select(trace: Trace, rows: Sequence[int]) -> Trace:
    """These rows of a trace, in this order, repeats allowed."""
    index = torch.tensor(rows, device=trace.residual.device)
    by_row = {f.name: getattr(trace, f.name) for f in fields(Trace) if f.name not in ("layer", "post_gain")}
    picked: dict[str, Any] = {name: None if value is None else value[index] for name, value in by_row.items()}
    return Trace(layer=trace.layer, post_gain=trace.post_gain, **picked)


def neuron_chunks(model: LanguageModel, layer: int, neurons: Sequence[int]) -> Iterator[list[int]]:
    """`neurons` in chunks whose ReadWeights stay within WEIGHT_BYTES."""
    facts = model.facts
    per_neuron = 4 * (1 + facts.gated) * (layer + 1) * facts.n_heads * facts.d_head
    size = max(1, WEIGHT_BYTES // per_neuron)
    for start in range(0, len(neurons), size):
        yield list(neurons[start : start + size])
