"""The log of a study: one event a line, appended and never changed.

A line counts once its newline is on the disk. What follows the last newline is the rest of a write that a crash cut
short: reading passes over it, and opening for writing cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headtorch.core.errors import StudyError
from headtorch.core.events import AnyEvent, StudyOpened, UnknownEvent, decode
from headtorch.core.files import sync_folder, write_all
from headtorch.core.study.files import storage_errors
from headtorch.core.version import version


def read_log(path: Path) -> Iterator[AnyEvent]:
    """The events of the whole lines. Raises StudyError naming the line that is damaged or of a newer version."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}.") from error
    writer = "a version that its log does not name"
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            event = decode(line)
        except UnknownEvent as error:
            raise StudyError(
                f"Line {number} of {path} holds {error}: it was written by headtorch {writer} and this is "
                f"{version()}; read it with that version or a newer one."
            ) from None
        except StudyError as error:
            raise StudyError(
                f"Line {number} of {path} is damaged ({error}); restore the file, or delete that line and all after it "
                "and run the study again."
            ) from None
        if isinstance(event, StudyOpened):
            writer = event.version
        yield event


class LogWriter:
    """Appends lines, each on the disk before the call returns. The caller holds the study's lock."""

    def __init__(self, path: Path) -> None:
        """Open or make the log, and cut off a torn last line. Raises StorageError."""
        self._path = path
        with storage_errors(path):
            new = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
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
