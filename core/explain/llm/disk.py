"""How answers lie in the cache's database: compressed JSON inside a row, and nothing else is believed.

diskcache unpickles keys and values that their row calls pickled, and reads and removes files that a row names. Whoever
can write to the database could so run code or remove files: here a row that claims either is unusable.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import Any

from diskcache import Cache, Disk
from diskcache.core import DEFAULT_SETTINGS, ENOVAL, METADATA, MODE_RAW

LONGEST = 4 << 20  # bytes of one row, compressed or not


class UnusableRow(Exception):
    """A row that this program cannot have written."""


class JsonRows(Disk):  # type: ignore[misc]  # diskcache has no types
    """Keys are text, values are JSON; no pickles, no files."""

    def put(self, key: str) -> tuple[str, bool]:
        """The key as it is."""
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key of a row."""
        if raw != 1 or not isinstance(key, str):
            raise UnusableRow
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, bytes]:
        """The columns size, mode, filename, value. Raises ValueError for what is too long."""
        data = json.dumps(value).encode()
        if len(data) > LONGEST:
            raise ValueError("too long for a row")
        return 0, MODE_RAW, None, zlib.compress(data, 1)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> Any:
        """The value of a row."""
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise UnusableRow
        try:
            return json.loads(_inflated(value))
        except (zlib.error, ValueError, RecursionError):
            raise UnusableRow from None

    def remove(self, file_path: object) -> None:
        """Nothing: no row has a file, whatever it says."""


class Database(Cache):  # type: ignore[misc]
    """diskcache's, which believes neither settings of its file that it does not know nor rows of any length."""

    @property
    def _con(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._con
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST + 4096)
        return connection

    def reset(self, key: str, value: object = ENOVAL, update: bool = True) -> Any:
        """Read or write one setting, which becomes an attribute of this object."""
        if key not in _SETTINGS:
            raise sqlite3.DatabaseError("unknown settings")
        return super().reset(key, value, update)


_SETTINGS = DEFAULT_SETTINGS.keys() | METADATA.keys()


def _inflated(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(data, LONGEST + 1)
    if len(text) > LONGEST or not stream.eof:
        raise UnusableRow
    return text
