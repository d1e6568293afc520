"""A study as one file to move between machines: a tar of its files, compressed with zstandard.

The first member is manifest.json, which names every other with its size and SHA-256, in their order. Equal studies of
one name give equal bytes: members are in a fixed order, and no times, owners or modes are kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Literal

import msgspec
import zstandard

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.study.contents import ARTEFACTS, read_file, study_files
from headtorch.core.study.files import storage_errors
from headtorch.core.study.places import resolve
from headtorch.core.study.study import Study
from headtorch.core.version import version

FORMAT = 1
SUFFIX = ".tar.zst"
MANIFEST = "manifest.json"
LEVEL, SLOW_LEVEL = 10, 19
SLOW_UNTIL = 32 * 2**20  # bytes of files that are worth the seconds of the slow level


class ArchivedFile(msgspec.Struct, frozen=True):
    """A member of an archive."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says that it holds."""

    kind: Literal["headtorch study"] = "headtorch study"
    format: int = FORMAT
    made_by: str
    name: str  # of the study
    files: list[ArchivedFile]


def archive_study(where: str | Path, target: Path | None = None) -> Path:
    """Write the archive of a study, by default NAME.tar.zst in the current folder, and return its path.

    A study that is being written is archived as it stands. Raises StudyError where there is no study or the file is
    there already, a file is missing or the log is damaged, StorageError where it cannot be written.
    """
    folder = resolve(where)
    missing = missing_artefacts(Study.open(folder))
    if missing:
        raise StudyError(f"{folder / ARTEFACTS / missing[0]} is missing; restore it before the study is archived.")
    name = folder.resolve().name
    path = target or Path(f"{name}{SUFFIX}")
    if os.path.lexists(path):
        raise StudyError(f"{path} is there already and is never overwritten; name another file with --out.")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with storage_errors(path), partial.open("xb") as file:
            _write(file, folder, name)
            file.flush()
            os.fsync(file.fileno())
        with storage_errors(path):
            os.link(partial, path)  # unlike a rename it never takes the place of another file
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise StudyError(f"{path} is there already and is never overwritten.") from None
        raise
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write(file: io.BufferedWriter, folder: Path, name: str) -> None:
    snapshot = {path: read_file(folder, path) for path in study_files(folder) if "/" not in path}
    paths = [*snapshot, *(path for path in study_files(folder) if "/" in path)]  # the log first: it names artefacts
    described = [_described(path, snapshot.get(path) or read_file(folder, path)) for path in paths]
    manifest = Manifest(made_by=version(), name=name, files=described)
    level = SLOW_LEVEL if sum(one.size for one in described) <= SLOW_UNTIL else LEVEL
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    with (
        compressor.stream_writer(file, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        _add(tar, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for path in paths:
            _add(tar, path, snapshot.get(path) or read_file(folder, path))


def _described(path: str, data: bytes) -> ArchivedFile:
    return ArchivedFile(path, len(data), hashlib.sha256(data).hexdigest())


def _add(tar: tarfile.TarFile, path: str, data: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def missing_artefacts(study: Study) -> list[str]:
    """The artefacts that the log names and the folder does not have."""
    named = {name for event in study.replay() if (name := getattr(event, "artefact", None)) is not None}
    return sorted(name for name in named if not (study.folder / ARTEFACTS / name).is_file())
