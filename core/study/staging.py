"""A study's folder that comes to be in one step: built beside its place under a hidden name, then put there."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from headtorch.core.errors import StudyError
from headtorch.core.files import make_folder, sync_folder
from headtorch.core.study.files import storage_errors

_ABANDONED_AFTER = 3600.0  # seconds


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` at the end of the with statement; where that fails nothing is left.

    Raises StudyError where `target` is there already, StorageError where the folder cannot be written.
    """
    require_free(target)
    folder = target.with_name(f".{target.name[:100]}.staged-{secrets.token_hex(4)}")
    with storage_errors(target):
        make_folder(target.parent)
        _remove_abandoned(target.parent)
        folder.mkdir(mode=0o700)
    try:
        yield folder
        require_free(target)
        with storage_errors(target):
            os.rename(folder, target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_free(target: Path) -> None:
    """Raise StudyError, naming a free name, where something stands at `target`."""
    if os.path.lexists(target):
        raise StudyError(f"There is a {target.name} already, and it is never overwritten; {free_name(target)} is free.")


def free_name(target: Path) -> str:
    """A name beside `target` that nothing has yet: trial-2, trial-3, …"""
    names = (f"{target.name}-{number}" for number in count(2))
    return next(name for name in names if not os.path.lexists(target.with_name(name)))


def _remove_abandoned(parent: Path) -> None:
    """Remove what a process that was killed in the middle left behind."""
    for folder in parent.glob(".*.staged-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
