"""Is a file of arrays what it seems? Looked at before numpy opens it: no pickles, and no more memory than it says."""

from __future__ import annotations

import zipfile
import zlib
from math import prod
from pathlib import Path

import numpy as np

LONGEST_HEADER = 10_000
_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NotArrays(ValueError):
    """Why a file is not one of plain arrays, as the end of a sentence."""


def check_npz(path: Path, limit: int) -> None:
    """Raise NotArrays for a file that is not a zip of .npy members of numbers, `limit` bytes together at most.

    Raises OSError where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
            if len({one.filename for one in inside}) < len(inside):
                raise NotArrays("holds the same array twice")
            if sum(one.file_size for one in inside) > limit:
                raise NotArrays(f"unpacks to more than {limit:,} bytes")
            for one in inside:
                _check_member(archive, one)
    except OSError as error:
        if error.errno is not None:
            raise
        raise NotArrays(f"is not a file of arrays ({error})") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise NotArrays(f"is not a file of arrays ({error})") from None


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if not member.filename.endswith(".npy") or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotArrays(f"holds {member.filename[:80]!r}, which is no array")
    with archive.open(member) as file:
        try:
            read_header = _VERSIONS[np.lib.format.read_magic(file)]
            shape, _, dtype = read_header(file, max_header_size=LONGEST_HEADER)
        except Exception:  # numpy reads a header as Python, which can fail in any way
            raise NotArrays(f"holds {member.filename[:80]!r}, which is no array") from None
        if dtype.hasobject:
            raise NotArrays("holds a pickle, which could run any program")
        if min(shape, default=0) < 0 or file.tell() + prod(shape) * dtype.itemsize != member.file_size:
            raise NotArrays(f"holds {member.filename[:80]!r}, whose size is not that of its shape")
