"""Documents cut into the rows that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Window:
    """A row of at most `context` token ids; row index i ≥ 1 is position `start + i − 1` of the document.

    Row index 0 is not counted: it is the model's first token, or, for a model without one, the token before `start`.
    """

    document: int
    start: int
    ids: NDArray[np.int32]  # [row index]


class Windows(Sequence[Window]):
    """All windows of a corpus, by document and start, made when they are asked for.

    With a first token, windows start at positions 0, C−1, 2(C−1), …; without, at 1, C, 2C−1, …: either way every
    position (but position 0 where there is no first token) is counted in exactly one window.
    """

    def __init__(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64], context: int, first_token: int | None
    ) -> None:
        self._ids = ids  # [token of the corpus]
        self._offsets = offsets  # [document + 1]
        self._stride = context - 1
        self._first_token = first_token
        self._skipped = 0 if first_token is not None else 1  # positions at a document's beginning in no window
        counted = np.maximum(np.diff(offsets) - self._skipped, 0)  # [document]
        self._ends = np.cumsum(-(-counted // self._stride))  # [document] windows up to and with this document

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} windows, so no window {index}")
        document, start = self._place(index % len(self))
        begin, end = int(self._offsets[document]), int(self._offsets[document + 1])
        stop = min(begin + start + self._stride, end)
        if self._first_token is None:
            return Window(document, start, np.array(self._ids[begin + start - 1 : stop], dtype=np.int32))
        row = np.empty(stop - begin - start + 1, dtype=np.int32)
        row[0] = self._first_token
        row[1:] = self._ids[begin + start : stop]
        return Window(document, start, row)

    def _place(self, index: int) -> tuple[int, int]:
        """Document and start of the window at `index`."""
        document = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[document - 1]) if document else 0
        return document, self._skipped + (index - before) * self._stride

    def index_of(self, document: int, position: int) -> int:
        """The window in which `position` of `document` is counted; raises IndexError where it is in none."""
        length = int(self._offsets[document + 1] - self._offsets[document])
        if not self._skipped <= position < length:
            raise IndexError(f"position {position} of document {document} is counted in no window")
        before = int(self._ends[document - 1]) if document else 0
        return before + (position - self._skipped) // self._stride

    def of_document(self, document: int) -> range:
        """The indices of a document's windows."""
        return range(int(self._ends[document - 1]) if document else 0, int(self._ends[document]))

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Document and start of each window, [window] each."""
        per_document = np.diff(self._ends, prepend=0)
        documents = np.repeat(np.arange(len(per_document)), per_document)
        before = np.repeat(self._ends - per_document, per_document)
        return documents, self._skipped + (np.arange(len(self)) - before) * self._stride

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of ids in each window, [window]."""
        per_document = np.diff(self._ends, prepend=0)
        lengths = np.full(len(self), self._stride + 1, dtype=np.int64)
        has = per_document > 0
        counted = np.diff(self._offsets)[has] - self._skipped
        lengths[self._ends[has] - 1] = counted - (per_document[has] - 1) * self._stride + 1
        return lengths
