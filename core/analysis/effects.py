"""What a head really does to a neuron: the neuron without the head's output, or with another one in its place.

    effect(h, n) = quantity(clean) − quantity(head h replaced)

for two quantities, the neuron's activation and its pre-activation (of a gated neuron: that of its gate). Everything
behind the head is computed again up to the neuron, so that what the head does through later heads and MLPs counts; its
direct attribution leaves that out. With patterns, norm scales, MLP outputs and other heads frozen, the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from headtorch.core.analysis.batching import pad_rows
from headtorch.core.analysis.replacements import Replacements, check_replacement
from headtorch.core.analysis.replay import Reading, Replay
from headtorch.core.causes import Replacement, Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

ROW_TOKENS = 4096  # of rows of one length that are run together
ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Effects:
    """Effects of every head on each prompt's neuron; prompt i is row i read by neuron i.

    `layer` and `head` run over the whole model. Heads that cannot feed the neuron are nan.
    """

    neurons: list[NeuronId]
    replacement: Replacement
    where: Where
    donors: int  # replacements averaged over, for each prompt
    activation: Float[np.ndarray, "prompt layer head"]
    pre_activation: Float[np.ndarray, "prompt layer head"]
    clean_activation: Float[np.ndarray, " prompt"]
    clean_pre_activation: Float[np.ndarray, " prompt"]


def effects(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neurons: Sequence[NeuronId],
    by: Replacements,
    *,
    where: Where = "last",
    watch: Watch = SILENT,
) -> Effects:
    """The exact effect of every head that can feed neuron i, at the end of row i, for every i.

    Heads are replaced one at a time, at the last position or at all of them. Each distinct row of a layer is run once
    for all neurons of that layer.

    Raises:
        AddressError: the model has no such neuron.
        InputError: a row that cannot be read, or a replacement that is not made for all positions.
    """
    check_replacement(by.kind, where)
    found = no_effects(model, rows, neurons, by, where)
    done = 0
    for layer in sorted({neuron.layer for neuron in neurons}):
        prompts = [i for i, neuron in enumerate(neurons) if neuron.layer == layer]
        for batch in equal_rows(rows, prompts):
            watch.checkpoint()
            _fill(model, found, rows, batch, layer, by, watch)
            done += len(batch)
            watch.progress("effects", done, len(rows), "prompts")
    return found


def no_effects(
    model: LanguageModel, rows: Sequence[Sequence[int]], neurons: Sequence[NeuronId], by: Replacements, where: Where
) -> Effects:
    """What was asked, checked, with nan in the place of every number."""
    if len(rows) != len(neurons):
        raise ValueError(f"{len(rows)} rows but {len(neurons)} neurons.")
    for neuron in set(neurons):
        model.check_neuron(neuron)
    model.check_rows(rows)

    def array(*shape: int) -> NDArray[np.float64]:
        return np.full((len(neurons), *shape), np.nan)

    grid = (model.facts.n_layers, model.facts.n_heads)
    return Effects(list(neurons), by.kind, where, by.donors, array(*grid), array(*grid), array(), array())


def equal_rows(rows: Sequence[Sequence[int]], prompts: Sequence[int]) -> Iterator[list[int]]:
    """`prompts` in batches of rows of one length; equal rows stay together."""
    batch: list[int] = []
    distinct: set[tuple[int, ...]] = set()
    for i in sorted(prompts, key=lambda i: (len(rows[i]), tuple(rows[i]))):
        row = tuple(rows[i])
        full = len(distinct) == ROWS_AT_ONCE or (len(distinct) + 1) * len(row) > ROW_TOKENS
        if batch and (len(rows[batch[0]]) != len(row) or (full and row not in distinct)):
            yield batch
            batch, distinct = [], set()
        batch.append(i)
        distinct.add(row)
    if batch:
        yield batch


def _fill(
    model: LanguageModel,
    found: Effects,
    rows: Sequence[Sequence[int]],
    prompts: Sequence[int],
    layer: int,
    by: Replacements,
    watch: Watch,
) -> None:
    """Effects on `prompts`, of one length and all of one layer, written into `found`."""
    distinct = list(dict.fromkeys(tuple(rows[i]) for i in prompts))
    indices = sorted({found.neurons[i].index for i in prompts})
    replay = Replay(model, pad_rows(distinct, len(distinct[0]), model.device), layer, indices, found.where)
    vectors = torch.stack([by.vectors(row, replay.heads[r]) for r, row in enumerate(distinct)])
    at = [distinct.index(tuple(rows[i])) for i in prompts], [indices.index(found.neurons[i].index) for i in prompts]
    clean = _numpy(replay.clean)  # quantity row neuron
    found.clean_activation[list(prompts)], found.clean_pre_activation[list(prompts)] = clean[:, at[0], at[1]]
    for k in np.flatnonzero(model.eligible_heads(layer).any(1)).tolist():
        after = _under_each(replay, k, vectors[:, :, k], watch)
        change = clean[:, :, None] - after  # quantity row head neuron
        found.activation[prompts, k], found.pre_activation[prompts, k] = change.swapaxes(2, 3)[:, at[0], at[1]]


def _under_each(
    replay: Replay, layer: int, vectors: Float[Tensor, "row donor head d_head"], watch: Watch
) -> Float[np.ndarray, "quantity row head neuron"]:
    """Both quantities with each head of `layer` replaced, averaged over the donors."""
    n_rows, n_donors, n_heads, _ = vectors.shape
    places = torch.cartesian_prod(*(torch.arange(n, device=vectors.device) for n in (n_rows, n_donors, n_heads)))
    flat = vectors.flatten(0, 2)
    size = replay.rows_at_once(layer)
    read = []
    for start in range(0, len(flat), size):
        watch.checkpoint()
        some = slice(start, start + size)
        read.append(_numpy(replay.replaced(layer, places[some, 0], places[some, 2], flat[some])))
    every = np.concatenate(read, axis=1)
    mean: NDArray[np.float64] = every.reshape(2, n_rows, n_donors, n_heads, -1).mean(2)
    return mean


def _numpy(reading: Reading) -> Float[np.ndarray, "quantity row neuron"]:
    found: NDArray[np.float64] = torch.stack([reading.activation, reading.pre_activation]).double().cpu().numpy()
    return found
