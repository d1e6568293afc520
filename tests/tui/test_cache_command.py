"""headtorch cache: what is kept, and what goes."""

from __future__ import annotations

import io
import os
import sqlite3
from pathlib import Path

import pytest
from calls import Call, data, refusal

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.questions import Answer, ChatMessage, Question, Usage
from headtorch.tui.cli.cache import parse_size, readable


@pytest.fixture
def folder(cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, after `cli` has set its own."""
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def keep(answers: int, length: int = 10) -> None:
    cache = AnswerCache()
    for number in range(answers):
        asked = Question(base_url="http://h/v1", model="m", messages=(ChatMessage("user", str(number)),))
        cache.put(asked, Answer(os.urandom(length).hex(), Usage()))
    assert cache.problem is None
    cache.close()


def other_caches(folder: Path) -> None:
    for name, size in (("corpora", 3000), ("index", 5000)):
        (folder / name / "one").mkdir(parents=True)
        (folder / name / "one" / "data").write_bytes(bytes(size))


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_without_answers_all_is_zero_and_nothing_is_made(cli: Call, folder: Path) -> None:
    found = data(cli("cache", "stats", "--json"))
    assert found["answers"] | {"size_limit": 0} == {
        "folder": str(folder / "answers"),
        "answers": 0,
        "size": 0,
        "size_limit": 0,
    }
    assert cli("cache", "prune", "--days", 1).out == "0 answers removed, 0 left.\n"
    assert cli("cache", "clear").out == "No answers are kept.\n"
    assert not folder.exists()


def test_stats_count_answers_corpora_and_indices(cli: Call, folder: Path) -> None:
    keep(3)
    other_caches(folder)
    found = data(cli("cache", "stats", "--json"))
    assert found["answers"]["answers"] == 3
    assert found["answers"]["size"] == (folder / "answers" / "cache.db").stat().st_size
    assert found["corpora"] == {"entries": 1, "size": 3000, "folder": str(folder / "corpora")}
    assert found["indices"] == {"entries": 1, "size": 5000, "folder": str(folder / "index")}
    table = cli("cache", "stats").out
    assert all(text in table for text in ("answers", "3.0 KB", "5.0 KB", "1.0 GB", str(folder / "answers")))


def test_clearing_removes_answers_and_nothing_else(cli: Call, folder: Path) -> None:
    keep(2)
    other_caches(folder)
    assert cli("cache", "clear", "--yes").out == "2 answers removed.\n"
    found = data(cli("cache", "stats", "--json"))
    assert found["answers"]["answers"] == 0
    assert (found["corpora"]["size"], found["indices"]["size"]) == (3000, 5000)


def test_clearing_asks_and_says_what_goes(cli: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1)
    assert "say --yes" in refusal(cli("cache", "clear"))
    for reply, left in (("n", 1), ("y", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(f"{reply}\n"))
        asked = cli("cache", "clear")
        assert asked.code == 0 and f"Remove 1 answer of language models in {folder / 'answers'}?" in asked.err
        assert data(cli("cache", "stats", "--json"))["answers"]["answers"] == left


def test_pruning_goes_by_age_and_by_size(cli: Call, folder: Path) -> None:
    keep(50, length=2000)
    database = sqlite3.connect(folder / "answers" / "cache.db")
    with database:
        database.execute("UPDATE Cache SET expire_time = expire_time - 100 * 86400 WHERE rowid <= 20")
    database.close()
    assert cli("cache", "prune", "--days", 90).out == "20 answers removed, 30 left.\n"
    left = int(cli("cache", "prune", "--size", "80KB").out.split()[-2])
    assert 0 < left < 30
    assert data(cli("cache", "stats", "--json"))["answers"]["size"] <= 80_000


def test_pruning_needs_to_know_what(cli: Call, folder: Path) -> None:
    assert "--days 90, --size 200MB" in refusal(cli("cache", "prune"))
    assert "should be a size such as" in refusal(cli("cache", "prune", "--size", "much"))
    assert cli("cache", "prune", "--days", -1).code == 2


def test_a_cache_that_cannot_be_used_is_one_sentence(cli: Call, folder: Path, tmp_path: Path) -> None:
    keep(1)
    (folder / "answers").rename(tmp_path / "moved")
    (folder / "answers").symlink_to(tmp_path / "moved")
    for command in (("stats",), ("prune", "--days", "1"), ("clear", "--yes")):
        assert "is a link and must be a folder" in refusal(cli("cache", *command))
    assert (tmp_path / "moved" / "cache.db").exists()


def test_clearing_mends_a_damaged_cache(cli: Call, folder: Path) -> None:
    keep(1)
    (folder / "answers" / "cache.db").write_bytes(os.urandom(20_000))
    assert "is damaged" in refusal(cli("cache", "stats"))
    assert cli("cache", "clear", "--yes").out == "The damaged database of answers was removed.\n"
    keep(1)
    assert data(cli("cache", "stats", "--json"))["answers"]["answers"] == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("200MB", 200_000_000), ("1.5 GB", 1_500_000_000), ("7", 7), ("3k", 3000), ("2tb", 2 * 10**12), ("0", 0)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_500_000_000, "1.5 GB")])
def test_sizes_are_written_in_the_largest_unit(size: int, text: str) -> None:
    assert readable(size) == text
