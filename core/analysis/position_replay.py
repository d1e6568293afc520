"""Single positions of rows, run again under edits: the effect of heads at p alone, for many places at once.

An edit of heads at position p leaves the keys and values of the positions before p as they were. So every row is run
once, and p is run again as a query of its own that attends to the row's keys before p. Any number of queries of a row,
at the same or at other positions, share one pass of the model's own modules (`headtorch.core.analysis.row_run`).
Queries begin at the first block that an edit touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headtorch.core.analysis.batching import length_batches, pass_tokens
from headtorch.core.analysis.row_run import HeadEdits, Ints, Observed, Queries, RowRun, Rows, slots_of, takes_masks
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.watch import SILENT, Watch

__all__ = [
    "EditJob",
    "HeadEdits",
    "Observed",
    "Queries",
    "Rows",
    "attribution_patching",
    "edited_activations",
    "joined",
    "observe",
    "observed_and_edited",
    "replay",
    "takes_masks",
]

GRID_QUERIES = 48  # of one row in one pass: rows that have none left are not run along


@dataclass(frozen=True)
class Replayed:
    """What neurons do at the queries under edits."""

    activation: Float[np.ndarray, " query"]
    pre_activation: Float[np.ndarray, " query"]  # gated: of the gate


@dataclass(frozen=True)
class _SeenPlaces:
    """Places that are observed on the way, while their rows are run for edits."""

    queries: Queries
    seen: Observed

    def on(self, rows: Int[np.ndarray, " row"]) -> Ints:
        """The places on these rows."""
        return np.flatnonzero(np.isin(self.queries.row, rows))


@dataclass(frozen=True)
class EditJob:
    """Edits of one neuron's heads, each on all of its places."""

    queries: Queries
    heads: Bool[np.ndarray, "edit layer head"]
    bank: Float[Tensor, "vector layer head d_head"]
    source: Ints  # [query], row of `bank` that stands in at the place


def joined(parts: Sequence[Queries]) -> Queries:
    """All queries, one after the other."""
    names = ("row", "offset", "layer", "index")
    return Queries(*(np.concatenate([getattr(part, name) for part in parts]).astype(np.int64) for name in names))


def observe(model: LanguageModel, rows: Rows, queries: Queries, *, watch: Watch = SILENT) -> Observed:
    """z of every head, the norms' scales and the neuron's own numbers at each query, from one plain pass over the rows.

    Raises InputError for rows that the model cannot read.
    """
    model.check_rows(rows)
    seen = _unseen(model, queries)
    for batch, members in _batches(model, rows, queries, watch):
        mine = queries.take(members)
        RowRun(model, [rows[r] for r in batch]).observe(mine, np.searchsorted(batch, mine.row), seen, members)
    return seen


def _unseen(model: LanguageModel, queries: Queries) -> Observed:
    facts, n = model.facts, len(queries)
    layers = int(queries.layer.max()) + 1 if n else 1
    return Observed(
        activation=np.zeros(n),
        pre_activation=np.zeros((n, 1 + facts.gated)),
        heads=torch.zeros(n, layers, facts.n_heads, facts.d_head),
        scale=np.ones(n),
        post_scale=np.ones((n, layers)) if facts.post_norm else None,
    )


def replay(model: LanguageModel, rows: Rows, queries: Queries, edits: HeadEdits, *, watch: Watch = SILENT) -> Replayed:
    """Each query's neuron with the query's heads replaced at its position alone, everything behind them recomputed.

    Raises InputError for rows that the model cannot read.
    """
    return _replayed(model, rows, queries, edits, None, watch)


def _replayed(
    model: LanguageModel, rows: Rows, queries: Queries, edits: HeadEdits, places: _SeenPlaces | None, watch: Watch
) -> Replayed:
    model.check_rows(rows)
    read = Replayed(np.zeros(len(queries)), np.zeros(len(queries)))
    for batch, members in _batches(model, rows, queries, watch):
        mine, of_mine = queries.take(members), edits.take(members)
        run = RowRun(model, [rows[r] for r in batch])
        if places is None:
            run.keep_past(int(mine.layer.max()))
        else:
            shown = places.on(batch)
            there = places.queries.take(shown)
            run.observe(there, np.searchsorted(batch, there.row), places.seen, shown, keep_past=True)
        local = np.searchsorted(batch, mine.row)
        starts = _starts(of_mine.heads, mine.layer)
        for chosen in _chunks(model, local, starts):
            watch.checkpoint()
            start = int(starts[chosen[0]])
            pre, activation = run.replay(mine.take(chosen), local[chosen], of_mine.take(chosen), start)
            read.pre_activation[members[chosen]] = pre.double().cpu().numpy()
            read.activation[members[chosen]] = activation.double().cpu().numpy()
    return read


