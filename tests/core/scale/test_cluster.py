"""Real workers on a real cluster: the index is that of one process, whoever is killed on the way."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.errors import ClusterError, Interrupted
from headtorch.core.scale import run as run_module
from headtorch.core.scale.job import Job, Scanned
from headtorch.core.scale.run import Run
from headtorch.core.scale.shards import ShardFolder
from headtorch.core.scale.worker import HowFar, ShardScanner

pytestmark = pytest.mark.slow  # workers take seconds to start


class Deadly(HowFar):
    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        if 0 < done < total:
            os.kill(os.getpid(), signal.SIGKILL)


class DiesOnce(ShardScanner):
    """Ends as if by kill -9, half-way through the second shard, the first time that it is scanned."""

    def _shard(self, windows: range) -> ActivationIndex:
        grave = Path(self._job.scratch) / "died"
        if windows.start and not grave.exists():
            grave.touch()
            self.watch = Deadly()
        return super()._shard(windows)


class AlwaysDies(ShardScanner):
    def _shard(self, windows: range) -> ActivationIndex:
        os.kill(os.getpid(), signal.SIGKILL)
        return super()._shard(windows)


@pytest.fixture(scope="module", autouse=True)
def workers_know_these_classes(cluster: Any) -> None:
    cluster.ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def run_of(question: Any, cluster: Any, job: Job, **other: Any) -> Run:
    ShardFolder.of(Path(job.index_folder), job.key, job.shards, "driver-1").open()
    return Run(cluster.ray, job, question.corpus, token="driver-1", **other)


def test_two_workers_make_the_index_of_one_process(
    question: Any, cluster: Any, tmp_path: Path, assert_same: Any
) -> None:
    said: list[object] = []
    made = run_of(question, cluster, question.job(tmp_path), say=said.append).index()
    assert_same(made, question.whole)
    scanned = [one for one in said if isinstance(one, Scanned)]
    assert max(one.alive for one in scanned) == 2
    assert scanned[-1].done == scanned[-1].total == question.corpus.n_tokens
    assert [one.done for one in scanned] == sorted(one.done for one in scanned)


def test_a_worker_killed_half_way_changes_nothing(
    question: Any, cluster: Any, tmp_path: Path, assert_same: Any
) -> None:
    made = run_of(question, cluster, question.job(tmp_path), scanner=DiesOnce).index()
    assert (tmp_path / "died").exists()
    assert_same(made, question.whole)


def test_a_shard_that_ends_every_worker_is_given_up_in_words(
    question: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "ATTEMPTS", 2)
    job = question.job(tmp_path, shards=1, workers=1)
    with pytest.raises(ClusterError, match="shard 1 of 1 died 2 times") as said:
        run_of(question, cluster, job, scanner=AlwaysDies).index()
    assert "\n" not in str(said.value)


def test_a_stopped_scan_goes_on_with_the_shards_that_are_finished(
    question: Any, cluster: Any, tmp_path: Path, assert_same: Any
) -> None:
    def kept() -> list[Path]:
        return [*tmp_path.rglob("*.safetensors")]

    job = question.job(tmp_path)
    with pytest.raises(Interrupted):
        run_of(question, cluster, job, stopped=lambda: len(kept()) >= 2).index()
    left = {path: path.stat().st_mtime_ns for path in kept()}
    assert 2 <= len(left) < job.shards
    assert_same(run_of(question, cluster, job).index(), question.whole)
    assert {path: path.stat().st_mtime_ns for path in left} == left
    assert len(kept()) == job.shards


def test_workers_with_another_model_are_refused(question: Any, cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="another index"):
        run_of(question, cluster, question.job(tmp_path, key="f" * 64)).index()


def headtorch(*args: str, environment: dict[str, str], **where: str) -> subprocess.Popen[str]:
    own = {"PYTHONPATH": os.pathsep.join(sys.path)} | where
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "headtorch", *args], env=environment | own, text=True, **pipes)


SCAN = ("scan", "--layers", "2", "--docs", "6", "--top-k", "8", "--context", "128", "--device", "cpu", "--json")


def test_the_command_line_scans_on_a_cluster_says_on_which_and_prints_nothing_of_ray(
    question: Any, cluster: Any, tmp_path: Path, assert_same: Any
) -> None:
    shutil.copytree(question.cache / "corpora", tmp_path / "corpora")
    asked = (*SCAN, "--ray", cluster.address, "--shards", "3", "--workers", "2")
    with headtorch(*asked, environment=cluster.environment, HEADTORCH_CACHE=str(tmp_path)) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert err == f"Scanning on the Ray cluster at {cluster.address}: 1 machine, 2 CPUs, 0 GPUs.\n"
    assert json.loads(out)["key"] == question.whole.key
    [made] = (tmp_path / "index").iterdir()  # the index, and no shards
    assert_same(ActivationIndex.load(made), question.whole)


@pytest.fixture
def other_head(cluster: Any) -> Iterator[tuple[str, psutil.Process]]:
    """A second cluster, which may be killed: its address and the process whose children it is."""
    scratch = Path("/tmp") / f"headtorch-test-{secrets.token_hex(4)}"
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--num-gpus=0", "--include-dashboard=false", f"--temp-dir={scratch}"]
    command += ["--object-store-memory=200000000", "--disable-usage-stats"]
    with subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as head:
        process = psutil.Process(head.pid)
        for _ in range(240):
            if any(child.name() == "raylet" for child in process.children(recursive=True)):
                break
            time.sleep(0.5)
        yield f"127.0.0.1:{port}", process
        kill(process)
    shutil.rmtree(scratch, ignore_errors=True)


def kill(head: psutil.Process) -> None:
    for process in [*head.children(recursive=True), head] if head.is_running() else []:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def test_without_its_head_node_a_scan_ends_in_words_and_goes_on_elsewhere(
    cluster: Any, other_head: tuple[str, psutil.Process], tmp_path: Path
) -> None:
    address, head = other_head
    asked = [*SCAN, "--docs", "40", "--shards", "6", "--workers", "2", "--ray"]
    where = {"HEADTORCH_CACHE": str(tmp_path)}
    with headtorch(*asked, address, environment=cluster.environment, **where) as process:
        for _ in range(600):
            if any(tmp_path.glob("index/*/*.safetensors")) or process.poll() is not None:
                break
            time.sleep(0.2)
        kill(head)
        _, err = process.communicate(timeout=200)
    assert process.returncode == 2, err
    assert err.count("\n") == 2 and "cluster is gone" in err and "go on" in err
    kept = next(iter(tmp_path.glob("index/*/*.safetensors")))
    shard = ActivationIndex.load(kept)
    replace(shard, count=shard.count + 1000).save(kept.parent)  # as it would not be found if it were made again
    with headtorch(*asked, cluster.address, environment=cluster.environment, **where) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    [made] = (tmp_path / "index").iterdir()
    index = ActivationIndex.load(made)
    assert json.loads(out)["windows"] == len(index.window_start)
    assert index.count.sum() - 2000 == index.bin_counts[:, 0].sum()
