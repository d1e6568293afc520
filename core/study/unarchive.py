"""A study out of an archive that may have been tampered with: everything is checked before it is a study here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec
import zstandard

from headtorch.core.errors import StudyError
from headtorch.core.study.archive import FORMAT, MANIFEST, ArchivedFile, Manifest, missing_artefacts
from headtorch.core.study.artefacts import Artefacts
from headtorch.core.study.contents import ARTEFACT, ARTEFACT_LIMIT, ARTEFACTS, LOG, SETTINGS, size_limit
from headtorch.core.study.files import storage_errors
from headtorch.core.study.npz import NotArrays, check_npz
from headtorch.core.study.places import resolve
from headtorch.core.study.ratings import Ratings
from headtorch.core.study.staging import staged
from headtorch.core.study.study import Study
from headtorch.core.study.tar import CHUNK, Member, Refusal, members
from headtorch.core.version import version

LARGEST = 16 * 2**30  # bytes, unpacked
RATIO, SLACK = 200, 64 * 2**20  # a study takes at most so many times the room of its archive, and a bit
MOST_FILES = 100_000
MANIFEST_LIMIT = 32 * 2**20
WINDOW_LIMIT = 128 * 2**20  # memory that decompressing may take


def import_study(path: Path, name: str | None = None) -> Path:
    """Unpack and check an archive, and return the folder of the study: `name`, or the name that it had.

    Raises StudyError for an archive that is not whole, not of a study, or unsafe, and for a name that is taken (naming
    a free one); StorageError where the folder cannot be written. In each case nothing is left behind.
    """
    try:
        with path.open("rb") as file:
            limit = min(LARGEST, path.stat().st_size * RATIO + SLACK)
            inside = members(_Unpacked(file, limit))
            manifest = _manifest(next(inside, None))
            target = resolve(_own_name(manifest) if name is None else name)
            with staged(target) as folder:
                _unpack(inside, manifest, folder)
                _check(folder, manifest)
            return target
    except Refusal as error:
        raise StudyError(f"{path.name} is not imported: {error}.") from None
    except zstandard.ZstdError:
        raise StudyError(f"{path.name} is not imported: it is damaged, or no archive of a study.") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}.") from error


class _Unpacked:
    """The decompressed stream, which ends with a Refusal where it grows beyond what a study can be."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT)
        self._stream = decompressor.stream_reader(file, read_size=CHUNK, read_across_frames=True)
        self._left = limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, CHUNK))
        self._left -= len(data)
        if self._left < 0:
            raise Refusal("it unpacks to far more than a study of its size could hold")
        return data


def _manifest(first: Member | None) -> Manifest:
    if first is None or first.name != MANIFEST:
        raise Refusal("it does not begin with a manifest, so that it is no archive of a study")
    if first.size > MANIFEST_LIMIT:
        raise Refusal("its manifest is too large")
    data = b"".join(first.pieces())
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            made_by = head.made_by[:40]
            raise Refusal(f"it is of format {head.format}, made by headtorch {made_by}, and this is {version()}")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("its manifest is damaged") from None
    _check_names([file.path for file in manifest.files])
    _check_sizes(manifest.files)
    return manifest


def _own_name(manifest: Manifest) -> str:
    if "/" in manifest.name or manifest.name[:1] in {".", "~"}:
        raise Refusal(f"its study is called {manifest.name[:80]!r}, which is no name; give it one with --name")
    return manifest.name


class _Head(msgspec.Struct):
    format: int
    made_by: str


def _check_names(paths: list[str]) -> None:
    if len(paths) > MOST_FILES:
        raise Refusal(f"it holds {len(paths):,} files")
    seen: dict[str, str] = {}
    for path in paths:
        shown = repr(path[:200])
        if path.startswith("/") or "\\" in path or path[1:2] == ":":
            raise Refusal(f"it holds {shown}, and a path in it may not be absolute")
        if ".." in PurePosixPath(path).parts:
            raise Refusal(f"it holds {shown}, which leads out of the study")
        before = seen.setdefault(path.casefold(), path)
        if before is not path:
            same = "twice" if before == path else f"and {before[:200]!r}, which some systems take for the same"
            raise Refusal(f"it holds {shown} {same}")
        if size_limit(path) is None:
            raise Refusal(f"it holds {shown}, which is no file of a study")
    for needed in (SETTINGS, LOG):
        if needed not in paths:
            raise Refusal(f"it holds no {needed}")


def _check_sizes(files: list[ArchivedFile]) -> None:
    for file in files:
        if not 0 <= file.size <= (size_limit(file.path) or 0):
            raise Refusal(f"{file.path} would have {file.size:,} bytes")


def _unpack(inside: Iterator[Member], manifest: Manifest, folder: Path) -> None:
    for file in manifest.files:
        member = next(inside, None)
        if member is None:
            raise Refusal(f"{file.path} is missing from it")
        if (member.name, member.size) != (file.path, file.size):
            raise Refusal(f"it holds {member.name[:200]!r} where its manifest names {file.path}, or of another size")
        digest = hashlib.sha256()
        with storage_errors(folder / file.path):
            (folder / file.path).parent.mkdir(exist_ok=True)
            with (folder / file.path).open("xb") as out:
                for piece in member.pieces():
                    digest.update(piece)
                    out.write(piece)
        if digest.hexdigest() != file.sha256:
            raise Refusal(f"{file.path} in it is not what its manifest says (its SHA-256 differs)")
    extra = next(inside, None)
    if extra is not None:
        raise Refusal(f"it holds {extra.name[:200]!r}, which its manifest does not name")


def _check(folder: Path, manifest: Manifest) -> None:
    """The content of every file: settings, every event, notes, ratings, arrays."""
    try:
        study = Study.open(folder)
        study.notes.read()
        Ratings(folder).read()
        missing = missing_artefacts(study)
    except (StudyError, RecursionError) as error:
        raise Refusal(_inside(str(error), folder)) from None
    _check_arrays(folder, manifest)
    if missing:
        raise Refusal(f"its log names {ARTEFACTS}/{missing[0][:80]}, which is missing from it")


def _inside(sentence: str, folder: Path) -> str:
    """A sentence without the folder that is gone when it is read."""
    return sentence.replace(f"{folder}/", "").replace(f" in {folder}", "").rstrip(".")


def _check_arrays(folder: Path, manifest: Manifest) -> None:
    artefacts = Artefacts(folder / ARTEFACTS)
    for name in [Path(file.path).name for file in manifest.files if ARTEFACT.fullmatch(file.path)]:
        try:
            check_npz(artefacts.folder / name, ARTEFACT_LIMIT)
            artefacts.load(name)
        except NotArrays as error:
            raise Refusal(f"{ARTEFACTS}/{name} {error}") from None
        except StudyError:
            raise Refusal(f"{ARTEFACTS}/{name} does not hold the arrays that it is named after") from None
