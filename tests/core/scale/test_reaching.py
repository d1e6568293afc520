"""Clusters that are not there or go away, as the user hears of it; no cluster is needed."""

from __future__ import annotations

import importlib.util
import io
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from headtorch.core.engine.profiling import Profile
from headtorch.core.errors import ClusterError, InputError, Interrupted, ModelError
from headtorch.core.scale import driver, scanning
from headtorch.core.scale.cluster import _choose_token, check_address, room, which
from headtorch.core.scale.job import Connected, Finished, Noted, Refused, Scanned, line_of
from headtorch.core.scale.scanning import cluster_from_environment, drive, scan_on_cluster
from headtorch.core.settings import ClusterAccess
from headtorch.core.watch import Watch


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", "head:port", ":6379", "head:99999"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(ClusterError, match="HOST:PORT"):
        check_address(address)


def test_an_address_where_nobody_answers_is_said_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match="ray start --head"):
        check_address(f"127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 10


def test_without_ray_it_is_said_what_to_install(question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(ClusterError, match=r"pip install 'headtorch\[ray\]'") as said:
        scan_on_cluster(question.model, question.corpus, [2], ClusterAccess(), question.settings, folder=tmp_path)
    assert said.value.exit_code == 2


def test_an_index_that_is_there_needs_no_cluster(question: Any, tmp_path: Path, assert_same: Any) -> None:
    question.whole.save(tmp_path)
    nowhere = ClusterAccess(address="127.0.0.1:1")
    found = scan_on_cluster(question.model, question.corpus, [2], nowhere, question.settings, folder=tmp_path)
    assert_same(found, question.whole)


def saying(*lines: bytes, then: str = "") -> tuple[str, ...]:
    """A driver that says these lines."""
    said = b"".join(lines)
    return ("-c", f"import sys, os, time; sys.stdin.readline(); os.write(1, {said!r}); {then}")


@pytest.mark.parametrize(
    ("process", "error", "said"),
    [
        (saying(line_of(Connected(workers=2)), then="os._exit(1)"), ClusterError, "cluster is gone.*go on"),
        (saying(then="sys.exit('raylet: no memory')"), ClusterError, "before the scan began: raylet: no memory"),
        (saying(line_of(Refused(kind="ModelError", message="No such model."))), ModelError, "No such model"),
    ],
)
def test_the_end_of_a_driver_is_one_sentence(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: Any, error: type[Exception], said: str
) -> None:
    monkeypatch.setattr(scanning, "DRIVER", process)
    with pytest.raises(error, match=said) as raised:
        drive(question.job(tmp_path), Watch())
    assert "\n" not in str(raised.value)


class Heard(Watch):
    def __init__(self, stop_at: int | None = None) -> None:
        self.told: list[tuple[str, int, int, str]] = []
        self.notes: list[str] = []
        self.stop_at = stop_at

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self.told.append((stage, done, total, unit))

    def note(self, text: str, *, minor: bool = False) -> None:
        self.notes.append(text)

    def checkpoint(self) -> None:
        if self.stop_at is not None and len(self.told) >= self.stop_at:
            raise Interrupted("stopped")


def test_notes_tokens_and_workers_are_told_to_the_watch(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Scanned(done=done, total=90, alive=alive, workers=2) for done, alive in ((0, 1), (40, 2), (90, 2))]
    said = [line_of(step) for step in (Noted(text="Four machines."), Connected(workers=2), *steps, Finished())]
    monkeypatch.setattr(scanning, "DRIVER", saying(*said))
    heard = Heard()
    drive(question.job(tmp_path), heard)
    assert heard.notes == ["Four machines."]
    assert [one for one in heard.told if one[0] == "scan"] == [("scan", d, 90, "tokens") for d in (0, 40, 90)]
    assert [one[1:3] for one in heard.told if one[0] == "workers"] == [(1, 2), (2, 2)]


def test_work_that_was_lost_holds_progress_up_and_does_not_count_twice(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Scanned(done=done, total=90, alive=alive, workers=2) for done, alive in ((0, 2), (40, 2), (0, 1), (90, 2))]
    monkeypatch.setattr(scanning, "DRIVER", saying(*map(line_of, (*steps, Finished()))))
    profile = Profile()
    with profile.stage("scan"):
        drive(question.job(tmp_path), profile)
    profile.end()
    [row] = [row for row in profile.rows() if row.stage == "scan"]
    assert (row.done, row.unit) == (90, "tokens")


def test_stopping_ends_the_driver_by_its_input(question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = tmp_path / "ended"
    waits = f"sys.stdin.read(); open({str(ended)!r}, 'w').close()"
    lines = [line_of(Scanned(done=1, total=90, alive=2, workers=2))]
    monkeypatch.setattr(scanning, "DRIVER", saying(*lines, then=waits))
    with pytest.raises(Interrupted):
        drive(question.job(tmp_path), Heard(stop_at=1))
    assert ended.exists()


class SecondInterrupt(Heard):
    """Stops the work, and then the wait for its end, as a second ctrl+c does."""

    def checkpoint(self) -> None:
        if self.told:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            raise Interrupted("stopped")


def test_a_second_interrupt_leaves_no_process_behind(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    child = "import subprocess; child = subprocess.Popen(['sleep', '600'])"
    born = f"{child}; open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')"
    last = line_of(Scanned(done=1, total=90, alive=2, workers=2))
    monkeypatch.setattr(scanning, "DRIVER", saying(then=f"{born}; os.write(1, {last!r}); time.sleep(600)"))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            drive(question.job(tmp_path), SecondInterrupt())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert_gone((tmp_path / "pids").read_text())


def assert_gone(pids: str) -> None:
    """Within a moment: the system may not have buried them yet."""
    left = [psutil.Process(int(pid)) for pid in pids.split() if psutil.pid_exists(int(pid))]
    _, living = psutil.wait_procs([one for one in left if one.status() != psutil.STATUS_ZOMBIE], timeout=5)
    assert not living


def test_a_driver_that_ray_holds_up_is_ended_with_its_group_after_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(driver, "END_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(os, "getpgrp", os.getpid)
    monkeypatch.setattr(os, "killpg", lambda *group: done.append(group))
    monkeypatch.setattr(os, "_exit", done.append)
    stop = threading.Event()
    driver._listen(stop)
    assert stop.is_set() and done == [(0, signal.SIGKILL), 1]


def test_the_workbench_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_from_environment() is None
    monkeypatch.setenv("HEADTORCH_RAY", "10.0.0.7:6379")
    monkeypatch.setenv("HEADTORCH_RAY_SHARDS", "64")
    assert cluster_from_environment() == ClusterAccess(address="10.0.0.7:6379", shards=64)
    monkeypatch.setenv("HEADTORCH_RAY_WORKERS", "many")
    with pytest.raises(InputError, match="HEADTORCH_RAY_WORKERS"):
        cluster_from_environment()


def ray_with(*machines: dict[str, float]) -> Any:
    return SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": machine} for machine in machines])


@pytest.mark.parametrize(
    ("machines", "asked", "expected"),
    [
        ([{"CPU": 8}, {"CPU": 8}], {"workers": None, "shards": 100}, (16, 1)),
        ([{"CPU": 8}, {"CPU": 8}], {"workers": None, "shards": 5}, (5, 2)),  # 3 would fit twice on each only
        ([{"CPU": 8}, {"CPU": 4}], {"workers": 3, "shards": 100}, (3, 4)),
        ([{"CPU": 8}, {"CPU": 4}], {"workers": 50, "shards": 100}, (12, 1)),
    ],
)
def test_cpus_are_shared_out_so_that_every_worker_finds_room(
    machines: Any, asked: Any, expected: Any, question: Any, tmp_path: Path
) -> None:
    assert room(ray_with(*machines), question.job(tmp_path, **asked)) == expected


def test_it_is_said_which_cluster_is_used() -> None:
    ray = ray_with({"CPU": 16, "GPU": 8}, {"CPU": 16, "GPU": 8})
    ray.get_runtime_context = lambda: SimpleNamespace(gcs_address="10.0.0.7:6379")
    said = which(ray, own=False)
    assert "10.0.0.7:6379" in said and "2 machines, 32 CPUs, 16 GPUs" in said
    said = which(ray_with({"CPU": 2}), own=True)
    assert "started for this scan" in said and "2 CPUs, 0 GPUs" in said


@pytest.mark.parametrize(
    ("own", "there", "mode", "token"),
    [
        (True, {}, "token", "made"),
        (True, {"RAY_AUTH_TOKEN": "mine"}, "token", "mine"),
        (True, {"RAY_AUTH_MODE": "disabled"}, "disabled", "made"),
        (False, {"RAY_AUTH_TOKEN": "mine"}, "token", "mine"),
        (False, {}, None, None),
    ],
)
def test_a_cluster_of_our_own_has_a_token_and_others_theirs(
    own: bool,
    there: dict[str, str],
    mode: str | None,
    token: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"HOME": str(tmp_path)} | there
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(secrets, "token_hex", lambda length: "made")
    _choose_token(own=own)
    assert environment.get("RAY_AUTH_MODE") == mode
    assert environment.get("RAY_AUTH_TOKEN") == token
    assert not any(tmp_path.iterdir())


def test_gpus_of_the_cluster_and_of_this_machine_must_agree(question: Any, tmp_path: Path) -> None:
    gpus = ray_with({"CPU": 16, "GPU": 8}, {"CPU": 16, "GPU": 8})
    assert room(gpus, question.job(tmp_path, device="cuda", workers=None, shards=100)) == (16, 1)
    with pytest.raises(ClusterError, match="this machine has none"):
        room(gpus, question.job(tmp_path, device_chosen=False))
    with pytest.raises(ClusterError, match="no GPU"):
        room(ray_with({"CPU": 4}), question.job(tmp_path, device="cuda"))
