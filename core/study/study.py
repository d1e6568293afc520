"""A study on the disk: settings, the log of its events, artefacts and notes in one folder.

study.json     format, settings, the version that made it
events.jsonl   the log, only ever appended to
artefacts/     arrays by the hash of their content
notes.json     the researcher's own
ratings.jsonl  what people said when they judged explanations, blind
lock           held by the one process that writes; reading needs no lock
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from headtorch.core.errors import StorageError, StudyError
from headtorch.core.event_lines import encode
from headtorch.core.events import (
    AnyEvent,
    CorpusOpened,
    ModelOpened,
    StudyOpened,
    is_durable,
)
from headtorch.core.files import make_folder
from headtorch.core.settings import Settings, settings_differences
from headtorch.core.study.files import WriterLock, storage_errors, write_atomic, writer_of
from headtorch.core.study.log import LogReader, LogWriter, read_log, torn_sentence
from headtorch.core.study.migrations import SCHEMA, as_line, migrated_settings
from headtorch.core.study.notes import Notes
from headtorch.core.study.places import resolve, studies_folder
from headtorch.core.study.state import fold
from headtorch.core.version import version

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headtorch.core.study.artefacts import Arrays, Artefacts

FORMAT = 1


class StudyFile(msgspec.Struct, frozen=True):
    """What study.json holds."""

    format: int
    settings: Settings
    made_by: str
    schema: int = 1  # of the settings; see `headtorch.core.study.migrations`


class Study:
    """One study. `create` and `open(write=True)` hold its lock until `close`; use it in a with statement."""

    def __init__(self, folder: Path, settings: Settings, log: LogReader, writer: _Writer | None = None) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.settings = settings
        self.state = fold(log.read())
        self.state.load = self.load_arrays
        self.notes = Notes(folder)
        self._log = log
        self._writer = writer
        self._torn = log.torn if writer is None else writer.log.torn

    @classmethod
    def create(cls, where: str | Path, settings: Settings) -> Study:
        """Make the study, or go on with it when it is there with equal settings; opens for writing.

        Raises StudyError when it asks another question (naming each setting that differs), is being written by another
        process or is damaged, and StorageError when the folder cannot be written.
        """
        folder = resolve(where)
        if not (folder / "study.json").exists():
            _make(folder, settings)
        study = cls.open(folder, write=True)
        different = settings_differences(study.settings, settings)
        if different:
            study.close()
            raise StudyError(
                f"The study {folder.name} exists with other settings: {'; '.join(different)}. "
                "Give this one another name with --study, or use the same settings."
            )
        return study

    @classmethod
    def open(cls, where: str | Path, *, write: bool = False) -> Study:
        """Open a study that is there, with its state replayed. Raises as `create` does."""
        folder = resolve(where)
        kept = read_study_file(folder)
        log = LogReader(folder / "events.jsonl")
        if not write:
            return cls(folder, kept.settings, log)
        writer = _Writer(folder)
        try:
            study = cls(folder, kept.settings, log, writer)
            if (study.state.version, study.state.schema) != (version(), SCHEMA):
                study.append(StudyOpened(settings=kept.settings, version=version(), schema=SCHEMA))
        except BaseException:
            writer.close()
            raise
        return study

    def append(self, event: AnyEvent) -> None:
        """Log a durable event and fold it into `state`; it is on the disk when the call returns.

        Raises ValueError for a live event or one that holds NaN, StudyError when the model or the corpus is no longer
        the one that the study began with, StorageError when the disk is full (the log then stays as it was).
        """
        if not is_durable(event):
            raise ValueError(f"{type(event).__name__} is a live event and is never logged.")
        self._check_same(event)
        self._writing().log.append(encode(event))
        self.state.apply(event)

    def replay(self) -> Iterator[AnyEvent]:
        """All events on the disk, oldest first."""
        return read_log(self.folder / "events.jsonl")

    def news(self) -> list[AnyEvent]:
        """What another process has logged since this one read last, not yet in `state`. Raises as `open` does."""
        return list(self._log.read())

    def save_arrays(self, arrays: Arrays) -> str:
        """Store arrays and return the artefact's name for an event to carry."""
        self._writing()
        return self._artefacts.save(arrays)

    def load_arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of an artefact. Raises StudyError when it is missing or damaged."""
        return self._artefacts.load(name)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def writable(self) -> bool:
        """Whether this object holds the lock."""
        return self._writer is not None

    @property
    def writer(self) -> str | None:
        """Which other process writes the study now, as "process 4242"; None where none does."""
        return None if self.writable else writer_of(self.folder)

    @property
    def cut(self) -> str | None:
        """A sentence on the end of the log that a crash cut short; None for a log that is whole, or being written."""
        return torn_sentence(self._torn) if self._torn and self.writer is None else None

    def close(self) -> None:
        """Let go of the lock; a second call does nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _artefacts(self) -> Artefacts:
        # numpy costs a tenth of a second; a list of studies does without it.
        from headtorch.core.study.artefacts import Artefacts

        return Artefacts(self.folder / "artefacts")

    def _writing(self) -> _Writer:
        if self._writer is None:
            raise StudyError(f"The study {self.name} is open for reading only; open it with write=True.")
        return self._writer

    def _check_same(self, event: AnyEvent) -> None:
        before, what, now = None, "", None
        if isinstance(event, ModelOpened) and self.state.model is not None:
            before, what, now = self.state.model.fingerprint, "model", event.facts.fingerprint
        elif isinstance(event, CorpusOpened) and self.state.corpus is not None:
            before, what, now = self.state.corpus.fingerprint, "corpus", event.fingerprint
        if before != now:
            raise StudyError(
                f"The {what} is not the one that the study {self.name} began with: its content has changed; "
                "start a new study with --study NAME."
            )


