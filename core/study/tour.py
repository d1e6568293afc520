"""The recorded study that ships with headtorch: SmolLM2-135M-Instruct on the US annual messages.

It is an archive beside this file, unpacked into the cache when it is first opened, and again after an update.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from headtorch.core.corpus.storage import corpora_folder
from headtorch.core.errors import StorageError, StudyError

ARCHIVE = Path(__file__).with_name("tour.tar.zst")
NAME = "tour"


def tour_folder() -> Path:
    """The folder of the tour, unpacked where it was not.

    Raises StudyError where this installation lacks it, StorageError where the cache cannot be written.
    """
    try:
        digest = hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise StudyError(
            f"The tour is missing from this installation ({error.strerror}); install headtorch again."
        ) from None
    folder = corpora_folder().with_name("tour") / digest / NAME
    if not is_there(folder):
        from headtorch.core.study.unarchive import import_study

        shutil.rmtree(folder, ignore_errors=True)  # what a cleaner of caches has left of it

        try:
            import_study(ARCHIVE, str(folder))
        except (StudyError, StorageError):
            if not is_there(folder):  # else another headtorch has unpacked it meanwhile
                raise
    return folder


def is_there(folder: Path) -> bool:
    """Whether the study is in `folder`; it appears there whole or not at all, but files may go."""
    return (folder / "study.json").is_file() and (folder / "events.jsonl").is_file()


def is_tour(folder: Path) -> bool:
    """Whether a study's folder is that of the tour."""
    return folder.name == NAME and folder.parent.parent == corpora_folder().with_name("tour")
