"""Answers that were paid for are kept on this machine, so that no question is paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from diskcache import Timeout

from headtorch.core.corpus.storage import corpora_folder
from headtorch.core.errors import StorageError
from headtorch.core.explain.llm.disk import Database, JsonRows, UnusableRow
from headtorch.core.explain.llm.questions import Answer, Question, Usage
from headtorch.core.files import make_folder
from headtorch.core.records import Record
from headtorch.core.text import visible

FORMAT = 1  # of keys and rows
SIZE_LIMIT = 10**9  # bytes
DAY = 86400.0  # seconds
_KEPT = 10 * 365 * DAY  # rows expire so long after they were stored, which makes their age a column that is indexed
_PATIENCE = 10.0  # seconds for another process to let go of the database
_FILES = ("cache.db", "cache.db-journal", "cache.db-wal", "cache.db-shm")
_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")


class CacheStats(Record, frozen=True, kw_only=True):
    """How many answers are kept, where, and how much room they take and may take, in bytes."""

    folder: str
    answers: int
    size: int
    size_limit: int


class _Row(Record, frozen=True):
    text: str
    usage: Usage
    probabilities: tuple[float, ...] | None = None


def answers_folder() -> Path:
    """The folder of kept answers: `$HEADTORCH_CACHE/answers`, or headtorch's folder in the user's cache."""
    return corpora_folder().with_name("answers")


def answer_key(question: Question) -> str:
    """SHA-256 of all that decides an answer: endpoint, model, parameters, schema and every message."""
    asked = {
        "format": FORMAT,
        "endpoint": normal_url(question.base_url),
        "model": question.model,
        "temperature": None if question.temperature is None else float(question.temperature),
        "max_tokens": question.max_tokens,
        "schema": None if question.schema is None else msgspec.to_builtins(question.schema),
        "messages": [[message.role, message.content] for message in question.messages],
        **({"options": question.options} if question.options else {}),  # asked for with log probabilities
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def normal_url(url: str) -> str:
    """An address in one spelling: small letters, no default port, no slash at the end, no user and password."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS.get(parts.scheme):
        shown += f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{shown}{parts.path.rstrip('/')}{query}"


