"""Files that are there whole or not at all. What the system refuses comes up as OSError: callers know what to say."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_ABANDONED_AFTER = 3600.0  # seconds


def create(path: Path) -> BinaryIO:
    """Open a new file for writing bytes."""
    return open(path, "wb")


def make_folder(folder: Path) -> None:
    """Make a folder and the parents it lacks, for their owner alone (0700); folders that exist stay as they are."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)


def open_regular(path: Path, flags: int) -> int:
    """Open a file that the process writes in a folder that others may write to; returns the descriptor.

    Raises OSError for a link, for what is no regular file, and for a file of another user.
    """
    try:  # without O_NONBLOCK a named pipe would block
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link and must be a file; remove it", str(path)) from None
        raise
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EPERM, "it is no regular file of this user; remove it", str(path))


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
