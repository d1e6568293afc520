"""Some rows, run together once; then single positions of them run again as queries, with heads replaced.

A query attends to its own row's keys before its position, and to its own new key and value; never to another query.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from headtorch.core.analysis.batching import pad_rows
from headtorch.core.model.hooks import ending_at, replace_input, see_input, see_output
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.model.stand_in import instead
from headtorch.core.records import NeuronId

CHECK_TOKENS = 40

Rows = Sequence[Sequence[int]]
Ints = Int[np.ndarray, " query"]
Places = tuple[Tensor, Tensor]  # row and slot of each query in the grid that is run
Reading = tuple[Float[Tensor, " query"], Float[Tensor, " query"]]  # pre-activations (of the gate) and activations


@dataclass(frozen=True)
class Queries:
    """Neuron i read at row index `offset[i]` of row `row[i]`. Arrays are parallel."""

    row: Ints
    offset: Ints
    layer: Ints  # of the neuron
    index: Ints

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Ints) -> Queries:
        """These queries, in this order, repeats allowed."""
        return Queries(self.row[chosen], self.offset[chosen], self.layer[chosen], self.index[chosen])

    @classmethod
    def of(cls, neuron: NeuronId, row: Ints, offset: Ints) -> Queries:
        """One neuron at many places."""
        same = np.full(len(row), neuron.layer), np.full(len(row), neuron.index)
        return cls(np.asarray(row, np.int64), np.asarray(offset, np.int64), *same)


@dataclass(frozen=True)
class HeadEdits:
    """For each query the heads that are replaced, and the row of `bank` that their z comes from."""

    heads: Bool[np.ndarray, "query layer head"]
    bank: Float[Tensor, "vector layer head d_head"]  # layers up to the last that is edited
    source: Ints  # [query], row of `bank`

    def take(self, chosen: Ints) -> HeadEdits:
        """The edits of these queries."""
        return HeadEdits(self.heads[chosen], self.bank, self.source[chosen])


@dataclass(frozen=True)
class Observed:
    """What the unedited model does at each query."""

    activation: Float[np.ndarray, " query"]
    pre_activation: Float[np.ndarray, "query read"]
    heads: Float[Tensor, "query layer head d_head"]  # z, on the CPU; layers up to the last neuron's
    scale: Float[np.ndarray, " query"]  # σ of the norm that the neuron's MLP reads through; 1 without one
    post_scale: Float[np.ndarray, "query layer"] | None  # σ of the norm behind attention, where there is one


class RowRun:
    """Rows of a batch, and what queries of them need of the pass over them."""

    def __init__(self, model: LanguageModel, rows: Rows, *, side_by_side: bool | None = None) -> None:
        self._model = model
        self._ids = pad_rows(rows, max(map(len, rows)), model.device)
        self._past: DynamicCache
        self._residuals: list[Tensor] = []  # entering each block, [row, position, d_model]
        self._tails: list[tuple[Any, ...] | None] = []  # what a block returns beside the residual stream
        fits = self._ids.shape[1] <= shortest_window(model)
        self._side_by_side = (takes_masks(model) and fits) if side_by_side is None else side_by_side

    def _by_head(self, z: Tensor) -> Float[Tensor, "row query head d_head"]:
        return z.reshape(*z.shape[:-1], self._model.facts.n_heads, self._model.facts.d_head)

    @torch.no_grad()
    def observe(self, queries: Queries, local: Ints, seen: Observed, into: Ints, *, keep_past: bool = False) -> None:
        """One plain pass; what it shows at query i goes to place into[i] of `seen`. `local` are rows of this batch.

        `keep_past`: keep what `replay` needs as well.
        """
        model, device = self._model, self._model.device
        rows, offsets = torch.from_numpy(local).to(device), torch.from_numpy(queries.offset).to(device)

        def at(x: Tensor) -> Tensor:
            return x.reshape(*self._ids.shape, -1)[rows, offsets].float()  # OPT flattens positions

        def keep_z(layer: int, z: Tensor) -> None:
            seen.heads[torch.from_numpy(into), layer] = self._by_head(at(z)).cpu()

        def keep_post_scale(layer: int, x: Tensor) -> None:
            norm = model.attention_post_norms[layer]
            if norm is not None and seen.post_scale is not None:
                seen.post_scale[into, layer] = _numpy(norm.scale(at(x)))

        until = int(queries.layer.max())
        with ExitStack() as hooks:
            for layer in range(until + 1):
                see_input(hooks, model.attention_output_modules[layer], partial(keep_z, layer))
                norm = model.attention_post_norms[layer]
                if norm is not None:
                    see_input(hooks, norm.module, partial(keep_post_scale, layer))
            for layer in np.unique(queries.layer).tolist():
                self._see_neurons(hooks, layer, queries, at, seen, into)
            if keep_past:
                self.keep_past(until)
            else:
                self._run_rows(until)

    def _see_neurons(
        self, hooks: ExitStack, layer: int, queries: Queries, at: Callable[[Tensor], Tensor], seen: Observed, into: Ints
    ) -> None:
        """Read activation, pre-activations and σ of the neurons of one layer."""
        model, mine = self._model, np.flatnonzero(queries.layer == layer)
        index, places = torch.from_numpy(queries.index[mine]), into[mine]

        def neurons(x: Tensor) -> np.ndarray:
            return _numpy(at(x)[mine, index])

        def keep_activation(x: Tensor) -> None:
            seen.activation[places] = neurons(x)

        def keep_pre(read: int, first: int, x: Tensor) -> None:
            seen.pre_activation[places, read] = neurons(x[..., first : first + model.facts.d_mlp])

        def keep_scale(x: Tensor) -> None:
            assert norm is not None
            seen.scale[places] = _numpy(norm.scale(at(x)))[mine]

        see_input(hooks, model.mlp_output_modules[layer], keep_activation)
        for read, (module, first) in enumerate(model.mlp_reads(layer)):
            see_output(hooks, module, partial(keep_pre, read, first))
        norm = model.mlp_norms[layer]
        if norm is not None:
            see_input(hooks, norm.module, keep_scale)

    def _run_rows(self, until: int, past: DynamicCache | None = None) -> None:
        """All positions of the rows, up to the MLP of block `until`."""
        with fast_products(self._model.hf), ending_at(self._model.mlp_output_modules[until]):
            self._model.hf.base_model(input_ids=self._ids, past_key_values=past, use_cache=past is not None)

    @torch.no_grad()
    def keep_past(self, until: int) -> None:
        """Run the rows and keep their keys, values and residual streams up to block `until`."""
        self._past = DynamicCache()

        def keep_tail(output: Any) -> None:
            self._tails.append(output[1:] if isinstance(output, tuple) else None)

        with ExitStack() as hooks:
            for block in self._model.block_modules[: until + 1]:
                see_input(hooks, block, self._residuals.append)
                see_output(hooks, block, keep_tail)
            self._run_rows(until, self._past)

    @torch.no_grad()
    def replay(self, queries: Queries, local: Ints, edits: HeadEdits, start: int) -> Reading:
        """Queries of these rows (`local`) under their edits, from block `start` on, the first that an edit touches."""
        if self._side_by_side:
            return self._on_grid(queries, local, edits, start)
        device = self._model.device
        pre, activation = (torch.zeros(len(queries), device=device) for _ in range(2))
        for offset in np.unique(queries.offset):
            mine = np.flatnonzero(queries.offset == offset)
            pre[mine], activation[mine] = self._behind_pasts(queries.take(mine), local[mine], edits.take(mine), start)
        return pre, activation

    def _on_grid(self, queries: Queries, local: Ints, edits: HeadEdits | None, start: int) -> Reading:
        """All queries of a row side by side, with a mask that lets each see its row before itself, and itself."""
        device = self._ids.device
        used, grid_row = np.unique(local, return_inverse=True)
        rows, slots = torch.from_numpy(used).to(device), slots_of(local)
        offsets = np.zeros((len(used), int(slots.max()) + 1), np.int64)
        offsets[grid_row, slots] = queries.offset
        at = torch.from_numpy(offsets).to(device)  # row slot
        options = {"attention_mask": _mask(at, self._ids.shape[1], self._model.hf.dtype), "position_ids": at}
        entering = self._residuals[start][rows[:, None], at] if start else None
        past = self._past_of(rows if len(used) < len(self._ids) else None)
        places = _places(grid_row, slots, device)
        return self._run(self._ids[rows[:, None], at], places, queries, edits, start, entering, options, past)

    def _behind_pasts(self, queries: Queries, local: Ints, edits: HeadEdits | None, start: int) -> Reading:
        """Queries at one offset, each a row of its own behind its own past."""
        offset, device = int(queries.offset[0]), self._model.device
        rows = torch.from_numpy(local).to(device)
        entering = self._residuals[start][rows, offset][:, None] if start else None
        places = _places(np.arange(len(queries)), np.zeros(len(queries), np.int64), device)
        past = self._past_of(rows, offset)
        return self._run(self._ids[rows, offset][:, None], places, queries, edits, start, entering, {}, past)

    def _past_of(self, rows: Tensor | None = None, length: int | None = None) -> DynamicCache | None:
        """The clean keys and values; a block puts new tensors into this copy and changes none."""
        if length == 0:
            return None
        past = copy.copy(self._past)
        past.layers = [copy.copy(layer) for layer in self._past.layers]
        if rows is not None:
            for layer in past.layers:
                cached = cast(Any, layer)
                cached.keys, cached.values = cached.keys[rows, :, :length], cached.values[rows, :, :length]
        return past

    def _run(
        self,
        ids: Int[Tensor, "row slot"],
        places: Places,
        queries: Queries,
        edits: HeadEdits | None,
        start: int,
        entering: Float[Tensor, "row slot d_model"] | None,
        options: dict[str, Tensor],
        past: DynamicCache | None = None,
    ) -> Reading:
        """Run queries laid out as `ids`; query i stands at `places`[i]."""
        model, until = self._model, int(queries.layer.max())
        read = [torch.zeros(len(queries), device=model.device) for _ in range(2)]
        with ExitStack() as hooks:
            for block, tail in zip(model.block_modules[:start], self._tails, strict=False):
                hooks.enter_context(instead(block, partial(_hand_on, tail)))
            if entering is not None:
                replace_input(hooks, model.block_modules[start], lambda _residual: entering)
            if edits is not None:
                self._edit_heads(hooks, edits, places, range(start, until + 1))
            self._read_neurons(hooks, queries, places, ids.shape, read)
            hooks.enter_context(nullcontext() if torch.is_grad_enabled() else fast_products(model.hf))
            with ending_at(model.mlp_output_modules[until]):
                model.hf.base_model(input_ids=ids, past_key_values=past, use_cache=past is not None, **options)
        return read[0], read[1]

    def _edit_heads(self, hooks: ExitStack, edits: HeadEdits, places: Places, layers: range) -> None:
        heads, source = torch.from_numpy(edits.heads).to(self._model.device), torch.from_numpy(edits.source)

        def edited(layer: int, x: Tensor) -> Tensor:
            z = self._by_head(x).clone()
            new = edits.bank[source, layer].to(z)  # query head d_head
            z[places] = torch.where(heads[:, layer, :, None], new, z[places])
            return z.reshape(x.shape)

        for layer in layers:
            if edits.heads[:, layer].any():
                replace_input(hooks, self._model.attention_output_modules[layer], partial(edited, layer))

    def _read_neurons(
        self, hooks: ExitStack, queries: Queries, places: Places, shape: torch.Size, read: list[Tensor]
    ) -> None:
        """Pre-activations go to read[0], activations to read[1]."""

        def keep(which: int, mine: Tensor, index: Tensor, x: Tensor) -> None:
            values = x.reshape(*shape, -1)[places[0][mine], places[1][mine], index].float()
            read[which] = read[which].index_put((mine,), values)

        device = self._model.device
        for layer in np.unique(queries.layer).tolist():
            mine = torch.from_numpy(np.flatnonzero(queries.layer == layer)).to(device)
            index = torch.from_numpy(queries.index).to(device)[mine]
            see_output(hooks, self._model.mlp_input_modules[layer], partial(keep, 0, mine, index))
            see_input(hooks, self._model.mlp_output_modules[layer], partial(keep, 1, mine, index))

    def slopes(
        self, queries: Queries, local: Ints
    ) -> tuple[Float[Tensor, "query layer head d_head"], Float[Tensor, "query layer head d_head"]]:
        """∂a/∂z of every head at each query, and z itself."""
        if self._side_by_side:
            grid_row = np.unique(local, return_inverse=True)[1]
            places = _places(grid_row, slots_of(local), self._ids.device)
            return self._slopes(queries, partial(self._on_grid, queries, local, None, 0), places)
        zero = _places(np.zeros(1, np.int64), np.zeros(1, np.int64), self._ids.device)
        parts = []
        for i in range(len(queries)):
            one = queries.take(np.array([i]))
            parts.append(self._slopes(one, partial(self._behind_pasts, one, local[[i]], None, 0), zero))
        return torch.cat([slope for slope, _ in parts]), torch.cat([z for _, z in parts])

    def _slopes(self, queries: Queries, forward: Callable[[], Reading], places: Places) -> tuple[Tensor, Tensor]:
        nudges: list[Tensor] = []
        z: list[Tensor] = []

        def nudged(x: Tensor) -> Tensor:
            by_head = self._by_head(x)
            nudges.append(torch.zeros_like(by_head, requires_grad=True))
            z.append(by_head.detach()[places].float())
            return (by_head + nudges[-1]).reshape(x.shape)

        with torch.enable_grad(), ExitStack() as hooks:
            for module in self._model.attention_output_modules[: int(queries.layer.max()) + 1]:
                replace_input(hooks, module, nudged)
            _, activation = forward()
            slopes = torch.autograd.grad(activation.sum(), nudges, allow_unused=True)
        at = [torch.zeros_like(one) if s is None else s[places].float() for s, one in zip(slopes, z, strict=True)]
        return torch.stack(at, dim=1), torch.stack(z, dim=1)


def slots_of(local: Ints) -> Ints:
    """The number of each query among those of its row; `local` may be in any order."""
    order = np.argsort(local, kind="stable")
    first = np.searchsorted(local[order], local[order], side="left")
    slots = np.empty(len(local), np.int64)
    slots[order] = np.arange(len(local)) - first
    return slots


def _places(local: Ints, slots: Ints, device: torch.device) -> Places:
    return torch.from_numpy(local).to(device), torch.from_numpy(slots).to(device)


def _mask(offsets: Int[Tensor, "row slot"], length: int, dtype: torch.dtype) -> Float[Tensor, "row 1 slot key"]:
    """0 where a query may look: positions before it, and itself behind them; the lowest number elsewhere."""
    before = torch.arange(length, device=offsets.device) < offsets[..., None]  # row slot position
    itself = torch.eye(offsets.shape[1], dtype=torch.bool, device=offsets.device).expand(len(offsets), -1, -1)
    allowed = torch.cat([before, itself], dim=2)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=offsets.device)
    return mask.masked_fill(~allowed, torch.finfo(dtype).min)[:, None]


def _hand_on(tail: tuple[Any, ...] | None, residual: Tensor, *_args: Any, **_kwargs: Any) -> Any:
    """What a block that is skipped returns."""
    return residual if tail is None else (residual, *tail)


def _numpy(x: Tensor) -> np.ndarray:
    values: np.ndarray = x.double().cpu().numpy()
    return values


def shortest_window(model: LanguageModel) -> int:
    """The shortest attention window of the model's layers; its context where there is none."""
    windows = [getattr(model.hf.config, name, None) for name in ("sliding_window", "window_size")]
    return min([model.facts.context, *(int(w) for w in windows if isinstance(w, int) and w > 0)])


