"""Files that are there whole or not at all."""

from __future__ import annotations

import glob
import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from headtorch.core.corpus.storage import create, storage_errors

_ABANDONED_AFTER = 3600.0  # seconds


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one.

    Raises StorageError when the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{uuid4().hex[:8]}")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        try:
            with create(partial) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed in the middle of writing `path` left behind."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
                partial.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
