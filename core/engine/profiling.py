"""Where the time of a job goes, stage by stage: a watch that measures what it is told of."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headtorch.core.engine.peak_memory import PeakMemory
from headtorch.core.engine.tracing import Tracer
from headtorch.core.watch import SILENT, Watch

OUTSIDE = "other"  # the work outside all stages
COLUMNS = ("stage", "seconds", "share", "done", "unit", "per_second", "peak_bytes")


@dataclass(frozen=True)
class StageUse:
    """A stage of a job: a row of the table."""

    stage: str
    seconds: float  # on the clock, without those of stages within it and of the profiler itself
    share: float  # of the whole job
    done: int | None  # units of work; None where the stage tells of none
    unit: str
    per_second: float | None  # from the first word of progress to the last
    peak_bytes: int


@dataclass
class _Series:
    """One count of progress, from its first word to its last; where it falls, the next part of the work begins."""

    name: str
    unit: str
    total: int
    first: int
    done: int
    begin: float
    end: float


@dataclass
class _Stage:
    seconds: float = 0.0
    peak: int = 0
    series: list[_Series] = field(default_factory=list)


class Profile(Watch):
    """Passes everything on to another watch, and measures until `end`; then there are `rows` to be read.

    With a `tracer` a part of each stage is traced too; the tracer's own time is left out of the table. Measures the
    thread that made it.
    """

    def __init__(
        self, inner: Watch = SILENT, tracer: Tracer | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._inner, self._tracer, self._clock = inner, tracer, clock
        self._memory = PeakMemory()
        self._stages: dict[str, _Stage] = {}
        self._stack = [OUTSIDE]
        self._thread = threading.get_ident()
        self._left_out = 0.0  # seconds of the tracer
        self.trouble: Exception | None = None  # why tracing ended early
        self._memory.reset()
        self._since = self._now()

    def end(self) -> None:
        """The job is over, done or not."""
        self._trace(stop=True)
        self._account()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything within it counts for the stage `name`."""
        self._account()
        self._stack.append(name)
        try:
            yield
            self._complete(name)
        finally:
            self._trace(stop=True)
            self._account()
            self._stack.pop()

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self._inner.progress(stage, done, total, unit)
        if threading.get_ident() != self._thread or len(self._stack) == 1:
            return
        self._trace()
        series = self._here.series
        last = next((one for one in reversed(series) if one.name == stage), None)
        if last is None or (last.unit, last.total) != (unit, total) or done < last.done:
            series.append(_Series(stage, unit, total, done, done, self._now(), self._now()))
        else:
            last.done, last.end = done, self._now()

    def note(self, text: str, *, minor: bool = False) -> None:
        self._inner.note(text, minor=minor)

    def checkpoint(self) -> None:
        self._inner.checkpoint()

    def waiting(self) -> None:
        self._inner.waiting()

    def rows(self) -> list[StageUse]:
        """The stages in the order in which they began, the rest last; their seconds add up to the whole job."""
        total = sum(stage.seconds for stage in self._stages.values()) or 1.0
        ordered = sorted(self._stages, key=lambda name: name == OUTSIDE)
        return [_row(name, self._stages[name], total) for name in ordered if self._stages[name].seconds]

    def write(self, path: Path) -> None:
        """The rows as CSV."""
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(COLUMNS)
            table.writerows([getattr(row, name) for name in COLUMNS] for row in self.rows())

    @property
    def _here(self) -> _Stage:
        return self._stages.setdefault(self._stack[-1], _Stage())

    def _now(self) -> float:
        return self._clock() - self._left_out

    def _account(self) -> None:
        """What was used since the last call belongs to the innermost stage."""
        now, here = self._now(), self._here
        here.seconds += now - self._since
        here.peak = max(here.peak, self._memory.bytes())
        self._memory.reset()
        self._since = now

    def _complete(self, name: str) -> None:
        """A stage that has ended has done all it spoke of last."""
        counted = _counted(name, self._stages.setdefault(name, _Stage()))
        if counted and counted[-1].done < counted[-1].total:
            counted[-1].done, counted[-1].end = counted[-1].total, self._now()

    def _trace(self, *, stop: bool = False) -> None:
        if self._tracer is None or threading.get_ident() != self._thread:
            return
        begin = self._clock()
        try:
            if stop:
                self._tracer.stop()
            else:
                self._tracer.look(self._stack[-1])
        except (OSError, RuntimeError) as error:  # no reason for the work to fail
            self._tracer, self.trouble = None, error
        self._left_out += self._clock() - begin


def _counted(name: str, stage: _Stage) -> list[_Series]:
    """Of several counts, that which bears the stage's own name; else the last."""
    own = [one for one in stage.series if one.name == name]
    return own or [one for one in stage.series if one.name == stage.series[-1].name]


def _row(name: str, stage: _Stage, total: float) -> StageUse:
    series = _counted(name, stage)
    spent = sum(one.end - one.begin for one in series)
    worked = sum(one.done - one.first for one in series)
    return StageUse(
        stage=name,
        seconds=stage.seconds,
        share=stage.seconds / total,
        done=sum(one.done for one in series) if series else None,
        unit=series[-1].unit if series else "",
        per_second=worked / spent if worked and spent > 0 else None,
        peak_bytes=stage.peak,
    )