def edited_activations(
    model: LanguageModel, rows: Rows, jobs: Sequence[EditJob], *, watch: Watch = SILENT
) -> list[Float[np.ndarray, "edit query"]]:
    """Activations of each job's queries under each of its edits; rows that jobs share are run once for all of them."""
    if not jobs:
        return []
    queries, edits = _of_jobs(jobs)
    return _by_job(replay(model, rows, queries, edits, watch=watch).activation, jobs)


def observed_and_edited(
    model: LanguageModel, rows: Rows, jobs: Sequence[EditJob], *, watch: Watch = SILENT
) -> tuple[list[Observed], list[Float[np.ndarray, "edit query"]]]:
    """`observe` of each job's queries and `edited_activations` of the jobs, the rows run once for both."""
    if not jobs:
        return [], []
    places = joined([job.queries for job in jobs])
    seen = _SeenPlaces(places, _unseen(model, places))
    queries, edits = _of_jobs(jobs)
    activation = _replayed(model, rows, queries, edits, seen, watch).activation
    ends = np.cumsum([0, *(len(job.queries) for job in jobs)])
    parts = [_part(seen.seen, slice(a, b)) for a, b in pairwise(ends.tolist())]
    return parts, _by_job(activation, jobs)


def _part(seen: Observed, places: slice) -> Observed:
    post_scale = None if seen.post_scale is None else seen.post_scale[places]
    return Observed(
        seen.activation[places], seen.pre_activation[places], seen.heads[places], seen.scale[places], post_scale
    )


def _of_jobs(jobs: Sequence[EditJob]) -> tuple[Queries, HeadEdits]:
    shifts = np.cumsum([0, *(len(job.bank) for job in jobs)])
    layers = max(job.bank.shape[1] for job in jobs)
    bank = torch.cat([_padded(job.bank, layers) for job in jobs])
    queries = joined([job.queries for job in jobs for _ in job.heads])
    heads = np.concatenate([np.repeat(job.heads, len(job.queries), axis=0) for job in jobs])
    sources = [np.tile(job.source + shift, len(job.heads)) for job, shift in zip(jobs, shifts, strict=False)]
    return queries, HeadEdits(heads, bank, np.concatenate(sources).astype(np.int64))


def _by_job(activation: Float[np.ndarray, " query"], jobs: Sequence[EditJob]) -> list[Float[np.ndarray, "edit query"]]:
    ends = np.cumsum([len(job.heads) * len(job.queries) for job in jobs])
    parts = np.split(activation, ends[:-1])
    return [part.reshape(len(job.heads), len(job.queries)) for part, job in zip(parts, jobs, strict=True)]


def _padded(bank: Tensor, layers: int) -> Tensor:
    return torch.nn.functional.pad(bank, (0, 0, 0, 0, 0, layers - bank.shape[1]))


def attribution_patching(
    model: LanguageModel,
    rows: Rows,
    queries: Queries,
    bank: Float[Tensor, "vector layer head d_head"],
    source: Ints,
    *,
    watch: Watch = SILENT,
) -> Float[np.ndarray, "query layer head"]:
    """The gradient estimate of what replacing each head at the query takes from the activation.

    e(h) ≈ ⟨∂a/∂z_h, z_h − z̄_h⟩, z̄ = bank[source[i]] for query i, along the query's own path: keys and values of other
    positions do not change. Heads that cannot feed the neuron are nan.
    """
    facts = model.facts
    model.check_rows(rows)
    estimate = np.full((len(queries), facts.n_layers, facts.n_heads), np.nan)
    for batch, members in _batches(model, rows, queries, watch):
        mine = queries.take(members)
        run = RowRun(model, [rows[r] for r in batch])
        run.keep_past(int(mine.layer.max()))
        local = np.searchsorted(batch, mine.row)
        for chosen in _chunks(model, local, np.zeros(len(mine), np.int64)):
            watch.checkpoint()
            slopes, z = run.slopes(mine.take(chosen), local[chosen])
            change = z - bank[torch.from_numpy(source[members[chosen]]), : z.shape[1]].to(z)
            estimate[members[chosen], : z.shape[1]] = (slopes * change).sum(-1).double().cpu().numpy()
    for layer in np.unique(queries.layer).tolist():
        feeds = model.eligible_heads(layer)
        estimate[queries.layer == layer] = np.where(feeds, estimate[queries.layer == layer], np.nan)
    return estimate


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
    touched = np.any(heads, axis=2)  # query layer
    return np.where(np.any(touched, axis=1), np.argmax(touched, axis=1), layer)


def _chunks(model: LanguageModel, local: Ints, starts: Ints) -> Iterator[Ints]:
    """Queries that are run together: of one start, at most GRID_QUERIES of a row, a pass of tokens in all."""
    limit = pass_tokens(model.device)
    for start in np.unique(starts):
        members = np.flatnonzero(starts == start)
        slots = slots_of(local[members])
        size = max(1, min(GRID_QUERIES, limit // len(np.unique(local[members]))))
        for first in range(0, int(slots.max()) + 1, size):
            yield members[(slots >= first) & (slots < first + size)]
