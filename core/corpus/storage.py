"""Where opened corpora are kept, and how a folder of files appears there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import platformdirs

from headtorch.core.errors import StorageError
from headtorch.core.files import make_folder

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_ABANDONED_AFTER = 24 * 3600.0  # seconds


def corpora_folder() -> Path:
    """The folder of opened corpora: `$HEADTORCH_CACHE/corpora`, or headtorch's folder in the user's cache."""
    cache = os.environ.get("HEADTORCH_CACHE")
    folder = Path(cache).expanduser() if cache else platformdirs.user_cache_path("headtorch")
    return folder.absolute() / "corpora"


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder that refuses writing into a StorageError; other OSErrors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                f"The disk is full: writing to {folder} failed. Free some space, or point HEADTORCH_CACHE "
                "or the study at another disk."
            ) from error
        if error.errno in _REFUSED:
            raise StorageError(
                f"{folder} cannot be written ({error.strerror}). Allow writing there, or point HEADTORCH_CACHE "
                "or the study at another folder."
            ) from error
        raise


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes `target` when the block ends well, and vanishes otherwise.

    If another process has made `target` meanwhile, its copy stays: both were made from the same key.
    """
    make_folder(target.parent)
    _remove_abandoned(target.parent)
    scratch = target.with_name(f"{target.name}.partial-{uuid4().hex[:8]}")
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove scratch folders that a killed process left behind more than a day ago."""
    for scratch in parent.glob("*.partial-*"):
        try:
            if time.time() - scratch.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError:
            continue