class AnswerCache:
    """A folder of answers by question, which several threads and processes may share.

    It never raises: where the folder or its database cannot be used, `problem` says so in one sentence, nothing is
    found and nothing is kept. When there are more than `size_limit` bytes, the answers stored first go first.
    """

    def __init__(self, folder: Path | None = None, *, size_limit: int = SIZE_LIMIT) -> None:
        self.folder = answers_folder() if folder is None else folder.expanduser().absolute()
        self.size_limit = size_limit
        self.problem: str | None = None
        self.repairable = False  # by `clear`
        self._database: Database | None = None
        self._database = self._guarded(self._open, None)

    def get(self, question: Question) -> Answer | None:
        """The kept answer. A row that this program cannot have written is removed and counts as none."""
        key = answer_key(question)

        def read(database: Database) -> Answer | None:
            try:
                value = database.get(key)
                row = None if value is None else msgspec.convert(value, _Row)
            except (UnusableRow, msgspec.ValidationError, sqlite3.DataError):
                database.delete(key)
                return None
            return None if row is None else Answer(row.text, row.usage, cached=True, probabilities=row.probabilities)

        return self._with(read, None)

    def put(self, question: Question, answer: Answer) -> None:
        """Keep an answer; one that is too long to be kept is passed over."""
        row = msgspec.to_builtins(_Row(answer.text, answer.usage, answer.probabilities))

        def write(database: Database) -> None:
            with suppress(ValueError):
                database.set(answer_key(question), row, expire=_KEPT)

        self._with(write, None)

    def forget(self, question: Question) -> None:
        """Drop an answer that turned out to be of no use, so that the question is asked again the next time."""
        self._with(lambda database: database.delete(answer_key(question)), False)

    def stats(self) -> CacheStats:
        """What is kept; zeros where the cache cannot be used."""
        answers, size = self._with(lambda database: (len(database), int(database.volume())), (0, 0))
        return CacheStats(folder=str(self.folder), answers=answers, size=size, size_limit=self.size_limit)

    def prune(self, *, days: float | None = None, size: int | None = None) -> int:
        """Remove answers stored more than `days` ago, then the oldest until `size` bytes are left; how many went."""

        def remove(database: Database) -> int:
            before = len(database)
            if days is not None:
                database.expire(time.time() + _KEPT - days * DAY)
            database.reset("size_limit", self.size_limit if size is None else size, update=False)
            try:
                database.cull()
            finally:
                database.reset("size_limit", self.size_limit, update=False)
            return before - len(database)

        return self._with(remove, 0)

    def clear(self) -> int:
        """Remove every answer and give how many there were; a database that cannot be used goes and begins anew."""
        removed = self._with(lambda database: int(database.clear()), 0)
        if self.repairable:
            for name in _FILES:
                with suppress(OSError):
                    (self.folder / name).unlink()
            self.problem, self.repairable = None, False
            self._database = self._guarded(self._open, None)
        return removed

    def close(self) -> None:
        """Let go of the database; it opens again when it is used."""
        if self._database is not None:
            self._database.close()

    def _open(self) -> Database:
        private_folder(self.folder)
        return Database(
            str(self.folder),
            timeout=_PATIENCE,
            disk=JsonRows,
            size_limit=self.size_limit,
            eviction_policy="least-recently-stored",  # reading writes nothing
            sqlite_journal_mode="persist",  # not wal, which loses data on folders that machines share
            sqlite_synchronous=0,  # a killed process costs nothing, a machine that loses power perhaps the database
            sqlite_mmap_size=0,
        )

    def _with(self, work: Callable[[Database], T], otherwise: T) -> T:
        database = self._database
        return otherwise if database is None else self._guarded(lambda: work(database), otherwise)

    def _guarded(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` gives; after a fault the cache is out of use, and `problem` says why."""
        try:
            return work()
        except StorageError as error:  # of the folder, in which nothing is touched then
            said = str(error)
        except Exception as error:  # SQLite's, the system's, and what a changed table of settings ends in
            said = f"{visible(str(self.folder))} {_fault(error)}"
            self.repairable = not _is_busy(error)
        self.problem = f"{said}: answers of language models are not kept."
        self._database = None
        return otherwise


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, or tighten the one that is there.

    Raises StorageError for a link, for what is somebody else's, and for a folder that cannot be made.
    """
    shown = visible(str(folder))
    try:
        make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            kind = "a link" if folder.is_symlink() else "a file"
            raise StorageError(f"{shown} is {kind} and must be a folder; remove it, or set HEADTORCH_CACHE")
        if os.name == "posix":
            _tighten(folder, shown)
    except OSError as error:
        raise StorageError(f"{shown} cannot be used ({error.strerror})") from error


def _tighten(folder: Path, shown: str) -> None:
    descriptor = os.open(
        folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    )  # the folder looked at is the one changed
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise StorageError(f"{shown} belongs to another user; set HEADTORCH_CACHE to a folder of your own")
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    for name in _FILES:  # put there by somebody else while the folder was open to others
        with suppress(FileNotFoundError):
            held = (folder / name).lstat()
            if not stat.S_ISREG(held.st_mode) or held.st_uid != os.geteuid():
                raise StorageError(f"{folder / name} is a link or another user's; remove it")


def _is_busy(error: Exception) -> bool:
    return isinstance(error, Timeout) or (isinstance(error, sqlite3.Error) and "locked" in str(error))


def _fault(error: Exception) -> str:
    if _is_busy(error):
        return "is held by another process"
    if isinstance(error, OSError):
        return f"cannot be used ({error.strerror})"
    said = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
    if "full" in said:
        return "is on a full disk"
    if "readonly" in said or "unable to open" in said or "I/O error" in said:
        return f"cannot be written ({said})"
    return f"is damaged ({visible(said)}; headtorch cache clear empties it)"
