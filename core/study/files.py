"""Files that survive a crash: atomic writing, the lock of a writer, and OS errors turned into sentences."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.files import open_regular, replace_file


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that names the path and the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} cannot be written: {reason}; free some space or choose another folder, "
            "what was written so far is kept."
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the file in one step: a reader sees the old bytes or the new ones. Raises StorageError."""
    with storage_errors(path):
        replace_file(path, data)


def writer_of(folder: Path) -> str | None:
    """Who writes the study in `folder` now, as "process 4242"; None where nobody does. Makes and changes no file."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    except OSError:
        pass  # a file system without locks: nobody can write there
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return f"process {holder}" if holder.isdigit() else "another process"


LOOKS, BETWEEN = 5, 0.02  # whoever asks `writer_of` holds the lock for a moment


class WriterLock:
    """Held by the one process that writes. It goes with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Raises StudyError when another holds it, StorageError when the folder cannot be written."""
        with storage_errors(path):
            self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            self._take(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, path: Path) -> None:
        try:
            self._lock()
        except BlockingIOError:
            raise StudyError(
                f"The study in {path.parent} is being written by another headtorch ({_holder(self._descriptor)}); "
                "wait for it to end, or give this one another name with --study."
            ) from None
        except OSError as error:
            raise StorageError(
                f"{path.parent} is on a file system without locks ({error.strerror}); keep the study on a local disk."
            ) from error
        with storage_errors(path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _lock(self) -> None:
        for look in range(LOOKS):
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if look == LOOKS - 1:
                    raise
                time.sleep(BETWEEN)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
