"""Rows of token ids into padded batches, always padded on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headtorch.core.analysis.places import Int32s, Int64s, WindowTable
from headtorch.core.errors import DeviceError

Result = TypeVar("Result")

_ANY = 1 << 30  # tokens: as long as it comes
_CPU_PASS, _CPU_TRACE, _ELSEWHERE = 2048, 512, 8192  # tokens


def pass_tokens(device: torch.device) -> int:
    """Padded tokens of one forward pass; on a CPU a fraction of a second of work between two checkpoints."""
    return _CPU_PASS if device.type == "cpu" else _ELSEWHERE


def trace_tokens(device: torch.device) -> int:
    """The same for a trace, whose attention is not fused."""
    return _CPU_TRACE if device.type == "cpu" else _ELSEWHERE


def pad_rows(rows: Sequence[Sequence[int] | Int32s], length: int, device: torch.device) -> Int[Tensor, "row position"]:
    """Rows as one matrix of `length` columns, zeros behind the shorter ones."""
    padded = np.zeros((len(rows), length), np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return torch.from_numpy(padded).to(device)


def length_batches(lengths: Sequence[int] | Int64s, batch_tokens: int) -> Iterator[Int64s]:
    """Indices of rows in batches of at most `batch_tokens` padded tokens (or one row), shortest rows first.

    Rows of a batch are of one bucket, so that a few long ones do not make much of the short ones.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    start, longest = 0, 0
    for stop in range(1, len(order) + 1):
        if start == stop - 1:
            longest = bucket_length(int(lengths[order[start]]), _ANY)
        if stop == len(order) or lengths[order[stop]] > min(longest, batch_tokens // (stop - start + 1)):
            yield order[start:stop]
            start = stop


def bucket_length(length: int, context: int) -> int:
    """The padded length of a window: the next of 16, 32, 48, … 128, 160, … 256, 320, …, at most the context.

    Steps are an eighth of the next power of two, at least 16, so that padding costs less than a quarter.
    """
    step = max(16, 1 << max((length - 1).bit_length() - 3, 0))
    return min(-(-length // step) * step, context)


@dataclass(frozen=True)
class Block:
    """Windows that go through the model together: of one half and one bucket."""

    windows: Int64s  # [row]
    length: int  # padded
    half: int


def plan_blocks(table: WindowTable, context: int, block_tokens: int, wanted: range | None = None) -> list[Block]:
    """All windows in blocks of about `block_tokens`, the longest buckets first, in the order of the corpus.

    Which windows share a block, and in which row, follows from the corpus and `block_tokens` alone. With `wanted`, only
    the blocks that hold some of those windows.
    """
    wanted = range(len(table)) if wanted is None else wanted
    bucket_of = np.array([bucket_length(n, context) for n in range(context + 1)], np.int64)  # [length]
    buckets = bucket_of[table.length]
    blocks = []
    for length in np.unique(buckets)[::-1]:
        rows = max(1, block_tokens // int(length))
        for half in (0, 1):
            members = np.flatnonzero((buckets == length) & (table.half == half))
            first, last = np.searchsorted(members, (wanted.start, wanted.stop))  # members inside: first … last − 1
            if first < last:
                starts = range(int(first) // rows * rows, int(last), rows)
                blocks += [Block(members[i : i + rows], int(length), half) for i in starts]
    return sorted(blocks, key=lambda block: (-block.length, int(block.windows[0])))


class MemoryGuard:
    """Runs work on row ranges; when the device runs out of memory it halves the range, and keeps to the half."""

    def __init__(self) -> None:
        self._split = 1

    def run(self, rows: int, work: Callable[[slice], Result]) -> Iterator[Result]:
        """`work` on consecutive slices that cover 0..rows; raises DeviceError if a single row does not fit."""
        start = 0
        while start < rows:
            size = max(1, -(-rows // self._split))
            try:
                result = work(slice(start, min(start + size, rows)))
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise DeviceError(
                        "The device has too little free memory for one row of tokens; "
                        "free some, use a shorter context, or use --device cpu."
                    ) from error
                self._split *= 2
            else:
                yield result
                start += size
                continue
            if torch.cuda.is_available():  # only now is what the failed work held let go of
                torch.cuda.empty_cache()
