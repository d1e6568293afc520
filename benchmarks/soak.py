"""An engine that has been asked for hours is as it was: no memory, hooks, threads or files are left behind.

    make soak              2,000 cycles, an hour; or: python -m benchmarks.soak [CYCLES] [--model tiny|demo] [--inside]

One cycle begins a study, stops it at a moment drawn by a seed, opens a finished one, looks at a neuron of it (prompts,
heads, shading, and an effect, an ablation, an explanation …, stopped one time in three), tries a text, and asks badly
now and then. Every 50 cycles the studies are put back as they were, the same one is opened, and the engine is counted
when it is idle. Resident memory holds what malloc keeps for later, and that settles in the first few hundred cycles:
the medians of the counts of cycles 200 to 400 and of the last 200 are compared.

The engine is a process of its own, asked by way of its client. With `--inside` it runs in this process, where hooks,
tensors and what malloc has handed out can be counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import NamedTuple

import msgspec
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core" / "engine"))
from census import Census, census
from restless import Restless
from tiny_question import tiny_question
from wire import Line, Wire

from benchmarks.table import Row, arguments, within, write
from headtorch.core.engine.client import EngineClient, EngineExit
from headtorch.core.engine.protocol import EngineReady, Request
from headtorch.core.settings import Settings

CYCLES, EVERY = 2000, 50
WARM, WINDOW = 200, 200  # cycles
GROWTH, YIELD, DRILL_DOWN = 1.02, 0.25, 1.0
MB = 2**20


class Front(Line):
    """The engine as a front end has it: a process asked by its client, in an event loop of a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._client = EngineClient(self._inbox.put, self._ended)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def process(self) -> psutil.Process:
        """The engine."""
        return psutil.Process(self._client.pid)

    @property
    def log(self) -> Path:
        """What the engine writes on its standard error."""
        return self._client.log

    def cpu(self) -> float:
        """The engine's CPU time so far, in seconds."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def send(self, request: Request) -> int:
        """Send it under a new id, which is given back."""
        number = self._client.next_id()
        self._loop.call_soon_threadsafe(self._client.send, msgspec.structs.replace(request, id=number))
        return number

    def _ended(self, how: EngineExit) -> None:
        sys.stderr.write(f"{how}\n")
        os._exit(1)

    def __enter__(self) -> Front:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._client.start(), self._loop).result()
        while not isinstance(self.next(), EngineReady):
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._client.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Sample(NamedTuple):
    """The engine's process when it is idle."""

    cycles: int
    resident: int  # bytes
    own: int  # bytes that no other process shares
    threads: int
    files: int  # that are open
    left: int  # files in the folders of headtorch and in that for temporary ones
    log: int  # bytes


def soak(questions: list[Settings], folder: Path, cycles: int, every: int) -> tuple[list[Sample], Restless]:
    """A count before the first cycle and after every so many."""
    with Front() as front:
        researcher = Restless(front, questions, folder / "kept", cpu=front.cpu)
        researcher.prepare()
        samples = [_sample(front, folder, 0)]
        for cycle in range(1, cycles + 1):
            researcher.cycle()
            if cycle % every == 0:
                researcher.settle()
                samples.append(_sample(front, folder, cycle))
        return samples, researcher


def _sample(front: Front, folder: Path, cycle: int) -> Sample:
    process = front.process
    memory = process.memory_full_info()
    left = sum(path.is_file() for place in ("home", "cache", "tmp") for path in (folder / place).rglob("*"))
    threads, files = process.num_threads(), process.num_fds()
    sample = Sample(cycle, memory.rss, memory.uss, threads, files, left, front.log.stat().st_size)
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {sample}\n")
    return sample


def soak_inside(questions: list[Settings], folder: Path, cycles: int, every: int) -> list[Census]:
    """The same in this process."""
    with Wire() as wire:
        researcher = Restless(wire, questions, folder / "kept", seed=1)
        researcher.prepare()
        found = [census(wire.engine)]
        for cycle in range(1, cycles + 1):
            researcher.cycle()
            if cycle % every == 0:
                researcher.settle()
                found.append(census(wire.engine))
                sys.stderr.write(f"{time.strftime('%H:%M:%S')} {cycle} {found[-1]}\n")
        return found


