"""Places in a corpus: (document, position) pairs, the windows they are read in, and the hash that samples them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headtorch.core.corpus.windows import Windows
from headtorch.core.records import Half

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

HALVES: tuple[Half, Half] = ("explain", "score")


class WindowedCorpus(Protocol):
    """What the scan needs of a tokenized corpus."""

    @property
    def windows(self) -> Windows: ...
    @property
    def context(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def half(self, document: int) -> Half: ...


@dataclass(frozen=True)
class Places:
    """Parallel arrays: a token position of a document and the window that holds it."""

    document: Int32s  # [place]
    position: Int32s  # [place]
    window: Int32s  # [place]

    def __len__(self) -> int:
        return len(self.window)


@dataclass(frozen=True)
class Top:
    """Places with a neuron's activation there. From `ActivationIndex.top`: best first."""

    activation: npt.NDArray[np.float32]  # [place]
    document: Int32s  # [place]
    position: Int32s  # [place]
    window: Int32s  # [place]

    def __len__(self) -> int:
        return len(self.window)


@dataclass(frozen=True)
class WindowTable:
    """Where each window stands. Row index i of a window is document position start + i − 1."""

    document: Int32s  # [window]
    start: Int32s  # [window]
    length: Int32s  # [window], the first token included
    half: npt.NDArray[np.int8]  # [window], index into HALVES

    @classmethod
    def of(cls, corpus: WindowedCorpus) -> WindowTable:
        length = corpus.windows.lengths.astype(np.int32)
        document, start = (column.astype(np.int32) for column in corpus.windows.places)  # by document
        first = np.flatnonzero(np.diff(document, prepend=np.int32(-1)))  # window of each document that has windows
        found = (HALVES.index(corpus.half(int(one))) for one in document[first])
        halves = np.fromiter(found, np.int8, len(first))  # [document with windows]
        return cls(document, start, length, np.repeat(halves, np.diff(first, append=len(document))))

    def __len__(self) -> int:
        return len(self.document)

    def take(self, windows: Int64s) -> WindowTable:
        """The table of some windows, numbered anew."""
        return WindowTable(self.document[windows], self.start[windows], self.length[windows], self.half[windows])

    def hashes(self, windows: Sequence[int] | Int64s, length: int, seed: int) -> Int64s:  # [window, row index]
        """`hash_places` of every row index below `length` of the given windows."""
        chosen = np.asarray(windows, np.int64)
        position = self.start[chosen, None].astype(np.int64) + np.arange(length) - 1
        return hash_places(seed, self.document[chosen, None].astype(np.int64), position)


def hash_places(seed: int, document: Int64s, position: Int64s) -> Int64s:
    """A 64-bit hash of (seed, document, position); for one seed no two places share a hash.

    It applies the finaliser of SplitMix64, which is a bijection, to the seed and then to the place.
    """
    packed = (document.astype(np.uint64) << np.uint64(32)) | position.astype(np.uint32).astype(np.uint64)
    mixed_seed = _mix(np.full(1, seed & 0xFFFFFFFFFFFFFFFF, np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return _mix(packed ^ mixed_seed).view(np.int64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
