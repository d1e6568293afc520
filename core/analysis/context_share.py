"""How much of a neuron's activation heads at p account for: is there anything for claims about heads to explain?

C(n) = 1 − Σa⁰ / Σa over the firing places, with a⁰ the activation when the outputs of all heads at p are replaced by
their means over random positions and everything behind them is recomputed at p. Without attention a⁰ depends on the
last token alone (and, with position embeddings, on its position): one pass over the vocabulary gives it for every
token, and so the last tokens that drive the neuron by themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from headtorch.core.analysis.batching import pass_tokens
from headtorch.core.analysis.position_replay import HeadEdits, Queries, Rows, replay
from headtorch.core.model.hooks import ending_at, replace_input, see_input
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

Means = Float[Tensor, "layer head d_head"]


def without_heads(
    model: LanguageModel, rows: Rows, queries: Queries, means: Means, *, watch: Watch = SILENT
) -> Float[np.ndarray, " query"]:
    """a⁰: each query's activation with every head at its position at its mean."""
    every = np.stack([model.eligible_heads(int(layer)) for layer in queries.layer])
    edits = HeadEdits(every, means[None].cpu(), np.zeros(len(queries), np.int64))
    return replay(model, rows, queries, edits, watch=watch).activation


@torch.no_grad()
def last_token_activations(
    model: LanguageModel, neurons: Sequence[NeuronId], means: Means, *, offset: int, watch: Watch = SILENT
) -> Float[np.ndarray, "token neuron"]:
    """a⁰ on every token of the vocabulary, one forward pass of single tokens for all neurons.

    Tokens stand at row index `offset` where the model has position embeddings.
    """
    layers = sorted({neuron.layer for neuron in neurons})
    found = np.zeros((model.facts.d_vocab, len(neurons)))
    step = pass_tokens(model.device)
    positioned = "position_ids" in inspect.signature(model.hf.base_model.forward).parameters
    for start in range(0, model.facts.d_vocab, step):
        watch.checkpoint()
        ids = torch.arange(start, min(start + step, model.facts.d_vocab), device=model.device)[:, None]
        options = {"position_ids": torch.full_like(ids, offset)} if positioned else {}
        with _heads_at(model, means):
            activations = _activations(model, ids, layers, options)
        for n, neuron in enumerate(neurons):
            found[start : start + len(ids), n] = activations[neuron.layer][:, neuron.index].double().cpu().numpy()
        watch.progress("last tokens", start + len(ids), model.facts.d_vocab, "tokens")
    return found


@contextmanager
def _heads_at(model: LanguageModel, means: Means) -> Iterator[None]:
    """While this holds, every head gives its mean at every position."""
    with ExitStack() as hooks:
        for layer, module in enumerate(model.attention_output_modules):
            replace_input(hooks, module, partial(_like, means[layer].flatten()))
        yield


def _like(mean: Float[Tensor, " head_d_head"], z: Tensor) -> Tensor:
    return mean.to(z).expand_as(z)


def _activations(
    model: LanguageModel, ids: Int[Tensor, "row one"], layers: Sequence[int], options: dict[str, Tensor]
) -> dict[int, Float[Tensor, "row neuron"]]:
    read: dict[int, Tensor] = {}
    with ExitStack() as hooks, fast_products(model.hf):
        for layer in layers:
            see_input(hooks, model.mlp_output_modules[layer], partial(_keep, read, layer))
        with ending_at(model.mlp_output_modules[layers[-1]]):
            model.hf.base_model(input_ids=ids, use_cache=False, **options)
    return read


def _keep(read: dict[int, Tensor], layer: int, x: Tensor) -> None:
    read[layer] = x.reshape(-1, x.shape[-1])


def last_token_r2(
    from_token: Float[np.ndarray, " place"],
    activation: Float[np.ndarray, " place"],
    held_out: NDArray[np.bool_],
) -> float | None:
    """R² on the held-out places of a line in a⁰ of the last token, fitted on the training places.

    None where the activation does not vary.
    """
    x, y = np.asarray(from_token, np.float64), np.asarray(activation, np.float64)
    train = ~held_out
    if train.sum() < 3 or held_out.sum() < 3 or np.ptp(y[held_out]) == 0:
        return None
    slope = 0.0 if np.ptp(x[train]) == 0 else float(np.cov(x[train], y[train])[0, 1] / np.var(x[train], ddof=1))
    predicted = y[train].mean() + slope * (x[held_out] - x[train].mean())
    return 1.0 - float(np.sum((y[held_out] - predicted) ** 2) / np.sum((y[held_out] - y[held_out].mean()) ** 2))
