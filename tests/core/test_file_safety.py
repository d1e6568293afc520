"""Files that others could plant or read: links are refused, and folders are their owner's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from headtorch.core.corpus.storage import new_folder
from headtorch.core.errors import StorageError
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.files import WriterLock
from headtorch.core.study.log import LogWriter
from headtorch.core.study.notes import Notes


@pytest.mark.parametrize("name", ["lock", "events.jsonl", "notes.lock"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_planted_file_is_refused_and_its_target_unchanged(tmp_path: Path, name: str, kind: str) -> None:
    folder, victim = tmp_path / "study", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("dear")
    if kind == "link":
        (folder / name).symlink_to(victim)
    else:
        os.mkfifo(folder / name)
    writers = {
        "lock": lambda: WriterLock(folder / name),
        "events.jsonl": lambda: LogWriter(folder / name),
        "notes.lock": lambda: Notes(folder).write("study", "a note"),
    }
    with pytest.raises(StorageError, match=f"{name}.*remove it|notes.*remove it"):
        writers[name]()
    assert victim.read_text() == "dear"


def test_folders_that_headtorch_makes_are_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Study.create(tmp_path / "home" / "studies" / "trial", Settings()).close()
        with new_folder(tmp_path / "cache" / "corpora" / "key"):
            pass
    finally:
        os.umask(before)
    for root in ("home", "home/studies", "home/studies/trial", "cache", "cache/corpora", "cache/corpora/key"):
        assert stat.S_IMODE((tmp_path / root).stat().st_mode) == 0o700, root
