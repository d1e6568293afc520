"""Heads replaced at every position of rows: all positions are run again, from the first block that notices.

Blocks before the first edited one are not run again: they would do what they did without the edit. Edits that begin in
the same block share forward passes. In the last block nothing but the last position is read, so its MLP is run there
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtorch.core.analysis.batching import pad_rows, pass_tokens
from headtorch.core.analysis.edits import Edit, Means, edited
from headtorch.core.analysis.ends import summary, watched
from headtorch.core.analysis.replay import skipped
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.stand_in import instead
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch


class Everywhere:
    """Rows of like length, to be read with heads replaced by `vectors` at all positions."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Sequence[int]],
        neuron: NeuronId,
        token_id: int,
        edits: Sequence[Edit],
        vectors: Means,
    ) -> None:
        self._model, self._neuron, self._token, self._vectors = model, neuron, token_id, vectors
        self._ids = pad_rows(rows, max(map(len, rows)), model.device)
        self._last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
        self._edits = edits
        self._starts = [self._start(edit) for edit in edits]
        self._residuals: dict[int, Float[Tensor, "row position d_model"]] = {}  # that enter a block, clean
        self._tails: list[tuple[Any, ...] | None] = []  # what a block returns beside the residual stream
        self._clean = self._first_pass()

    def _start(self, edit: Edit) -> int:
        """The first block that notices the edit or is looked at; one past the last for none."""
        layers = [*(head.layer for head in edit.heads), *(neuron.layer for neuron in edit.neurons)]
        return min(*layers, self._neuron.layer) if layers else self._model.facts.n_layers

    def under(self, watch: Watch) -> Float[np.ndarray, "quantity edit row"]:
        """Every edit on every row."""
        n_rows = len(self._ids)
        found = np.repeat(self._clean[:, None], len(self._edits), axis=1)
        at_once = max(1, pass_tokens(self._model.device) // self._ids.shape[1])
        for start in sorted(self._residuals):
            runs = [(e, r) for e, begins in enumerate(self._starts) if begins == start for r in range(n_rows)]
            for first in range(0, len(runs), at_once):
                watch.checkpoint()
                some = runs[first : first + at_once]
                numbers, rows = (list(axis) for axis in zip(*some, strict=True))
                found[:, numbers, rows] = self._again(start, [self._edits[e] for e in numbers], rows)
        return found

    def _again(self, start: int, edits: Sequence[Edit], rows: Sequence[int]) -> Float[np.ndarray, "quantity run"]:
        """Row rows[i] under edits[i], from block `start` on."""
        blocks = self._model.block_modules
        index = torch.tensor(rows, device=self._ids.device)

        def begin(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (self._residuals[start][index], *inputs[1:])

        with ExitStack() as hooks:
            for block, tail in zip(blocks[:start], self._tails, strict=False):
                hooks.enter_context(skipped(block, tail))
            hooks.callback(blocks[start].register_forward_pre_hook(begin).remove)
            hooks.enter_context(edited(self._model, edits, self._last[index], "all", self._vectors))
            return self._read(index)

    def _first_pass(self) -> Float[np.ndarray, "quantity row"]:
        blocks = self._model.block_modules

        def keep_residual(layer: int) -> Callable[..., None]:
            def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
                self._residuals[layer] = inputs[0]

            return keep

        def keep_tail(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._tails.append(output[1:] if isinstance(output, tuple) else None)

        with ExitStack() as hooks:
            for layer in set(self._starts) - {len(blocks)}:
                hooks.callback(blocks[layer].register_forward_pre_hook(keep_residual(layer)).remove)
            for block in blocks:
                hooks.callback(block.register_forward_hook(keep_tail).remove)
            return self._read(torch.arange(len(self._ids), device=self._ids.device))

    @torch.no_grad()
    def _read(self, rows: Int[Tensor, "run"]) -> Float[np.ndarray, "quantity run"]:
        last = self._last[rows]
        with last_mlp_at(self._model, last), watched(self._model, self._neuron, last) as seen:
            self._model.hf(input_ids=self._ids[rows], use_cache=False)
        return summary(seen, self._token)


@contextmanager
def last_mlp_at(model: LanguageModel, last: Int[Tensor, " row"]) -> Iterator[None]:
    """While this holds, the projections of the last block's MLP give 0 everywhere but at `last` of each row."""
    rows = torch.arange(len(last), device=last.device)

    def at_ends(whole: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            by_row = x.reshape(len(last), -1, x.shape[-1])  # OPT flattens positions
            ends = whole(by_row[rows, last][:, None])  # row 1 out
            wide = ends.new_zeros(*by_row.shape[:2], ends.shape[-1])
            wide[rows, last] = ends[:, 0]
            return wide.reshape(*x.shape[:-1], -1)

        return forward

    with ExitStack() as changed:
        for module in model.mlp_projections(model.facts.n_layers - 1):
            changed.enter_context(instead(module, at_ends(module.forward)))
        yield
