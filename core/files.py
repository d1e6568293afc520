"""Files that are there whole or not at all. What the system refuses comes up as OSError: callers know what to say."""

from __future__ import annotations

import glob
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_ABANDONED_AFTER = 3600.0  # seconds


def create(path: Path) -> BinaryIO:
    """Open a new file for writing bytes."""
    return open(path, "wb")


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step: a reader, or what a crash leaves, has the old bytes or the new ones."""
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    _remove_abandoned(path)
    try:
        with create(partial) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte and force them to the disk."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Force the folder's list of names to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed in the middle of writing `path` left behind."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER:
                partial.unlink()
