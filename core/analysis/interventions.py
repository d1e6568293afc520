"""What a model predicts at the end of each row, and what one neuron does there, under edits.

An edit at the last position alone leaves everything before it as it was, so the earlier positions are computed once and
all edits of a row share their keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.analysis.edits import (
    CLEAN,
    Edit,
    Means,
    edited,
)
from headtorch.core.analysis.ends import CACHE_BYTES, Ends, StandIns, row_bytes
from headtorch.core.analysis.everywhere import Everywhere
from headtorch.core.causes import Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

__all__ = [
    "CLEAN",
    "Edit",
    "Means",
    "Readout",
    "StandIns",
    "edited",
    "mean_head_outputs",
    "mean_readouts",
    "measure",
    "readouts",
]


@dataclass(frozen=True)
class _Fixed:
    """The same vectors for every row; None: 0."""

    means: Means | None
    donors: int = 1

    def vectors(
        self, row: Sequence[int], z: Float[Tensor, "layer head d_head"]
    ) -> Float[Tensor, "donor layer head d_head"]:
        return (torch.zeros_like(z) if self.means is None else self.means.to(z))[None]


@dataclass(frozen=True)
class Readout:
    """What the model says about token t at the last position of each row, and what one neuron does there."""

    log_p: Float[np.ndarray, " row"]  # log-softmax in fp32 over the tokenizer's tokens
    logit: Float[np.ndarray, " row"]
    rank: Float[np.ndarray, " row"]  # number of tokens with a higher logit, a mean over donors
    activation: Float[np.ndarray, " row"]
    pre_activation: Float[np.ndarray, " row"]  # gated: of the gate
    p: Float[np.ndarray, " row"]


def readouts(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    *,
    where: Where = "last",
    means: Means | None = None,
    by: StandIns | None = None,
    watch: Watch = SILENT,
) -> list[Readout]:
    """One Readout over all rows for each edit, every number a mean over the donors.

    `where` says at which positions heads are replaced; neurons are silenced at the last one. `by` makes what stands in
    for a head's z, the same donors for every edit; without it `means` stand in, and without these 0.
    """
    return mean_readouts(measure(model, rows, neuron, token_id, edits, by or _Fixed(means), where=where, watch=watch))


def mean_readouts(measured: Float[np.ndarray, "quantity edit row donor"]) -> list[Readout]:
    """One Readout for each edit of what `measure` gave."""
    return [Readout(*edit) for edit in measured.mean(-1).swapaxes(0, 1)]


def measure(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    by: StandIns | None = None,
    *,
    where: Where = "last",
    held: Float[np.ndarray, "edit row donor"] | None = None,
    watch: Watch = SILENT,
) -> Float[np.ndarray, "quantity edit row donor"]:
    """The quantities of a Readout, in its order, for every edit, row and donor.

    Without `by` heads are replaced by 0. `held` sets the neuron's activation at the last position to the number given
    there; nan leaves it as it comes.

    Raises:
        ValueError: a frozen edit or a held neuron where heads are replaced at all positions.
    """
    if where == "all" and (held is not None or any(edit.frozen for edit in edits)):
        raise ValueError("Neurons are held and later parts frozen at the last position alone.")
    by = by or _Fixed(None)
    facts = model.facts
    z = torch.zeros(facts.n_layers, facts.n_heads, facts.d_head, device=model.device)
    found = np.zeros((6, len(edits), len(rows), by.donors))
    tokens = pass_tokens(model.device)
    batches = _equal_lengths(model, rows) if where == "last" else length_batches(list(map(len, rows)), tokens)
    done = 0
    for batch in batches:
        watch.checkpoint()
        some = [rows[i] for i in batch]
        with fast_products(model.hf):
            if where == "last":
                ends = Ends(model, some, neuron, token_id, by)
                found[:, :, batch] = ends.under(edits, None if held is None else held[:, batch], watch)
            else:
                vectors = by.vectors(some[0], z)[0]  # the same at every position of every row
                runs = Everywhere(model, some, neuron, token_id, edits, vectors)
                found[:, :, batch] = runs.under(watch)[..., None]
        done += len(batch)
        watch.progress("ablate", done, len(rows), "prompts")
    return found


def _equal_lengths(model: LanguageModel, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    by_length: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(i)
    for length, same in sorted(by_length.items()):
        size = max(1, min(pass_tokens(model.device) // length, CACHE_BYTES // row_bytes(model, length)))
        for start in range(0, len(same), size):
            yield same[start : start + size]


def mean_head_outputs(model: LanguageModel, rows: Sequence[Sequence[int]], *, watch: Watch = SILENT) -> Means:
    """The mean of every head's z over the last positions of `rows`, with its value bias, as attention passes it on.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("The mean over no rows is not defined.")
    facts = model.facts
    total = torch.zeros(facts.n_layers, facts.n_heads, facts.d_head, dtype=torch.float64, device=model.device)

    def add(layer: int, last: Tensor, inputs: tuple[Any, ...]) -> None:
        z = inputs[0].reshape(len(last), -1, facts.n_heads, facts.d_head)  # row position head d_head
        total[layer] += z[torch.arange(len(last)), last].double().sum(0)

    done = 0
    for batch in length_batches(list(map(len, rows)), pass_tokens(model.device)):
        watch.checkpoint()
        some = [rows[i] for i in batch]
        last = torch.tensor([len(row) - 1 for row in some], device=model.device)
        with ExitStack() as hooks, torch.no_grad(), fast_products(model.hf):
            for layer, module in enumerate(model.attention_output_modules):
                handle = module.register_forward_pre_hook(lambda m, x, layer=layer, last=last: add(layer, last, x))
                hooks.callback(handle.remove)
            model.hf.base_model(input_ids=pad_rows(some, max(map(len, some)), model.device), use_cache=False)
        done += len(batch)
        watch.progress("means", done, len(rows), "rows")
    return (total / len(rows)).float()
