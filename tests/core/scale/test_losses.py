"""Workers and machines that go: shards are scanned again, and given up only where they are the reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fake_ray import FakeRay, Gone, Machine

from headtorch.core.errors import ClusterError
from headtorch.core.scale import driver
from headtorch.core.scale import run as run_module
from headtorch.core.scale.job import Noted
from headtorch.core.scale.run import Run


class Scanner:
    """Whose index of a shard is the list of its windows."""

    def __init__(self, *_: Any) -> None: ...

    def ready(self) -> tuple[str, int]:
        return "here", 1

    def share(self) -> float:
        return 0.5

    def scan(self, start: int, stop: int) -> tuple[None, list[int]]:
        return None, [*range(start, stop)]


@pytest.fixture
def run(question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def joined(left: list[int], right: list[int]) -> tuple[None, list[int]]:
        return None, left + right

    def index_of(ray: FakeRay, shards: int, **other: Any) -> Any:
        job = question.job(tmp_path, shards=shards, workers=None)
        return Run(ray, job, question.corpus, token="driver-1", **{"scanner": Scanner} | other).index()

    monkeypatch.setattr(run_module, "merged", joined)
    monkeypatch.setattr(run_module, "with_table", lambda index, table: index)
    return index_of


def at_call(ray: FakeRay, name: str, *numbers: int) -> Callable[[Callable[[Machine], None]], None]:
    """Have something done at some of the calls of a name, counted from 1."""
    calls = 0

    def decorate(then: Callable[[Machine], None]) -> None:
        def before(called: str, machine: Machine) -> None:
            nonlocal calls
            calls += called == name
            if called == name and calls in numbers:
                then(machine)

        ray.before = before

    return decorate


def test_a_machine_that_dies_with_idle_workers_costs_its_shard_one_attempt(run: Any, question: Any) -> None:
    ray = FakeRay(2, 7)
    at_call(ray, "scan", 9)(ray.lose)  # the last shard, beside six idle workers
    assert run(ray, 9) == [*range(len(question.corpus.windows))]
    assert not ray.machines[1].alive


def test_machines_may_die_more_often_than_a_shard_has_attempts(run: Any, question: Any) -> None:
    ray = FakeRay(2, 2)
    lost = 0

    def first_of_two(name: str, machine: Machine) -> None:
        nonlocal lost
        if name == "merge" and machine.held and lost < 2 * run_module.ATTEMPTS:
            lost += 1
            ray.lose(machine)

    ray.before = first_of_two
    assert run(ray, 4) == [*range(len(question.corpus.windows))]
    assert lost == 2 * run_module.ATTEMPTS


def test_a_merge_that_ends_every_process_is_given_up_in_words(run: Any) -> None:
    ray = FakeRay(2)

    def killed(name: str, machine: Machine) -> None:
        if name == "merge":
            raise Gone("out of memory")

    ray.before = killed
    with pytest.raises(ClusterError, match=r"Merging shards 1 to 2 of 2 failed 4 times \(out of memory\)"):
        run(ray, 2)


def test_a_shard_that_ends_its_worker_is_given_up_after_as_many_workers(run: Any) -> None:
    ray = FakeRay(1, 1, 1, 1, 1, 1)

    def killed(name: str, machine: Machine) -> None:
        if name == "scan":
            ray.lose(machine)

    ray.before = killed
    with pytest.raises(ClusterError, match=r"scanned shard 1 of 1 died 4 times \(the worker died\)"):
        run(ray, 1)
    assert ray.started == run_module.ATTEMPTS


@pytest.mark.parametrize("lost", [False, True])
def test_a_driver_leaves_no_empty_folder_behind(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    class Made:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def index(self) -> Any:
            if lost:
                raise ClusterError("gone")
            return question.whole

    monkeypatch.setattr(driver, "cluster", lambda *_: nullcontext())
    monkeypatch.setattr(driver, "Run", Made)
    with pytest.raises(ClusterError) if lost else nullcontext():
        driver.make_index(question.job(tmp_path), threading.Event(), lambda said: None)
    assert [path.suffix for path in tmp_path.iterdir()] == ([] if lost else [".safetensors"])


class Noting(Scanner):
    def scan(self, start: int, stop: int) -> Any:
        return Noted(text="Made again."), [*range(start, stop)]


def test_what_several_workers_note_is_said_once(run: Any) -> None:
    said: list[object] = []
    run(FakeRay(2), 4, scanner=Noting, say=said.append)
    assert [one for one in said if isinstance(one, Noted)] == [Noted(text="Made again.")]
