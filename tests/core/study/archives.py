"""Archives as somebody with bad intentions would make them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import zstandard

Files = dict[str, bytes]
Change = Callable[[tarfile.TarInfo], None]


def unpacked(path: Path) -> tuple[dict[str, Any], Files]:
    """The manifest and the files of an archive, by Python's own tarfile."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        data = stream.read()
    found: Files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    return msgspec.json.decode(found.pop("manifest.json")), found


def described(files: Iterable[tuple[str, bytes]]) -> list[dict[str, object]]:
    return [{"path": p, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in files]


def packed(
    path: Path,
    manifest: dict[str, Any] | bytes,
    files: Iterable[tuple[str, bytes]],
    *,
    change: Change = lambda member: None,
    after: bytes = b"",
    format: int = tarfile.USTAR_FORMAT,
) -> Path:
    """Write an archive of these members; `change` has a look at each header but the manifest's."""
    buffer = io.BytesIO()
    head = manifest if isinstance(manifest, bytes) else msgspec.json.encode(manifest)
    with tarfile.open(fileobj=buffer, mode="w|", format=format) as tar:
        for name, data in [("manifest.json", head), *files]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name != "manifest.json":
                change(member)
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    path.write_bytes(zstandard.ZstdCompressor().compress(buffer.getvalue() + after))
    return path
