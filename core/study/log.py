"""The log of a study: one event a line, appended and never changed.

A line counts once its newline is on the disk. What follows the last newline is the rest of a write that a crash cut
short: reading passes over it, and opening for writing cuts it off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headtorch.core.errors import StudyError
from headtorch.core.event_lines import UnknownEvent, decode, type_of
from headtorch.core.events import AnyEvent, StudyOpened
from headtorch.core.files import open_regular, sync_folder, write_all
from headtorch.core.settings import Settings
from headtorch.core.study.files import storage_errors
from headtorch.core.study.migrations import SCHEMA, as_line, migrated, needs_migration
from headtorch.core.version import version


def read_log(path: Path) -> Iterator[AnyEvent]:
    """The events of the whole lines. Raises StudyError naming the line that is damaged or of a newer version."""
    return LogReader(path).read()


class LogReader:
    """Reads a log from where it has come to, so that a second `read` gives what was written since the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset, self._number = 0, 0
        self._writer = "a version that its log does not name"
        self._schema = 1
        self._settings: Settings | None = None
        self.torn = b""  # what follows the last whole line

    def read(self) -> Iterator[AnyEvent]:
        """The events of the whole lines that are new. Raises as `read_log` does."""
        data = self._data()
        end = data.rfind(b"\n") + 1
        self._offset, self.torn = self._offset + end, data[end:]
        for line in data[:end].split(b"\n")[:-1]:
            self._number += 1
            event = self._event(line)
            if isinstance(event, StudyOpened):
                self._opened(event)
            yield event

    def _data(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StudyError(f"{self._path} cannot be read: {error.strerror}.") from error

    def _event(self, line: bytes) -> AnyEvent:
        try:
            old = self._schema < SCHEMA and (kind := type_of(line)) is not None and needs_migration(kind, self._schema)
            return decode(self._migrated(line) if old else line)
        except UnknownEvent as error:
            raise StudyError(
                f"Line {self._number} of {self._path} holds {error}: it was written by headtorch {self._writer} and "
                f"this is {version()}; read it with that version or a newer one."
            ) from None
        except (StudyError, msgspec.DecodeError, LookupError, AttributeError, TypeError, RecursionError) as error:
            raise StudyError(
                f"Line {self._number} of {self._path} is damaged ({error}); restore the file, or delete that line and "
                "all after it and run the study again."
            ) from None

    def _migrated(self, line: bytes) -> bytes:
        read = as_line(line)
        schema = read.get("schema", 1) if read["type"] == "StudyOpened" else self._schema
        return msgspec.json.encode(migrated(read, schema, self._settings))

    def _opened(self, event: StudyOpened) -> None:
        if event.schema > SCHEMA:
            raise StudyError(
                f"Line {self._number} of {self._path} was written by headtorch {event.version}, whose logs this one "
                f"({version()}) does not know; upgrade."
            )
        self._writer, self._schema, self._settings = event.version, event.schema, event.settings


def torn_sentence(torn: bytes) -> str:
    """What a crash cut off the end of a log."""
    kind = re.match(rb'\{"type":"(\w+)"', torn)
    what = f"of a {kind[1].decode('ascii', 'replace')} event" if kind else "of an event"
    return (
        f"The last line of the log was cut short: the first {len(torn)} bytes {what} are there, and are passed over. "
        "All that was logged before is kept; running the study again makes up for what is lost."
    )


class LogWriter:
    """Appends lines, each on the disk before the call returns. The caller holds the study's lock."""

    def __init__(self, path: Path) -> None:
        """Open or make the log, and cut off a torn last line. Raises StorageError."""
        self._path = path
        with storage_errors(path):
            new = not path.exists()
            self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            self.torn = data[whole:]
            if self.torn:
                self._cut(whole)
            if new:
                sync_folder(path.parent)

    def append(self, line: bytes) -> None:
        """Write one line that ends in a newline; when that fails the log stays as it was. Raises StorageError."""
        with storage_errors(self._path):
            size = os.fstat(self._descriptor).st_size
            try:
                write_all(self._descriptor, line)
            except BaseException:
                self._cut(size)
                raise

    def _cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
