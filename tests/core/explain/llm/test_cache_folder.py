"""The folder of kept answers: the owner's alone, and where it cannot be used the work goes on without."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from chat_client import question
from kept_answers import ASKED, SAID, URL, change, is_one_sentence, kept, posix

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.questions import Answer, Usage

NOBODY = 65534


def test_settings_in_the_database_that_nobody_knows_are_not_obeyed(folder: Path, tmp_path: Path) -> None:
    kept(folder).close()
    change(folder, "INSERT INTO Settings VALUES ('_directory', ?)", str(tmp_path))
    cache = AnswerCache(folder)
    assert cache.get(ASKED) is None and is_one_sentence(cache.problem)
    assert not (tmp_path / "cache.db").exists()


@posix
def test_only_the_owner_can_enter_the_folder(folder: Path) -> None:
    kept(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert AnswerCache(folder).get(ASKED) is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
def test_a_link_in_place_of_the_folder_is_refused_and_left_alone(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    folder.parent.mkdir()
    folder.symlink_to(target)
    cache = AnswerCache(folder)
    cache.put(ASKED, SAID)
    cache.clear()
    assert is_one_sentence(cache.problem) and "is a link" in str(cache.problem)
    assert list(target.iterdir()) == [] and stat.S_IMODE(target.stat().st_mode) == 0o755


@posix
def test_a_folder_of_somebody_elses_is_refused_and_left_alone(folder: Path) -> None:
    theirs = Path("/usr")
    if os.geteuid() == 0:
        kept(folder).close()
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o755)
        theirs = folder
    mode, held = stat.S_IMODE(theirs.stat().st_mode), sorted(theirs.iterdir())
    cache = AnswerCache(theirs)
    cache.clear()
    assert is_one_sentence(cache.problem) and "belongs to another user" in str(cache.problem)
    assert (stat.S_IMODE(theirs.stat().st_mode), sorted(theirs.iterdir())) == (mode, held)


@posix
def test_a_link_in_place_of_the_database_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "cache.db").symlink_to(tmp_path / "other.db")
    assert "is a link or another user's; remove it" in str(AnswerCache(folder).problem)
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("where", ["answers", "cache"])
def test_a_file_in_place_of_a_folder_is_said(folder: Path, where: str) -> None:
    in_the_way = folder if where == "answers" else folder.parent
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file")
    cache = AnswerCache(folder)
    assert is_one_sentence(cache.problem) and cache.get(ASKED) is None
    assert in_the_way.read_text() == "a file"


# a disk that fails


@pytest.mark.parametrize("damage", ["garbage", "cut short", "another database", "a folder"])
def test_a_damaged_database_is_said_and_begins_anew_when_it_is_cleared(folder: Path, damage: str) -> None:
    kept(folder).close()
    path = folder / "cache.db"
    if damage == "garbage":
        path.write_bytes(os.urandom(32768))
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "another database":
        path.unlink()
        change(folder, "CREATE TABLE Cache (other)")
    else:
        path.unlink()
        path.mkdir()
    cache = AnswerCache(folder)
    cache.put(ASKED, SAID)
    assert cache.get(ASKED) is None and is_one_sentence(cache.problem)
    if damage == "a folder":
        return
    cache.clear()
    cache.put(ASKED, SAID)
    assert cache.problem is None and cache.get(ASKED) == replace(SAID, cached=True)


@contextmanager
def no_room(bytes_left: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@posix
@pytest.mark.parametrize("room", [0, 20_000, 60_000])
def test_where_there_is_no_room_the_work_goes_on_without_a_cache(folder: Path, room: int) -> None:
    with no_room(room):
        cache = AnswerCache(folder)
        for number in range(100):
            asked = question(URL, f"Number {number}?")
            cache.put(asked, Answer(os.urandom(800).hex(), Usage()))
            cache.get(asked)
    assert is_one_sentence(cache.problem)


@posix
def test_where_nothing_may_be_written_the_work_goes_on_without_a_cache() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "answers"
        kept(folder).close()
        if os.geteuid() == 0:
            for path in (Path(name), folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        (folder / "cache.db").chmod(0o400)
        folder.chmod(0o500)
        with unprivileged():
            cache = AnswerCache(folder)
            cache.put(ASKED, SAID)
            assert is_one_sentence(cache.problem) and cache.get(ASKED) is None
        folder.chmod(0o700)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom file modes bind."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)
