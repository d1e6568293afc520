"""How a corpus is cut into shards, and where finished ones are kept."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from headtorch.core.analysis.index import ActivationIndex, index_file_name
from headtorch.core.analysis.places import WindowTable
from headtorch.core.errors import StorageError

TOKENS_OF_A_SHARD = 1 << 26
FEWEST, MOST = 16, 1024  # shards, where nobody asked for a number


def shard_count(asked: int | None, tokens: int, windows: int) -> int:
    """How many shards; it depends on the corpus alone, so that a run on another cluster finds what this one left."""
    count = min(max(FEWEST, -(-tokens // TOKENS_OF_A_SHARD)), MOST) if asked is None else asked
    return max(1, min(count, windows))


def cut(windows: int, shards: int) -> list[range]:
    """Consecutive ranges of windows, as equal as can be."""
    edges = [i * windows // shards for i in range(shards + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def without_table(index: ActivationIndex) -> ActivationIndex:
    """The index without the columns that are the same for every shard; they are as long as the corpus has windows."""
    nothing = np.empty(0, np.int32)
    return replace(index, window_document=nothing, window_start=nothing)


def with_table(index: ActivationIndex, table: WindowTable) -> ActivationIndex:
    """The opposite of `without_table`."""
    return replace(index, window_document=table.document, window_start=table.start)


@dataclass(frozen=True)
class ShardFolder:
    """Finished shards of one cut, without their tables: beside the index, not among the indices.

    `token` names a file that the driver has put there: a worker that sees it shares the storage, and writes.
    """

    path: Path
    key: str
    token: str

    @classmethod
    def of(cls, index_folder: Path, key: str, shards: int, token: str) -> ShardFolder:
        """The folder of a cut; nothing is made."""
        return cls(index_folder / f"shards-{key[:24]}-{shards}", key, token)

    @property
    def shared(self) -> bool:
        """Whether this process sees the folder that the driver made."""
        return (self.path / self.token).is_file()

    def open(self) -> None:
        """Make the folder, and put the token there."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / self.token).touch()

    def close(self) -> None:
        """Take the token away, and the folder where nothing was kept in it."""
        (self.path / self.token).unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def kept(self, windows: range) -> ActivationIndex | None:
        """The finished shard; None where there is none that can be read."""
        path = self.path / index_file_name(self.key, windows)
        try:
            index = ActivationIndex.load(path) if path.is_file() else None
        except StorageError:
            return None
        whole = index is not None and index.key == self.key and index.blocks_left == 0
        return index if whole else None

    def keep(self, shard: ActivationIndex) -> None:
        """Write a finished shard, where the storage is shared."""
        if self.shared:
            shard.save(self.path)

    def remove_all(self) -> None:
        """Remove the finished shards of this index, of every cut: it is whole."""
        for folder in self.path.parent.glob(f"shards-{self.key[:24]}-*"):
            shutil.rmtree(folder, ignore_errors=True)
