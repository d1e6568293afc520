"""A researcher's notes and bookmarks: a file of their own, since only the engine writes the log. Saved at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headtorch.core.errors import StudyError
from headtorch.core.files import open_regular
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.files import storage_errors, write_atomic


class NoteBook(msgspec.Struct, frozen=True):
    """What notes.json holds: texts and bookmarks by subject."""

    format: int = 1
    notes: dict[str, str] = msgspec.field(default_factory=dict)
    bookmarks: tuple[str, ...] = ()


def subject_of(neuron: NeuronId | None = None, head: HeadId | None = None) -> str:
    """What a note is about: "L3.N412", "L2.H4", "L3.N412 L2.H4" (the head of that neuron) or "study"."""
    return " ".join(str(part) for part in (neuron, head) if part is not None) or "study"


class Notes:
    """Notes and bookmarks of one study. Every change re-reads the file, so two windows lose nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notes.json"

    def read(self) -> NoteBook:
        """All notes. Raises StudyError for a damaged file, which is never overwritten."""
        try:
            book = msgspec.json.decode(self._path.read_bytes(), type=NoteBook)
        except FileNotFoundError:
            return NoteBook()
        except OSError as error:
            raise StudyError(f"{self._path} cannot be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"{self._path} is damaged ({error}); mend it or move it away.") from None
        if book.format != 1:
            raise StudyError(f"{self._path} was written by a newer headtorch; upgrade to change these notes.")
        return book

    def write(self, subject: str, text: str) -> None:
        """Keep the note about a subject; an empty text removes it."""

        def change(book: NoteBook) -> NoteBook:
            notes = {key: note for key, note in book.notes.items() if key != subject or text}
            return msgspec.structs.replace(book, notes=notes | {subject: text} if text else notes)

        self._change(change)

    def bookmark(self, subject: str, on: bool = True) -> None:
        """Set or take away a bookmark; the order is that of setting."""

        def change(book: NoteBook) -> NoteBook:
            others = tuple(mark for mark in book.bookmarks if mark != subject)
            kept = book.bookmarks if subject in book.bookmarks else (*others, subject)
            return msgspec.structs.replace(book, bookmarks=kept if on else others)

        self._change(change)

    def _change(self, change: Callable[[NoteBook], NoteBook]) -> None:
        with self._alone():
            data = msgspec.json.encode(change(self.read()))
            write_atomic(self._path, msgspec.json.format(data, indent=2) + b"\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with storage_errors(self._path):
            descriptor = open_regular(self._path.with_name("notes.lock"), os.O_RDWR | os.O_CREAT)
        try:
            with storage_errors(self._path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
