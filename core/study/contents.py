"""What a study's folder holds that belongs to the study: what is copied and archived, and what goes when it goes."""

from __future__ import annotations

import re
from pathlib import Path

from headtorch.core.errors import StudyError

SETTINGS, LOG, NOTES, RATINGS, ARTEFACTS = "study.json", "events.jsonl", "notes.json", "ratings.jsonl", "artefacts"
ARTEFACT = re.compile(r"artefacts/[0-9a-f]{64}\.npz")
MADE_AGAIN = ("report", "lock", "notes.lock", "ratings.lock")  # of no worth elsewhere

_MIB = 2**20
_LIMITS = {SETTINGS: _MIB, LOG: 2048 * _MIB, NOTES: 64 * _MIB, RATINGS: 64 * _MIB}
ARTEFACT_LIMIT = 1024 * _MIB


def size_limit(path: str) -> int | None:
    """The most bytes that this file of a study may have; None for a path that no study has."""
    return ARTEFACT_LIMIT if ARTEFACT.fullmatch(path) else _LIMITS.get(path)


def study_files(folder: Path) -> list[str]:
    """The paths of the study's files inside its folder, the same for equal studies. Raises StudyError."""
    named = [name for name in (SETTINGS, LOG, NOTES, RATINGS) if (folder / name).is_file()]
    artefacts = folder / ARTEFACTS
    try:
        found = sorted(f"{ARTEFACTS}/{child.name}" for child in artefacts.iterdir()) if artefacts.is_dir() else []
    except OSError as error:
        raise StudyError(f"{artefacts} cannot be read: {error.strerror}.") from error
    return [*named, *(path for path in found if ARTEFACT.fullmatch(path))]


def read_file(folder: Path, path: str) -> bytes:
    """The content of one; of the log the whole lines, so that it may be read while it grows. Raises StudyError."""
    try:
        data = (folder / path).read_bytes()
    except OSError as error:
        raise StudyError(f"{folder / path} cannot be read: {error.strerror}.") from error
    return data[: data.rfind(b"\n") + 1] if path in (LOG, RATINGS) else data


def is_of_a_study(name: str) -> bool:
    """Whether an entry of a study's folder was made by headtorch."""
    partial = re.fullmatch(r"\..+\.partial-[0-9a-f]+", name) is not None
    return partial or name in (SETTINGS, LOG, NOTES, RATINGS, ARTEFACTS, *MADE_AGAIN)
