"""What the workbench costs a terminal on the other end of a line: frames, bytes and waiting.

    python -m benchmarks.terminal

Runs the real program in a pseudo-terminal on a small finished study of the demo model, with its engine loading the
model beside it. Measured: the time to the first frame, which names the study, and to its panes; bytes of an idle
second; the time from a key to the moved cursor and its bytes, and to the panes that follow a cursor that rests, both
also while every core computes; the time to quit. Times are on the clock, so other work on the machine counts. What the
terminal itself takes to draw is not in it.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from benchmarks.table import Row, main, within

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode

BURST = 0.02  # seconds without a byte that end a burst
FOLLOWING = 0.12  # that end the other panes' drawing; a cursor that rests longer has its prompts shaded
SETTLED = 0.6  # and all that a key brings, the engine's answers included
KEYS = (b"j", b"k") * 12


@dataclass
class Answer:
    """Seconds from a key to the moved cursor, to the panes that follow it and to the settled screen; bytes by then."""

    moved: float
    cursor_bytes: int
    followed: float
    settled: float
    all_bytes: int


class Terminal:
    """A child in a pseudo-terminal of a given size."""

    def __init__(self, command: list[str], columns: int, rows: int) -> None:
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SSH_CONNECTION": "x 1 y 2"}
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What arrives within some seconds."""
        end, found = time.perf_counter() + seconds, b""
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                try:
                    found += os.read(self.fd, 65_536)
                except OSError:
                    break
        return found

    def until(self, text: bytes, seconds: float) -> float:
        """Seconds since the start until `text` has arrived."""
        found = b""
        while text not in found and time.perf_counter() - self.started < seconds:
            found += self.read(0.01)
        return time.perf_counter() - self.started

    @property
    def processor_seconds(self) -> float:
        """What the program has computed so far, its engine not counted."""
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system)

    def press(self, key: bytes) -> Answer:
        """What a key brings: the first burst of bytes is the cursor, then come the other panes."""
        begin = time.perf_counter()
        os.write(self.fd, key)
        moved, of_cursor = self._burst(begin, BURST, 2.0)
        followed, of_panes = self._burst(moved, FOLLOWING, FOLLOWING)
        settled, of_rest = self._burst(followed, SETTLED, SETTLED)
        return Answer(moved - begin, of_cursor, followed - begin, settled - begin, of_cursor + of_panes + of_rest)

    def _burst(self, last: float, gap: float, patience: float) -> tuple[float, int]:
        """When the last byte came before `gap` seconds without one, and how many came."""
        count = 0
        while select.select([self.fd], [], [], patience)[0]:
            count += len(os.read(self.fd, 65_536))
            last, patience = time.perf_counter(), gap
        return last, count

    def quit(self, key: bytes = b"q") -> float:
        """Seconds from the key to the end of the process."""
        begin = time.perf_counter()
        os.write(self.fd, key)
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.perf_counter() - begin < 20:
            self.read(0.01)
        return time.perf_counter() - begin


def burn() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))


@contextmanager
def busy_cores() -> Iterator[None]:
    """One busy process for each core."""
    workers = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


@contextmanager
def home(study: str | None = None) -> Iterator[None]:
    """Folders of our own for headtorch; with a small finished study of the demo model in them where one is named."""
    kept = {name: os.environ.get(name) for name in ("HEADTORCH_HOME", "HEADTORCH_CACHE")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HEADTORCH_HOME": f"{folder}/home", "HEADTORCH_CACHE": f"{folder}/cache"}
        try:
            if study is not None:
                asked = ["--tokens", "20000", "--neurons", "3", "--random-neurons", "0", "--layers", "last:1"]
                command = [sys.executable, "-m", "headtorch", "run", "--study", study, *asked]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(folder))
            yield
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def rows(device: str = "cpu") -> list[Row]:
    """The workbench at two sizes; a GPU makes no difference to it."""
    with home("benchmark"):
        return [*measure("benchmark", 80, 24), *measure("benchmark", 120, 36)]


def measure(study: str, columns: int, lines: int) -> list[Row]:
    """One size of the terminal."""
    terminal = Terminal([sys.executable, "-m", "headtorch", "open", study], columns, lines)
    first, computed = terminal.until(b"opening", 20), terminal.processor_seconds
    panes = terminal.until(b"Neurons", 20)
    terminal.read(15)  # the engine loads the model
    idle = len(terminal.read(5)) / 5
    quiet = [terminal.press(key) for key in KEYS]
    with busy_cores():
        terminal.read(1)
        busy = [terminal.press(key) for key in KEYS]
    at = f"workbench at {columns}×{lines}: "
    spent = statistics.median(answer.cursor_bytes for answer in quiet)
    bytes_row = within(f"{at}bytes of a cursor move", spent, 2048, "B")
    return [
        within(f"{at}first frame", first, 0.5, note=f"{computed:.2f} s of processor time"),
        Row(f"{at}all panes drawn", f"{panes:.2f} s", "", panes, None),
        Row(f"{at}idle", f"{idle:.0f} B/s", "0 B/s", idle, 0.0, at_least=False),
        bytes_row if columns == 80 else Row(bytes_row.what, bytes_row.figure, "", spent / 2048, None),
        within(f"{at}key to cursor, 95 % of keys", late(quiet), 0.1),
        within(f"{at}the same while every core computes", late(busy), 0.1),
        *(
            Row(f"{at}key to the panes that follow{when}", f"{seconds:.3f} s", "", seconds, None)
            for when, seconds in (("", late(quiet, "followed")), (", every core computing", late(busy, "followed")))
        ),
        within(f"{at}quit", terminal.quit(), 0.5),
    ]


def late(answers: list[Answer], what: Literal["moved", "followed"] = "moved") -> float:
    """Seconds to the moved cursor, or to the panes that follow it, that 95 % of keys do not exceed."""
    return sorted(getattr(answer, what) for answer in answers)[int(len(answers) * 0.95)]


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main(rows, "terminal")
