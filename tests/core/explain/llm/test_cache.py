"""Kept answers: found again by the same question alone, shared by processes, and never more than text."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import diskcache
import pytest
from chat_client import SCHEMA, question
from kept_answers import ASKED, SAID, URL, change, kept

from headtorch.core.explain.llm.cache import AnswerCache, answer_key, answers_folder
from headtorch.core.explain.llm.disk import LONGEST
from headtorch.core.explain.llm.questions import Answer, ChatMessage, Usage


def test_a_kept_answer_is_found_again_with_what_the_endpoint_counted(folder: Path) -> None:
    kept(folder).close()
    assert AnswerCache(folder).get(ASKED) == replace(SAID, cached=True)


@pytest.mark.parametrize(
    "other",
    [
        question("http://localhost:8001/v1"),
        question("https://localhost:8000/v1"),
        question("http://localhost:8000/V1"),
        question(URL, model="large"),
        question(URL, temperature=0.5),
        question(URL, temperature=None),
        question(URL, max_tokens=65),
        question(URL, schema=SCHEMA),
        question(URL, "Is it active? "),
        replace(ASKED, messages=ASKED.messages[1:]),
        replace(ASKED, messages=(ChatMessage("user", "Answer."), *ASKED.messages[1:])),
        replace(ASKED, messages=(ChatMessage("system", "Answer.Is it active?"),)),
    ],
)
def test_another_question_has_another_answer(folder: Path, other: object) -> None:
    assert kept(folder).get(other) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "same",
    [
        question("http://localhost:8000/v1/"),
        question(" HTTP://LocalHost:8000/v1"),
        question("http://me:secret@localhost:8000/v1"),
        question(URL, temperature=0),
        question(URL, on_text=lambda text: None),
    ],
)
def test_the_same_question_in_another_spelling_has_the_same_answer(folder: Path, same: object) -> None:
    assert kept(folder).get(same) == replace(SAID, cached=True)  # type: ignore[arg-type]


def test_default_ports_are_left_out() -> None:
    assert answer_key(question("https://a.example:443/v1")) == answer_key(question("https://a.example/v1"))
    assert answer_key(question("https://a.example:80/v1")) != answer_key(question("https://a.example/v1"))


def test_what_was_asked_is_not_in_the_folder(folder: Path) -> None:
    kept(folder).close()
    held = b"".join(path.read_bytes() for path in folder.iterdir())
    assert answer_key(ASKED).encode() in held
    assert all(text not in held for text in (b"Is it active", b"localhost"))


@pytest.mark.parametrize("text", ["", "\ud800 half a pair", "\x00\x1b[2J", "\u202e" * 1000])
def test_any_text_comes_back_as_it_was(folder: Path, text: str) -> None:
    cache = AnswerCache(folder)
    cache.put(ASKED, Answer(text, Usage()))
    assert cache.get(ASKED) == Answer(text, Usage(), cached=True)


def test_an_answer_longer_than_a_row_may_be_is_passed_over(folder: Path) -> None:
    cache = kept(folder)
    cache.put(question(URL, "More?"), Answer("x" * LONGEST, Usage()))
    assert cache.get(question(URL, "More?")) is None
    assert cache.problem is None and cache.stats().answers == 1


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "elsewhere"))
    assert answers_folder() == AnswerCache().folder == tmp_path / "elsewhere" / "answers"


# rows that this program cannot have written


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickled_row_runs_nothing_and_is_removed(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    cache = kept(folder)
    change(folder, "UPDATE Cache SET mode = 4, value = ?", pickle.dumps(Touch(marker)))
    control = tmp_path / "control"
    shutil.copytree(folder, control)

    assert cache.get(ASKED) is None and not marker.exists()
    assert cache.problem is None and cache.stats().answers == 0
    cache.put(ASKED, SAID)
    assert cache.get(ASKED) == replace(SAID, cached=True)

    with diskcache.Cache(control) as plain:
        plain.get(answer_key(ASKED))
    assert marker.exists(), "as diskcache reads it, the row would have run"


def test_a_pickled_key_runs_nothing(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    cache = kept(folder)
    change(folder, "UPDATE Cache SET raw = 0, key = ?", pickle.dumps(Touch(marker)))
    assert cache.get(ASKED) is None and cache.stats().answers == 1
    assert cache.prune(days=0) == 1
    assert not marker.exists()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_row_that_names_a_file_neither_reads_nor_removes_it(folder: Path, mode: int, absolute: bool) -> None:
    victim = folder.parent / "precious"
    cache = kept(folder)
    victim.write_bytes(zlib.compress(b'{"text": "stolen", "usage": {}}'))
    name = str(victim) if absolute else "../precious"
    change(folder, "UPDATE Cache SET mode = ?, value = NULL, filename = ?", mode, name)
    assert cache.get(ASKED) is None
    cache.put(ASKED, SAID)
    change(folder, "UPDATE Cache SET filename = ?", name)
    assert cache.clear() == 1
    assert victim.exists()


@pytest.mark.parametrize(
    "value",
    [
        b"not compressed",
        b"",
        "text",
        7,
        None,
        zlib.compress(b"not JSON"),
        zlib.compress(b"[]"),
        zlib.compress(b"{}"),
        zlib.compress(b'{"text": 7, "usage": {}}'),
        zlib.compress(b'{"text": "yes", "usage": {"prompt_tokens": "many"}}'),
        zlib.compress(b'{"text": "yes", "usage": {}}')[:-2],
        zlib.compress(b"[" * 1_000_000),
        bytes(2 * LONGEST),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_row_of_another_shape_counts_as_none_and_is_removed(folder: Path, value: object) -> None:
    cache = kept(folder)
    change(folder, "UPDATE Cache SET value = ?", value)
    assert cache.get(ASKED) is None
    assert cache.problem is None and cache.stats().answers == 0


def test_a_small_row_cannot_fill_the_memory(folder: Path) -> None:
    cache = kept(folder)
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    change(folder, "UPDATE Cache SET value = ?", bomb)
    tracemalloc.start()
    assert cache.get(ASKED) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(bomb) < 1 << 20 and peak < 4 * LONGEST


# size and age


def test_the_oldest_go_when_there_are_too_many(folder: Path) -> None:
    limit = 200_000
    cache = AnswerCache(folder, size_limit=limit)
    for number in range(300):
        cache.put(question(URL, f"Number {number}?"), Answer(os.urandom(1000).hex(), Usage()))
    held = [cache.get(question(URL, f"Number {number}?")) is not None for number in range(300)]
    assert held == sorted(held), "an older answer was kept and a newer one not"
    assert 50 < sum(held) < 200
    assert (folder / "cache.db").stat().st_size <= limit + 20_000


def test_pruning_removes_by_age_and_then_by_size(folder: Path) -> None:
    cache = AnswerCache(folder)
    for number in range(100):
        cache.put(question(URL, f"Number {number}?"), Answer(os.urandom(1000).hex(), Usage()))
    change(
        folder, "UPDATE Cache SET store_time = store_time - 864000, expire_time = expire_time - 864000 WHERE rowid<41"
    )
    assert cache.prune(days=11) == 0
    assert cache.prune(days=9) == 40
    assert cache.stats().answers == 60
    assert 0 < cache.prune(size=100_000) < 60 and cache.stats().size <= 100_000
    assert cache.get(question(URL, "Number 99?")) is not None
    cache.put(ASKED, SAID)
    assert cache.get(ASKED) is not None, "the size of one pruning is not the limit from then on"
    left = cache.stats().answers
    assert left > 0 and cache.prune(days=0) == left


def test_clearing_removes_every_answer_and_the_cache_goes_on(folder: Path) -> None:
    cache = kept(folder)
    assert cache.clear() == 1
    assert cache.stats().answers == 0 and cache.get(ASKED) is None
    cache.put(ASKED, SAID)
    assert cache.stats().answers == 1


def test_a_forgotten_answer_is_asked_for_again_and_the_others_stay(folder: Path) -> None:
    cache = kept(folder)
    cache.put(question(URL, "More?"), SAID)
    cache.forget(ASKED)
    cache.forget(ASKED)
    assert cache.get(ASKED) is None and cache.get(question(URL, "More?")) is not None
    assert cache.problem is None


# sharing

WORKER = """
import sys
from pathlib import Path
from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.questions import Answer, ChatMessage, Question, Usage

folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
cache = AnswerCache(folder)
for number in range(first, last):
    asked = Question(base_url="http://h/v1", model="m", messages=(ChatMessage("user", str(number)),))
    cache.put(asked, Answer(str(number) * 50, Usage()))
    assert cache.get(asked).text == str(number) * 50
assert cache.problem is None, cache.problem
"""


def test_two_processes_share_a_folder(folder: Path) -> None:
    ranges = [(0, 120), (80, 200)]
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, folder, *map(str, pair)], stdin=subprocess.PIPE)
        for pair in ranges
    ]
    for worker in workers:  # both wait, so that both make the database at once
        assert worker.stdin is not None
        worker.stdin.close()
    assert [worker.wait(60) for worker in workers] == [0, 0]
    cache = AnswerCache(folder)
    assert cache.stats().answers == 200
    for number in range(200):
        asked = replace(
            question("http://h/v1", model="m", max_tokens=512), messages=(ChatMessage("user", str(number)),)
        )
        assert cache.get(asked) == Answer(str(number) * 50, Usage(), cached=True)


def test_threads_share_a_cache(folder: Path) -> None:
    cache = AnswerCache(folder)

    def work(start: int) -> None:
        for number in range(start, start + 30):
            cache.put(question(URL, f"Number {number}?"), SAID)
        cache.close()

    threads = [threading.Thread(target=work, args=(20 * number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.problem is None and cache.stats().answers == 110
