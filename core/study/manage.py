"""Studies renamed, copied and deleted. A study that another process writes is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headtorch.core.errors import StudyError
from headtorch.core.files import make_folder, sync_folder
from headtorch.core.study.contents import SETTINGS, is_of_a_study, read_file, study_files
from headtorch.core.study.files import WriterLock, storage_errors, write_atomic, writer_of
from headtorch.core.study.places import resolve
from headtorch.core.study.staging import require_free, staged


def rename_study(where: str | Path, name: str) -> Path:
    """Give a study another name, or another place on the same disk; returns its new folder.

    Raises StudyError where there is no such study, the name is taken or another process writes; StorageError.
    """
    folder, target = _study(where), _target(where, name)
    require_free(target)
    with _alone(folder, "rename it"), storage_errors(target):
        make_folder(target.parent)
        os.rename(folder, target)
        sync_folder(target.parent)
    return target


def copy_study(where: str | Path, name: str) -> Path:
    """Copy a study as it stands, notes and ratings too, its reports not; returns the copy's folder. Raises as above."""
    folder, target = _study(where), _target(where, name)
    with staged(target) as copy:
        for path in study_files(folder):
            with storage_errors(target):
                (copy / path).parent.mkdir(exist_ok=True)
            write_atomic(copy / path, read_file(folder, path))
    return target


def delete_study(where: str | Path) -> list[str]:
    """Delete what makes up a study, and its folder where that is then empty; returns the names of what is left there.

    A damaged study can be deleted too. Raises as `rename_study` does.
    """
    folder = _study(where)
    if folder.is_symlink():
        raise StudyError(f"{folder} is a link to another folder; remove the link by hand, or name that folder.")
    with _alone(folder, "delete it"), storage_errors(folder):
        (folder / SETTINGS).unlink()  # from here on it is no study, whatever happens
        for child in [*folder.iterdir()]:
            if is_of_a_study(child.name) and child.name != "lock":
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        (folder / "lock").unlink()
    with suppress(OSError):
        folder.rmdir()
        return []
    return sorted(child.name for child in folder.iterdir())


def _study(where: str | Path) -> Path:
    folder = resolve(where)
    if not (folder / SETTINGS).is_file():
        raise StudyError(f"There is no study in {folder}; `headtorch studies` lists those there are.")
    return folder


def _target(where: str | Path, name: str) -> Path:
    """A bare name lies beside the study, as in a file manager."""
    target = resolve(name)
    return target if "/" in name or name.startswith("~") else resolve(where).with_name(target.name)


@contextmanager
def _alone(folder: Path, to: str) -> Iterator[None]:
    holder = writer_of(folder)
    if holder is not None:
        raise StudyError(f"The study in {folder} is being written by another headtorch ({holder}); end it to {to}.")
    lock = WriterLock(folder / "lock")
    try:
        yield
    finally:
        lock.release()