def before_and_after(samples: list[Sample], name: str) -> tuple[float, float]:
    """The median after the warm-up and at the end; of a short run, of its second and last quarter."""
    last = samples[-1].cycles
    warm, window = (WARM, WINDOW) if last >= 2 * (WARM + WINDOW) else (last // 4, last // 4)
    early = [getattr(one, name) for one in samples if warm <= one.cycles <= warm + window]
    late = [getattr(one, name) for one in samples if one.cycles >= last - window]
    return median(early), median(late)


def rows_of(samples: list[Sample]) -> list[Row]:
    """What was left behind."""
    after = f"after {samples[-1].cycles:,} cycles of scan, cancel and drill-down"
    early, late = before_and_after(samples, "resident")
    each = np.polyfit([one.cycles for one in samples[1:]], [one.resident for one in samples[1:]], 1)[0]
    rows = [
        Row(
            f"memory of one engine {after}",
            f"{late / MB:.1f} MB",
            f"{early / MB:.1f} MB after the warm-up",
            late / early,
            GROWTH,
            at_least=False,
            note=f"line through all counts: {each * 1000 / MB:+.2f} MB for 1,000 cycles",
        )
    ]
    for name, what in (("threads", "threads"), ("files", "open files"), ("left", "files on the disk")):
        early, late = before_and_after(samples, name)
        rows.append(Row(f"{what} {after}", f"{late:g}", f"{early:g}", late / early, 1.0, at_least=False))
    return rows


def rows_inside(found: list[Census], cycles: int) -> list[Row]:
    """What can be counted inside the engine, of the second and the last quarter of the counts."""
    quarter = max(1, len(found) // 4)
    early, late = found[quarter : 2 * quarter], found[-quarter:]
    rows = [Row(f"forward hooks after {cycles:,} cycles", f"{late[-1].hooks}", "0", float(late[-1].hooks), 0.0, False)]
    for name, what, unit in (
        ("tensors", "tensors", 1),
        ("tensor_bytes", "MB of tensors", MB),
        ("objects", "Python objects", 1),
        ("allocated", "MB handed out by malloc", MB),
    ):
        before, after = (median(getattr(one, name) for one in some) / unit for some in (early, late))
        if before:
            shown = [f"{number:,.1f}" if unit > 1 else f"{number:,.0f}" for number in (after, before)]
            rows.append(Row(f"{what} after {cycles:,} cycles", *shown, after / before, GROWTH, at_least=False))
    return rows


def latency_rows(researcher: Restless) -> list[Row]:
    """How long the engine took, in its own CPU time: the machine may do other work beside."""
    rows = []
    for what, taken in sorted(researcher.taken.items()):
        cpu, wall = ([getattr(one, clock) for one in taken] for clock in ("cpu", "wall"))
        budget = YIELD if what.startswith("cancelling") else DRILL_DOWN if what.startswith("drill-down") else None
        shown = [f"p50 {np.median(x):.3f}, p95 {np.quantile(x, 0.95):.3f}, max {max(x):.3f} s" for x in (cpu, wall)]
        note = f"CPU {shown[0]}; wall {shown[1]}"
        name = f"{what} ({len(taken)} times)"
        if budget is None:
            rows.append(Row(name, f"{np.quantile(cpu, 0.95):.3f} s", "", None, None, note=note))
        else:
            rows.append(within(f"{name}, p95", float(np.quantile(cpu, 0.95)), budget, note=note))
    return rows


def demo_question() -> Settings:
    """What `headtorch run` asks, of fewer documents and neurons."""
    return Settings(token_texts=(" States",), docs=60, neurons_limit=3, random_neurons=3, layers="last:4")


@contextmanager
def own_folders() -> Iterator[Path]:
    """A home, a cache and a folder for temporary files, of this process and the engine's."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        os.environ.update(
            HEADTORCH_HOME=str(folder / "home"),
            HEADTORCH_CACHE=str(folder / "cache"),
            TMPDIR=str(folder / "tmp"),
            HF_HUB_OFFLINE="1",
        )
        (folder / "tmp").mkdir()
        yield folder


def questions_of(model: str, folder: Path) -> list[Settings]:
    """Two for the tiny models, so that the model changes now and then."""
    if model == "demo":
        return [demo_question()]
    for family in ("gpt2", "llama"):
        (folder / family).mkdir(exist_ok=True)
    return [tiny_question(folder / family, family) for family in ("gpt2", "llama")]


def measured(model: str, cycles: int, every: int, inside: bool) -> list[Row]:
    """The rows of one soak."""
    with own_folders() as folder:
        questions = questions_of(model, folder)
        if inside:
            return rows_inside(soak_inside(questions, folder, cycles, every), cycles)
        samples, researcher = soak(questions, folder, cycles, every)
        return rows_of(samples) + latency_rows(researcher)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("cycles", nargs="?", type=int, default=CYCLES)
    parser.add_argument("--model", choices=("tiny", "demo"), default="tiny")
    parser.add_argument("--every", type=int, default=EVERY, help="cycles between two counts")
    parser.add_argument("--inside", action="store_true", help="in this process")
    asked = arguments(parser).parse_args()
    every = max(1, min(asked.every, asked.cycles // 4))
    write({"soak": measured(asked.model, asked.cycles, every, asked.inside)}, asked)


if __name__ == "__main__":
    main()