_TAKES_MASKS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def takes_masks(model: LanguageModel) -> bool:
    """Whether queries side by side give what each gives behind its own past; tried out once for a model."""
    if model.hf not in _TAKES_MASKS:
        _TAKES_MASKS[model.hf] = _agrees(model)
    return _TAKES_MASKS[model.hf]


def _agrees(model: LanguageModel) -> bool:
    facts, generator = model.facts, torch.Generator().manual_seed(0)
    length = min(CHECK_TOKENS, shortest_window(model))
    rows = torch.randint(0, facts.d_vocab, (2, length), generator=generator).tolist()
    offsets = np.array([length - 1, length // 2, length // 2, 1]) % length
    queries = Queries(np.array([0, 0, 1, 1]), offsets, np.full(4, facts.n_layers - 1), np.arange(4) % facts.d_mlp)
    heads = np.zeros((4, facts.n_layers, facts.n_heads), bool)
    heads[np.arange(4), np.arange(4) % facts.n_layers, 0] = True
    bank = torch.randn(1, facts.n_layers, facts.n_heads, facts.d_head, generator=generator)
    edits = HeadEdits(heads, bank, np.zeros(4, np.int64))
    both = []
    for side_by_side in (False, True):
        run = RowRun(model, rows, side_by_side=side_by_side)
        run.keep_past(facts.n_layers - 1)
        try:
            both.append(torch.stack(run.replay(queries, queries.row, edits, 0)))
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
            if not side_by_side:
                raise
            return False  # the family's attention cannot be given such a mask
    tolerance = 1e-4 if model.hf.dtype == torch.float32 else 0.05
    return bool((both[1] - both[0]).abs().max() <= tolerance * both[0].abs().max().clamp(min=1e-6))