class _Writer:
    """The lock and the open log, taken and let go together."""

    def __init__(self, folder: Path) -> None:
        self._lock = WriterLock(folder / "lock")
        try:
            self.log = LogWriter(folder / "events.jsonl")
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        self.log.close()
        self._lock.release()


def read_study_file(folder: Path) -> StudyFile:
    """What study.json says. Raises StudyError when there is no study, or one that this version cannot read."""
    path = folder / "study.json"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StudyError(f"There is no study in {folder}; `headtorch studies` lists those there are.") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return parse_study_file(data, str(folder))
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, AttributeError, TypeError) as error:
        raise StudyError(
            f"{path} is damaged ({error}); restore the file, or delete the folder to start anew."
        ) from None


def parse_study_file(data: bytes, where: str) -> StudyFile:
    """The content of study.json. Raises StudyError for a newer version's, and what `read_study_file` names damage."""
    head = msgspec.json.decode(data, type=_Head)
    if head.format > FORMAT or head.schema > SCHEMA:
        raise StudyError(f"The study in {where} was made by headtorch {head.made_by}, newer than {version()}; upgrade.")
    content = as_line(data)
    content["settings"] = migrated_settings(content["settings"], head.schema)
    return msgspec.convert(content, StudyFile)


class StudySummary(msgspec.Struct, frozen=True):
    """A line of `headtorch studies`; `problem` says why a study cannot be opened."""

    name: str
    folder: Path
    settings: Settings | None
    neurons: int = 0
    scores: int = 0
    finished: bool = False
    modified: float = 0.0  # seconds since 1970
    problem: str | None = None
    writer: str | None = None  # which process writes it now, as "process 4242"
    cut: str | None = None  # a sentence on the end of the log that a crash cut short


def list_studies(folder: Path | None = None) -> list[StudySummary]:
    """The studies of the default folder (or another), last written first; a damaged one is listed with its problem."""
    place = folder or studies_folder()
    try:
        found = [child for child in place.iterdir() if child.name[0] != "." and (child / "study.json").exists()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"{place} cannot be read: {error.strerror}.") from error
    return sorted((_summary(child) for child in found), key=lambda entry: (-entry.modified, entry.name))


def _summary(folder: Path) -> StudySummary:
    log = folder / "events.jsonl"
    modified = (log if log.exists() else folder / "study.json").stat().st_mtime
    try:
        study = Study.open(folder)
    except StudyError as error:
        return StudySummary(folder.name, folder, None, modified=modified, problem=str(error))
    state = study.state
    return StudySummary(
        folder.name,
        folder,
        study.settings,
        neurons=len(state.next_token_neurons()),
        scores=len(state.scores),
        finished=state.finished is not None,
        modified=modified,
        writer=study.writer,
        cut=study.cut,
    )


class _Head(msgspec.Struct):
    format: int
    made_by: str = "an unknown version"
    schema: int = 1


def _make(folder: Path, settings: Settings) -> None:
    with storage_errors(folder):
        make_folder(folder)
        strangers = [child.name for child in folder.iterdir() if child.name != "lock" and child.name[0] != "."]
    if strangers:
        raise StudyError(f"{folder} holds other files ({strangers[0]!r}) and is not a study; name an empty folder.")
    lock = WriterLock(folder / "lock")
    try:
        content = msgspec.json.encode(StudyFile(FORMAT, settings, version(), SCHEMA))
        if not (folder / "study.json").exists():
            write_atomic(folder / "study.json", msgspec.json.format(content, indent=2) + b"\n")
    finally:
        lock.release()
