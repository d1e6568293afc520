"""Arrays too big for an event, stored under the hash of their content."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headtorch.core.errors import StudyError
from headtorch.core.study.contents import ARTEFACT_LIMIT
from headtorch.core.study.files import storage_errors, write_atomic
from headtorch.core.study.npz import check_npz

Arrays = Mapping[str, NDArray[np.generic]]


class Artefacts:
    """A folder of .npz files named by the SHA-256 of what they hold; the same arrays are stored once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, arrays: Arrays) -> str:
        """Store named arrays and return the artefact's name. Raises ValueError for arrays of objects, StorageError."""
        name = f"{content_hash(arrays)}.npz"
        path = self.folder / name
        if not path.exists():
            with storage_errors(path):
                self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, npz_bytes(arrays))
        return name

    def load(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of an artefact. Raises StudyError when it is missing or not what its name says."""
        if not re.fullmatch(r"[0-9a-f]{64}\.npz", name):
            raise StudyError(f"{name[:80]!r} is not the name of an artefact; the study's log is damaged.")
        path = self.folder / name
        try:
            check_npz(path, ARTEFACT_LIMIT)
            with np.load(path, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except FileNotFoundError:
            raise StudyError(f"{path} is missing; restore it, or run the study again under another name.") from None
        except PermissionError as error:
            raise StudyError(f"{path} cannot be read: {error.strerror}.") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise StudyError(_damaged(path)) from error
        if content_hash(arrays) != path.stem:
            raise StudyError(_damaged(path))
        return arrays


def content_hash(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape)
        if array.dtype.hasobject:
            raise ValueError(f"The array {name!r} holds Python objects, which are not stored.")
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def npz_bytes(arrays: Arrays) -> bytes:
    """The file of these arrays, its bytes the same wherever it is written.

    Not by np.savez, which takes no array called "file". Not deflated: zlibs differ in their bytes, a study's archive
    compresses all its files at once and better, and a neuron is shown sooner.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(arrays[name]), allow_pickle=False)
    return buffer.getvalue()


def _damaged(path: Path) -> str:
    return f"{path} is damaged; delete it and run the study again under another name, or restore the file."
