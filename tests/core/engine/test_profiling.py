"""A profile says how long each stage took, what it did, and what it held; and passes everything on."""

from __future__ import annotations

import csv
import gzip
import json
import mmap
import threading
from pathlib import Path

import pytest
import torch

from headtorch.core.engine import tracing
from headtorch.core.engine.peak_memory import PeakMemory
from headtorch.core.engine.profiling import COLUMNS, Profile, StageUse
from headtorch.core.engine.tracing import Tracer
from headtorch.core.errors import Interrupted
from headtorch.core.watch import Watch


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Heard(Watch):
    """Remembers what it was told, and stops at the second checkpoint."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.checkpoints = 0

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self.told.append((stage, done, total, unit))

    def checkpoint(self) -> None:
        self.checkpoints += 1
        if self.checkpoints == 2:
            raise Interrupted("stop")


def rows_of(profile: Profile) -> dict[str, StageUse]:
    profile.end()
    return {row.stage: row for row in profile.rows()}


def hold(mebibytes: int) -> None:
    """For a moment, and none of what the process has already."""
    with mmap.mmap(-1, mebibytes << 20) as block:
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1


def test_a_stage_within_another_counts_for_itself_and_all_seconds_add_up() -> None:
    clock = Clock()
    profile = Profile(clock=clock)
    clock.sleep(1)
    with profile.stage("scan"):
        clock.sleep(2)
        with profile.stage("model"):
            clock.sleep(4)
        clock.sleep(3)
    rows = rows_of(profile)
    assert {name: row.seconds for name, row in rows.items()} == {"scan": 5, "model": 4, "other": 1}
    assert [*rows] == ["scan", "model", "other"]
    assert rows["scan"].share == 0.5


@pytest.mark.parametrize("first", [0, 40])  # from the beginning, or resumed
def test_work_a_second_is_what_was_done_between_the_first_and_the_last_word(first: int) -> None:
    clock = Clock()
    profile = Profile(clock=clock)
    with profile.stage("scan"):
        clock.sleep(5)  # loading, say
        for done in range(first, 100, 20):
            profile.progress("scan", done, 100, "tokens")
            clock.sleep(2)
    row = rows_of(profile)["scan"]
    assert (row.done, row.unit, row.per_second) == (100, "tokens", 10)


def test_work_in_several_parts_is_added_up_and_other_counts_are_left_out() -> None:
    clock = Clock()
    profile = Profile(clock=clock)
    with profile.stage("effects"):
        for _ in range(2):
            profile.progress("donors", 0, 3, "rows")
            clock.sleep(10)
            for done in range(4):
                profile.progress("effects", done, 3, "prompts")
                clock.sleep(1)
    row = rows_of(profile)["effects"]
    assert (row.done, row.unit, row.per_second) == (6, "prompts", 1)


def test_a_count_goes_on_after_another_was_told_of() -> None:
    clock = Clock()
    profile = Profile(clock=clock)
    with profile.stage("scan"):
        for done, workers in ((0, 1), (40, 2), (80, 1), (100, 2)):
            profile.progress("workers", workers, 2, "workers")
            profile.progress("scan", done, 100, "tokens")
            clock.sleep(5)
    row = rows_of(profile)["scan"]
    assert (row.done, row.unit, row.per_second) == (100, "tokens", 100 / 15)


def test_a_stage_that_was_stopped_has_done_what_it_said() -> None:
    clock = Clock()
    heard = Heard()
    profile = Profile(heard, clock=clock)
    with pytest.raises(Interrupted), profile.stage("trim"):
        for done in range(5):
            profile.progress("trim", done, 5, "prompts")
            clock.sleep(1)
            profile.checkpoint()
    assert rows_of(profile)["trim"].done == 1
    assert heard.told == [("trim", 0, 5, "prompts"), ("trim", 1, 5, "prompts")]


def test_progress_of_other_threads_is_passed_on_and_not_counted() -> None:
    heard = Heard()
    profile = Profile(heard, clock=Clock())
    with profile.stage("explain"):
        other = threading.Thread(target=profile.progress, args=("explain", 1, 2, "heads"))
        other.start()
        other.join()
    profile.end()
    assert heard.told == [("explain", 1, 2, "heads")]
    assert all(row.done is None for row in profile.rows())


def test_the_peak_of_a_stage_is_its_own() -> None:
    profile = Profile()
    with profile.stage("large"):
        hold(160)
    with profile.stage("small"):
        hold(40)
    rows = rows_of(profile)
    assert rows["large"].peak_bytes - rows["small"].peak_bytes == pytest.approx(120 * 2**20, rel=0.2)


def test_a_peak_is_forgotten_at_a_reset() -> None:
    memory = PeakMemory()
    memory.reset()
    before = memory.bytes()
    hold(160)
    assert memory.bytes() - before > 120 * 2**20
    memory.reset()
    assert memory.bytes() - before < 40 * 2**20


def test_the_table_is_written_as_csv(tmp_path: Path) -> None:
    clock = Clock()
    profile = Profile(clock=clock)
    with profile.stage("scan"):
        clock.sleep(2)
    profile.end()
    profile.write(tmp_path / "stages.csv")
    with (tmp_path / "stages.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert tuple(row) == COLUMNS
    assert (row["stage"], float(row["seconds"]), float(row["share"]), row["done"]) == ("scan", 2, 1, "")


def test_a_trace_holds_the_first_moments_of_each_stage_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "TRACED_SECONDS", 0.0)  # until the next look
    tracer = Tracer(tmp_path)
    profile = Profile(tracer=tracer)
    for name in ("scan", "top heads", "scan"):
        with profile.stage(name):
            torch.zeros(3).cosh()
            profile.progress(name, 0, 2)
            torch.zeros(3).sinh()
            profile.progress(name, 1, 2)
            torch.zeros(3).tanh()
    profile.end()
    assert tracer.files == [tmp_path / "trace-scan.json.gz", tmp_path / "trace-top-heads.json.gz"]
    for path in tracer.files:
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        names = {event["name"] for event in events if event.get("cat") == "cpu_op"}
        assert "aten::sinh" in names
        assert not names & {"aten::cosh", "aten::tanh"}
    assert sum(row.seconds for row in profile.rows()) < 1.0  # the tracer's own time is left out


def test_a_trace_that_cannot_be_written_ends_tracing_and_not_the_work(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "nowhere")
    profile = Profile(tracer=tracer)
    with profile.stage("scan"):
        profile.progress("scan", 0, 2)
    with profile.stage("trim"):
        profile.progress("trim", 0, 2)
    profile.end()
    assert isinstance(profile.trouble, OSError)
    assert tracer.files == []
    assert {row.stage for row in profile.rows()} >= {"scan", "trim"}


def test_a_trace_under_way_is_written_when_work_ends(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path)
    profile = Profile(tracer=tracer)
    with pytest.raises(ValueError, match="broken"), profile.stage("scan"):
        profile.progress("scan", 0, 2)
        raise ValueError("broken")
    assert tracer.files == [tmp_path / "trace-scan.json.gz"]
    assert tracer.files[0].stat().st_size > 0
