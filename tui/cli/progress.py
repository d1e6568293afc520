"""Progress on standard error, and ctrl+c that stops the work where it can be kept."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from headtorch.core.errors import Interrupted
from headtorch.core.text import visible
from headtorch.core.watch import Watch
from headtorch.tui.cli import INTERRUPTED


class StoppableWatch(Watch):
    """The first ctrl+c stops the work at its next checkpoint; the second at once."""

    def __init__(self) -> None:
        self._stop = False

    def checkpoint(self) -> None:
        """Raises Interrupted once ctrl+c was pressed."""
        if self._stop:
            raise Interrupted(INTERRUPTED)

    def note(self, text: str, *, minor: bool = False) -> None:
        """On standard error, above the bars; minor ones on a terminal only."""
        if not minor or sys.stderr.isatty():
            sys.stderr.write(f"{visible(text)}\n")

    def on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        """The handler of SIGINT."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        if sys.stderr.isatty():
            sys.stderr.write("\nStopping where it can go on; ctrl+c again stops at once.\n")


class BarWatch(StoppableWatch):
    """Shows progress as bars; `aside` takes them away for as long as something else is on the screen."""

    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        known = total or None  # 0: nobody knows how much there is
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=known, unit=unit)
        self._bars.update(self._tasks[stage], completed=done, total=known, unit=unit)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without bars."""
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()


@contextmanager
def aside(watch: Watch) -> Iterator[None]:
    """For a question on the terminal while work goes on: no bars are drawn over it."""
    with watch.aside() if isinstance(watch, BarWatch) else nullcontext():
        yield


@contextmanager
def progress_bars() -> Iterator[Watch]:
    """A Watch that draws on standard error where that is a terminal, is silent elsewhere, and minds ctrl+c.

    Raises Interrupted at the end where ctrl+c came after the last checkpoint.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _interruptible(StoppableWatch())
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield from _interruptible(BarWatch(bars))


def _interruptible(watch: StoppableWatch) -> Iterator[Watch]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield watch
        return
    before = signal.signal(signal.SIGINT, watch.on_interrupt)
    try:
        yield watch
        watch.checkpoint()
    finally:
        signal.signal(signal.SIGINT, before)
