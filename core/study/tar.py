"""A tar read as a stream that nobody vouches for: plain files, one after another, and nothing else.

Python's tarfile follows extended headers of any size into memory and knows links and devices. Here a header is 512
bytes that name a regular file, or the archive is refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Protocol

from headtorch.core.errors import StudyError

BLOCK = tarfile.BLOCKSIZE
CHUNK = 2**20
_KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many; none at the end."""
        ...


class Refusal(StudyError):
    """What is wrong with an archive, as the end of a sentence."""


class Member:
    """A file inside: its name, its size, and its content once, in pieces."""

    def __init__(self, stream: Stream, name: str, size: int) -> None:
        self.name, self.size = name, size
        self._stream, self._left = stream, size

    def pieces(self) -> Iterator[bytes]:
        """The content; raises Refusal where the archive ends in it."""
        while self._left:
            piece = read_exactly(self._stream, min(CHUNK, self._left))
            self._left -= len(piece)
            yield piece

    def skip_padding(self) -> None:
        """Go to the next header, past content that nobody read."""
        for _ in self.pieces():
            pass
        read_exactly(self._stream, -self.size % BLOCK)


def members(stream: Stream) -> Iterator[Member]:
    """The members in order; each is to be read before the next. Raises Refusal for all but plain files."""
    while True:
        header = read_exactly(stream, BLOCK)
        if not any(header):
            break
        member = _member(stream, header)
        yield member
        member.skip_padding()
    while rest := stream.read(CHUNK):
        if any(rest):
            raise Refusal("it goes on after its end")


def _member(stream: Stream, header: bytes) -> Member:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
        raise Refusal("it is damaged: what should be a header is none") from None
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type, "an entry of an unknown kind")
        raise Refusal(f"{info.name[:200]!r} in it is {kind}, and a study has plain files only")
    if info.size < 0:
        raise Refusal("it is damaged: a member has a negative size")
    return Member(stream, info.name, info.size)


def read_exactly(stream: Stream, size: int) -> bytes:
    """So many bytes; raises Refusal where the stream ends before."""
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise Refusal("it ends too early")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
