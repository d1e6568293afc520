"""Heads replaced and neurons set while a model runs.

Edits are hooks on the plain module: the output projection of attention reads z of all heads, that of the MLP reads the
neurons' activations. A frozen edit leaves the blocks alone and adds behind the final norm what its heads would have
written there, had nothing after them noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtorch.core.causes import Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId

Means = Float[Tensor, "layer head d_head"]
Vectors = Callable[[Int[Tensor, " n"], int, Int[Tensor, " n"]], Float[Tensor, "n d_head"]]  # of rows, layer, heads
Hook = Callable[..., Any]


@dataclass(frozen=True)
class Edit:
    """Heads replaced jointly and neurons set to 0. Without any: the model as it is.

    `frozen`: what comes after the heads keeps its clean value, the final norm's scale too.
    """

    heads: tuple[HeadId, ...] = ()
    neurons: tuple[NeuronId, ...] = ()
    frozen: bool = False


CLEAN = Edit()


@contextmanager
def edited(
    model: LanguageModel,
    edits: Sequence[Edit],
    last: Int[Tensor, " row"],
    where: Where,
    vectors: Means | Vectors | None,
) -> Iterator[None]:
    """While this holds, row i of every forward pass runs under edits[i]; `last` is the index of each row's end.

    `vectors` makes what stands in for z; a tensor is the same for every row, and None is 0.
    """
    new = _vectors(vectors)
    with ExitStack() as hooks:
        for layer in range(model.facts.n_layers):
            heads = [
                (i, h.index) for i, one in enumerate(edits) if not one.frozen for h in one.heads if h.layer == layer
            ]
            if heads:
                hook = _head_hook(model, layer, heads, last, where, new)
                hooks.callback(model.attention_output_modules[layer].register_forward_pre_hook(hook).remove)
            neurons = [(i, n.index) for i, edit in enumerate(edits) for n in edit.neurons if n.layer == layer]
            if neurons:
                rows, indices = torch.tensor(neurons, device=last.device).T
                silence = _neuron_hook(rows, indices, last, torch.zeros(len(rows), device=last.device))
                hooks.callback(model.mlp_output_modules[layer].register_forward_pre_hook(silence).remove)
        with torch.no_grad():
            yield


@contextmanager
def holding(
    model: LanguageModel, neuron: NeuronId, last: Int[Tensor, " row"], values: Float[Tensor, " row"]
) -> Iterator[None]:
    """While this holds, the neuron's activation at each row's end is values[row]; nan leaves it as it comes."""
    rows = torch.nonzero(~values.isnan()).flatten()
    hook = _neuron_hook(rows, torch.full_like(rows, neuron.index), last, values[rows])
    handle = model.mlp_output_modules[neuron.layer].register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def shifted(model: LanguageModel, shifts: Float[Tensor, "row d_model"]) -> Iterator[None]:
    """While this holds, shifts[row] is added behind the final norm."""

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output + shifts[:, None].to(output)

    handle = model.final_norm.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _vectors(vectors: Means | Vectors | None) -> Vectors | None:
    if not isinstance(vectors, Tensor):
        return vectors
    return lambda _rows, layer, heads: vectors[layer, heads]


def _head_hook(
    model: LanguageModel,
    layer: int,
    places: Sequence[tuple[int, int]],
    last: Int[Tensor, " row"],
    where: Where,
    vectors: Vectors | None,
) -> Hook:
    rows, heads = torch.tensor(places, device=last.device).T
    shape = (model.facts.n_heads, model.facts.d_head)

    def replace(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        z = inputs[0].reshape(len(last), -1, *shape).clone()  # row position head d_head
        new = z.new_zeros(len(heads), shape[1]) if vectors is None else vectors(rows, layer, heads).to(z)
        if where == "last":
            z[rows, last[rows], heads] = new
        else:
            z[rows, :, heads] = new[:, None]
        return (z.reshape(inputs[0].shape), *inputs[1:])

    return replace


def _neuron_hook(
    rows: Int[Tensor, " n"], neurons: Int[Tensor, " n"], last: Int[Tensor, " row"], values: Float[Tensor, " n"]
) -> Hook:
    def put(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        activations = inputs[0].reshape(len(last), -1, inputs[0].shape[-1]).clone()  # row position d_mlp
        activations[rows, last[rows], neurons] = values.to(activations)
        return (activations.reshape(inputs[0].shape), *inputs[1:])

    return put
