"""Single positions of rows, run again under edits: the effect of heads at p alone, for many places at once.

An edit of heads at position p leaves the keys and values of the positions before p as they were. So every row is run
once, and p is run again as a query of its own: it attends to the row's own keys before p and to its own new key and
value, never to another query. Any number of queries of a row, at the same or at other positions, share one pass; the
model's own modules compute it, with a mask that says who may see what. Queries begin at the first block that an edit
touches. Where a family's attention does not take such a mask, or its window is shorter than a row, each query is run
behind its own past instead: slower, and the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.model.stand_in import instead
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

GRID_QUERIES = 256  # of one row in one pass: their mutual mask grows with the square
CHECK_TOKENS = 40

Rows = Sequence[Sequence[int]]
Ints = Int[np.ndarray, " query"]


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
        full = np.full(len(row), neuron.layer), np.full(len(row), neuron.index)
        return cls(np.asarray(row, np.int64), np.asarray(offset, np.int64), *full)


def joined(parts: Sequence[Queries]) -> Queries:
    """All queries, one after the other."""
    if not parts:
        empty = np.zeros(0, np.int64)
        return Queries(empty, empty, empty, empty)
    return Queries(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("row", "offset", "layer", "index")))


@dataclass(frozen=True)
class HeadEdits:
    """For each query the heads that are replaced, and the row of `bank` that their z comes from."""

    heads: Bool[np.ndarray, "query layer head"]
    bank: Float[Tensor, "vector layer head d_head"]
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


@dataclass(frozen=True)
class Replayed:
    """What neurons do at the queries under edits."""

    activation: Float[np.ndarray, " query"]
    pre_activation: Float[np.ndarray, " query"]  # gated: of the gate


def observe(model: LanguageModel, rows: Rows, queries: Queries, *, watch: Watch = SILENT) -> Observed:
    """z of every head, the norm's scale and the neuron's own numbers at each query, from one plain pass over the rows.

    Raises InputError for rows that the model cannot read.
    """
    facts, n = model.facts, len(queries)
    model.check_rows(rows)
    until = int(queries.layer.max()) if n else 0
    found = Observed(
        np.zeros(n),
        np.zeros((n, 1 + facts.gated)),
        torch.zeros(n, until + 1, facts.n_heads, facts.d_head),
        np.ones(n),
        np.ones((n, until + 1)) if facts.post_norm else None,
    )
    for batch, members in _batches(model, rows, queries, watch):
        run = _RowRun(model, [rows[r] for r in batch])
        mine = queries.take(members)
        local = np.searchsorted(batch, mine.row)
        run.observe(mine, torch.from_numpy(local), found, members)
    return found


def replay(model: LanguageModel, rows: Rows, queries: Queries, edits: HeadEdits, *, watch: Watch = SILENT) -> Replayed:
    """Each query's neuron with the query's heads replaced at its position alone, everything behind them recomputed.

    Raises InputError for rows that the model cannot read.
    """
    model.check_rows(rows)
    found = Replayed(np.zeros(len(queries)), np.zeros(len(queries)))
    for batch, members in _batches(model, rows, queries, watch):
        run = _RowRun(model, [rows[r] for r in batch])
        run.keep_past(int(queries.layer[members].max()))
        mine, of_mine = queries.take(members), edits.take(members)
        starts = _starts(of_mine.heads, mine.layer)
        for chosen in _chunks(model, np.searchsorted(batch, mine.row), starts):
            watch.checkpoint()
            some = mine.take(chosen)
            local = np.searchsorted(batch, some.row)
            pre, activation = run.again(some, local, of_mine.take(chosen), int(starts[chosen[0]]))
            found.pre_activation[members[chosen]] = pre.double().cpu().numpy()
            found.activation[members[chosen]] = activation.double().cpu().numpy()
    return found


def attribution_patching(
    model: LanguageModel,
    rows: Rows,
    queries: Queries,
    replacement: Float[Tensor, "vector layer head d_head"],
    source: Ints,
    *,
    watch: Watch = SILENT,
) -> Float[np.ndarray, "query layer head"]:
    """The gradient estimate of what replacing each head at the query takes from the activation.

    e(h) ≈ ⟨∂a/∂z_h, z_h − replacement_h⟩ along the query's own path: keys and values of other positions do not change.
    Heads that cannot feed the neuron are nan.
    """
    facts = model.facts
    model.check_rows(rows)
    found = np.full((len(queries), facts.n_layers, facts.n_heads), np.nan)
    for batch, members in _batches(model, rows, queries, watch):
        run = _RowRun(model, [rows[r] for r in batch])
        run.keep_past(int(queries.layer[members].max()))
        mine = queries.take(members)
        for chosen in _chunks(model, np.searchsorted(batch, mine.row), np.zeros(len(mine), np.int64)):
            watch.checkpoint()
            some = mine.take(chosen)
            slopes, z = run.slopes(some, np.searchsorted(batch, some.row))
            change = z - replacement[torch.from_numpy(source[members[chosen]]), : z.shape[1]].to(z)
            found[members[chosen], : z.shape[1]] = (slopes * change).sum(-1).double().cpu().numpy()
    for layer in np.unique(queries.layer):
        found[np.ix_(queries.layer == layer, ~model.eligible_heads(int(layer)).any(1))] = np.nan
    return found


def _batches(
    model: LanguageModel, rows: Rows, queries: Queries, watch: Watch
) -> Iterator[tuple[Int[np.ndarray, " row"], Ints]]:
    """Rows that are run together, ascending, with the queries on them."""
    used = np.unique(queries.row)
    order = np.argsort(queries.row, kind="stable")
    starts = np.searchsorted(queries.row[order], used, side="left")
    ends = np.searchsorted(queries.row[order], used, side="right")
    done = 0
    for some in length_batches([len(rows[r]) for r in used], pass_tokens(model.device)):
        watch.checkpoint()
        members = np.concatenate([order[starts[i] : ends[i]] for i in some])
        yield np.sort(used[some]), members
        done += len(members)
        watch.progress("replay", done, len(queries), "places")


def _starts(heads: Bool[np.ndarray, "query layer head"], layer: Ints) -> Ints:
    """The first block that each query's edit touches; the neuron's own for an edit of nothing."""
    touched = heads.any(-1)
    return np.where(touched.any(1), touched.argmax(1), layer)


def _chunks(model: LanguageModel, local: Ints, starts: Ints) -> Iterator[Ints]:
    """Queries that are run together: of one start, at most GRID_QUERIES of a row, a pass of tokens in all."""
    limit = pass_tokens(model.device)
    for start in np.unique(starts):
        members = np.flatnonzero(starts == start)
        order = members[np.argsort(local[members], kind="stable")]
        n_rows = len(np.unique(local[order]))
        slot = _slots(local[order])
        size = max(1, min(GRID_QUERIES, limit // n_rows))
        for first in range(0, int(slot.max()) + 1, size):
            yield order[(slot >= first) & (slot < first + size)]


def _slots(local: Ints) -> Ints:
    """The number of each query among those of its row; `local` may be in any order."""
    order = np.argsort(local, kind="stable")
    first = np.searchsorted(local[order], local[order], side="left")
    slots = np.empty(len(local), np.int64)
    slots[order] = np.arange(len(local)) - first
    return slots


class _Enough(Exception):
    """Raised inside the forward pass when the last neuron has been read."""


class _RowRun:
    """Some rows, run together once, and queries of them run again."""

    def __init__(self, model: LanguageModel, rows: Rows) -> None:
        self._model = model
        self._lengths = np.array([len(row) for row in rows])
        self._ids = pad_rows(rows, int(self._lengths.max()), model.device)
        self._past: DynamicCache
        self._residuals: list[Tensor] = []  # entering each block, [row, position, d_model]
        self._tails: list[tuple[Any, ...] | None] = []  # what a block returns beside the residual stream
        self._joint = takes_masks(model) and self._ids.shape[1] <= _window(model)

    def _by_head(self, z: Tensor) -> Float[Tensor, "row query head d_head"]:
        return z.reshape(*z.shape[:-1], self._model.facts.n_heads, self._model.facts.d_head)

    @torch.no_grad()
    def observe(self, queries: Queries, local: Tensor, found: Observed, places: Ints) -> None:
        """One plain pass; what it shows at the queries is written into `found`."""
        model, offset = self._model, torch.from_numpy(queries.offset)
        rows, offset = local.to(model.device), offset.to(model.device)

        def at(x: Tensor) -> Tensor:
            return x.reshape(*self._ids.shape, -1)[rows, offset].float()  # OPT flattens positions

        with ExitStack() as hooks:
            self._hook_heads(hooks, lambda k, x: found.heads.__setitem__((places, k), self._by_head(at(x)).cpu()))
            for k, norm in enumerate(model.attention_post_norms[: found.heads.shape[1]]):
                if norm is not None and found.post_scale is not None:
                    column = found.post_scale[:, k]
                    _pre_hook(
                        hooks, norm.module, lambda x, n=norm, c=column: c.__setitem__(places, _np(n.scale(at(x))))
                    )
            for layer in np.unique(queries.layer).tolist():
                self._hook_neuron(hooks, layer, queries, at, found, places)
            self._run_rows(hooks, int(queries.layer.max()))

    def _hook_heads(self, hooks: ExitStack, keep: Callable[[int, Tensor], None]) -> None:
        for k, module in enumerate(self._model.attention_output_modules):
            _pre_hook(hooks, module, lambda x, k=k: keep(k, x))

    def _hook_neuron(
        self,
        hooks: ExitStack,
        layer: int,
        queries: Queries,
        at: Callable[[Tensor], Tensor],
        found: Observed,
        places: Ints,
    ) -> None:
        """Read activation, pre-activations and σ of the neurons of one layer."""
        mine = np.flatnonzero(queries.layer == layer)
        index, into = torch.from_numpy(queries.index[mine]), places[mine]

        def column(x: Tensor) -> np.ndarray:
            return _np(at(x)[mine, index])

        def keep_activation(x: Tensor) -> None:
            found.activation[into] = column(x)

        model = self._model
        _pre_hook(hooks, model.mlp_output_modules[layer], keep_activation)
        for read, (module, first) in enumerate(model.mlp_reads(layer)):

            def keep_pre(x: Tensor, read: int = read, first: int = first) -> None:
                found.pre_activation[into, read] = column(x[..., first : first + model.facts.d_mlp])

            _hook(hooks, module, keep_pre)
        norm = model.mlp_norms[layer]
        if norm is not None:
            _pre_hook(hooks, norm.module, lambda x: found.scale.__setitem__(into, _np(norm.scale(at(x))[mine])))

    def _run_rows(self, hooks: ExitStack, until: int, past: DynamicCache | None = None) -> None:
        """All positions of the rows, up to the MLP of block `until`."""

        def stop(_x: Tensor) -> None:
            raise _Enough

        _pre_hook(hooks, self._model.mlp_output_modules[until], stop)
        with fast_products(self._model.hf), suppress(_Enough):
            self._model.hf.base_model(input_ids=self._ids, past_key_values=past, use_cache=past is not None)

    @torch.no_grad()
    def keep_past(self, until: int) -> None:
        """Run the rows and keep their keys, values and residual streams up to block `until`."""
        self._past = DynamicCache()

        def keep_tail(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._tails.append(output[1:] if isinstance(output, tuple) else None)

        with ExitStack() as hooks:
            for block in self._model.block_modules[: until + 1]:
                _pre_hook(hooks, block, self._residuals.append)
                hooks.callback(block.register_forward_hook(keep_tail).remove)
            self._run_rows(hooks, until, self._past)

    @torch.no_grad()
    def again(
        self, queries: Queries, local: Ints, edits: HeadEdits, start: int
    ) -> tuple[Float[Tensor, " query"], Float[Tensor, " query"]]:
        """Pre-activations (gated: of the gate) and activations of the queries under their edits, from block `start`."""
        if self._joint:
            return self._joined(queries, local, edits, start)
        device = self._model.device
        pre, activation = (torch.zeros(len(queries), device=device) for _ in range(2))
        for offset in np.unique(queries.offset):
            mine = np.flatnonzero(queries.offset == offset)
            pre[mine], activation[mine] = self._behind_pasts(queries.take(mine), local[mine], edits.take(mine), start)
        return pre, activation

    def _joined(self, queries: Queries, local: Ints, edits: HeadEdits | None, start: int) -> tuple[Tensor, Tensor]:
        """All queries of a row side by side, each seeing the row before itself, and itself."""
        grid = _Grid(self._ids, queries, local, self._model.hf.dtype)
        entering = self._residuals[start][grid.rows[:, None], grid.offsets] if start else None
        return self._query(grid.ids, grid.places, queries, edits, start, entering, self._past_of(start), grid.options)

    def _behind_pasts(
        self, queries: Queries, local: Ints, edits: HeadEdits | None, start: int
    ) -> tuple[Tensor, Tensor]:
        """Queries at one offset, each behind its own row's past."""
        offset, device = int(queries.offset[0]), self._model.device
        rows = torch.from_numpy(local).to(device)
        past = self._past_of(start, rows, offset) if offset else None
        entering = self._residuals[start][rows, offset][:, None] if start else None
        places = torch.arange(len(queries), device=device), torch.zeros(len(queries), dtype=torch.long, device=device)
        return self._query(self._ids[rows, offset][:, None], places, queries, edits, start, entering, past, {})

    def _past_of(self, start: int, rows: Tensor | None = None, length: int | None = None) -> DynamicCache:
        """The clean keys and values; a block puts new tensors into the copy and changes none."""
        past = copy.copy(self._past)
        past.layers = [copy.copy(layer) for layer in self._past.layers]
        if rows is not None:
            for layer in past.layers:
                held = cast(Any, layer)
                held.keys, held.values = held.keys[rows, :, :length], held.values[rows, :, :length]
        return past

    def _query(
        self,
        ids: Int[Tensor, "row query"],
        places: tuple[Tensor, Tensor],
        queries: Queries,
        edits: HeadEdits | None,
        start: int,
        entering: Float[Tensor, "row query d_model"] | None,
        past: DynamicCache | None,
        options: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Run queries laid out as `ids`; query i stands at `places`[i]."""
        model, blocks = self._model, self._model.block_modules
        read: dict[str, Tensor] = {}
        until = int(queries.layer.max())
        with ExitStack() as hooks:
            for block, tail in zip(blocks[:start], self._tails, strict=False):
                hooks.enter_context(instead(block, _handing_on(tail)))
            if entering is not None:
                _replace_input(hooks, blocks[start], lambda _x: entering)
            if edits is not None:
                self._hook_edits(hooks, edits, places, start, until)
            self._hook_reading(hooks, queries, places, ids.shape, read, until)
            hooks.enter_context(nullcontext() if torch.is_grad_enabled() else fast_products(model.hf))
            with suppress(_Enough):
                model.hf.base_model(input_ids=ids, past_key_values=past, use_cache=past is not None, **options)
        return read["pre"], read["activation"]

    def _hook_edits(
        self, hooks: ExitStack, edits: HeadEdits, places: tuple[Tensor, Tensor], start: int, until: int
    ) -> None:
        heads = torch.from_numpy(edits.heads).to(self._model.device)
        source = torch.from_numpy(edits.source)

        def edit(x: Tensor, k: int) -> Tensor:
            z = self._by_head(x).clone()
            new = edits.bank[source, k].to(z)  # query head d_head
            z[places] = torch.where(heads[:, k, :, None], new, z[places])
            return z.reshape(x.shape)

        for k in range(start, until + 1):
            if bool(edits.heads[:, k].any()):
                _replace_input(hooks, self._model.attention_output_modules[k], lambda x, k=k: edit(x, k))

    def _hook_reading(
        self,
        hooks: ExitStack,
        queries: Queries,
        places: tuple[Tensor, Tensor],
        shape: torch.Size,
        read: dict[str, Tensor],
        until: int,
    ) -> None:
        """Read the neurons; the pass ends at block `until`."""
        device = self._model.device
        read["pre"], read["activation"] = (torch.zeros(len(queries), device=device) for _ in range(2))
        for layer in np.unique(queries.layer).tolist():
            mine = torch.from_numpy(np.flatnonzero(queries.layer == layer)).to(device)
            index = torch.from_numpy(queries.index).to(device)[mine]

            def keep(name: str, x: Tensor, mine: Tensor = mine, index: Tensor = index) -> None:
                values = x.reshape(*shape, -1)[places[0][mine], places[1][mine], index].float()
                read[name] = read[name].index_put((mine,), values)

            _hook(hooks, self._model.mlp_input_modules[layer], lambda x, keep=keep: keep("pre", x))
            _pre_hook(hooks, self._model.mlp_output_modules[layer], lambda x, keep=keep: keep("activation", x))

        def stop(_x: Tensor) -> None:
            raise _Enough

        _pre_hook(hooks, self._model.mlp_output_modules[until], stop)

    def slopes(
        self, queries: Queries, local: Ints
    ) -> tuple[Float[Tensor, "query layer head d_head"], Float[Tensor, "query layer head d_head"]]:
        """∂a/∂z_h at each query, and z itself."""
        if self._joint:
            return self._slopes(
                queries, lambda: self._joined(queries, local, None, 0), _Grid.places_of(self._ids, local)
            )
        parts = []
        for i in range(len(queries)):
            one, row = queries.take(np.array([i])), local[[i]]
            zero = torch.zeros(1, dtype=torch.long, device=self._model.device)
            parts.append(self._slopes(one, lambda o=one, r=row: self._behind_pasts(o, r, None, 0), (zero, zero)))
        return torch.cat([slope for slope, _ in parts]), torch.cat([z for _, z in parts])

    def _slopes(
        self, queries: Queries, forward: Callable[[], tuple[Tensor, Tensor]], places: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        nudges: list[Tensor] = []
        z: list[Tensor] = []

        def nudge(x: Tensor) -> Tensor:
            by_head = self._by_head(x)
            nudges.append(torch.zeros_like(by_head, requires_grad=True))
            z.append(by_head.detach()[places].float())
            return (by_head + nudges[-1]).reshape(x.shape)

        with torch.enable_grad(), ExitStack() as hooks:
            for module in self._model.attention_output_modules[: int(queries.layer.max()) + 1]:
                _replace_input(hooks, module, nudge)
            _, activation = forward()
            slopes = torch.autograd.grad(activation.sum(), nudges, allow_unused=True)
        flat = [torch.zeros_like(at) if s is None else s[places].float() for s, at in zip(slopes, z, strict=True)]
        return torch.stack(flat, dim=1), torch.stack(z, dim=1)


class _Grid:
    """Queries laid out as [row, slot], rows that have none left out."""

    def __init__(self, ids: Int[Tensor, "row position"], queries: Queries, local: Ints, dtype: torch.dtype) -> None:
        device, length = ids.device, ids.shape[1]
        n_rows, slots = len(ids), _slots(local)
        offsets = np.zeros((n_rows, int(slots.max()) + 1), np.int64)
        offsets[local, slots] = queries.offset
        self.rows = torch.arange(n_rows, device=device)
        self.offsets = torch.from_numpy(offsets).to(device)  # row slot
        self.ids = ids.gather(1, self.offsets)
        self.places = torch.from_numpy(local).to(device), torch.from_numpy(slots).to(device)
        before = torch.arange(length, device=device) < self.offsets[..., None]  # row slot position
        itself = torch.eye(offsets.shape[1], dtype=torch.bool, device=device).expand(n_rows, -1, -1)
        seen = torch.cat([before, itself], dim=2)
        mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)
        self.options = {"attention_mask": mask[:, None], "position_ids": self.offsets}

    @staticmethod
    def places_of(ids: Tensor, local: Ints) -> tuple[Tensor, Tensor]:
        """Row and slot of each query."""
        return torch.from_numpy(local).to(ids.device), torch.from_numpy(_slots(local)).to(ids.device)


def _np(x: Tensor) -> np.ndarray:
    return cast(np.ndarray, x.detach().double().cpu().numpy())


def _pre_hook(hooks: ExitStack, module: nn.Module, keep: Callable[[Tensor], object]) -> None:
    """While `hooks` holds, `keep` sees the module's first input."""

    def look(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        keep(inputs[0])

    hooks.callback(module.register_forward_pre_hook(look).remove)


def _hook(hooks: ExitStack, module: nn.Module, keep: Callable[[Tensor], object]) -> None:
    """The same for its output."""

    def look(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        keep(output)

    hooks.callback(module.register_forward_hook(look).remove)


def _replace_input(hooks: ExitStack, module: nn.Module, new: Callable[[Tensor], Tensor]) -> None:
    """While `hooks` holds, the module's first input is what `new` makes of it."""

    def put(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (new(inputs[0]), *inputs[1:])

    hooks.callback(module.register_forward_pre_hook(put).remove)


def _handing_on(tail: tuple[Any, ...] | None) -> Callable[..., Any]:
    """A block that hands on the residual stream."""

    def hand_on(residual: Tensor, *_args: Any, **_kwargs: Any) -> Any:
        return residual if tail is None else (residual, *tail)

    return hand_on


def _window(model: LanguageModel) -> int:
    """The shortest attention window of the model's layers; its context without one."""
    config = model.hf.config
    windows = [getattr(config, name, None) for name in ("sliding_window", "window_size")]
    return min([model.facts.context, *(int(w) for w in windows if isinstance(w, int) and w > 0)])


_TAKES_MASKS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def takes_masks(model: LanguageModel) -> bool:
    """Whether queries side by side give what each gives behind its own past, tried out once for a model."""
    if model.hf not in _TAKES_MASKS:
        _TAKES_MASKS[model.hf] = True
        _TAKES_MASKS[model.hf] = _agrees(model)
    return _TAKES_MASKS[model.hf]


def _agrees(model: LanguageModel) -> bool:
    facts, generator = model.facts, torch.Generator().manual_seed(0)
    length = min(CHECK_TOKENS, facts.context, _window(model))
    rows = torch.randint(0, facts.d_vocab, (2, length), generator=generator).tolist()
    layer = facts.n_layers - 1
    offsets = np.array([length - 1, length // 2, length // 2, 1]) % length
    queries = Queries(np.array([0, 0, 1, 1]), offsets, np.full(4, layer), np.arange(4) % facts.d_mlp)
    heads = np.zeros((4, facts.n_layers, facts.n_heads), bool)
    heads[np.arange(4), np.arange(4) % facts.n_layers, 0] = True
    bank = torch.randn(1, facts.n_layers, facts.n_heads, facts.d_head, generator=generator)
    edits = HeadEdits(heads, bank, np.zeros(4, np.int64))
    run = _RowRun(model, rows)
    run.keep_past(layer)
    try:
        run._joint = True
        side_by_side = torch.stack(run.again(queries, queries.row, edits, 0))
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
        return False
    run._joint = False
    behind = torch.stack(run.again(queries, queries.row, edits, 0))
    tolerance = 1e-4 if model.hf.dtype == torch.float32 else 0.05
    return bool((side_by_side - behind).abs().max() <= tolerance * behind.abs().max().clamp(min=1e-6))
