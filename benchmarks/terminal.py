"""What the workbench costs a terminal on the other end of a line: frames, bytes and waiting.

    python benchmarks/terminal.py [STUDY] [--busy]

Runs the real program in a pseudo-terminal on a study (the newest without a name), with its engine loading the model
beside it. Measured: the time to the first frame, bytes of an idle second, the time from a key to the moved cursor and
its bytes (with --busy while every core computes), the same for all that follows a cursor that rests (the other panes,
then the shading), and the time to quit. What the terminal itself takes to draw is not in it.
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
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

BURST = 0.02  # seconds without a byte that end a burst
SETTLED = 0.6  # and all that a key brings, the engine's answers included


@dataclass
class Answer:
    """Seconds from a key to the moved cursor and to the settled screen, and the bytes sent by then."""

    moved: float
    cursor_bytes: int
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

    def press(self, key: bytes) -> Answer:
        """What a key brings: the first burst of bytes is the cursor, then come the other panes."""
        begin = time.perf_counter()
        os.write(self.fd, key)
        moved, of_cursor = self._burst(begin, BURST, 2.0)
        settled, of_rest = self._burst(moved, SETTLED, SETTLED)
        return Answer(moved - begin, of_cursor, settled - begin, of_cursor + of_rest)

    def _burst(self, last: float, gap: float, patience: float) -> tuple[float, int]:
        """When the last byte came before `gap` seconds without one, and how many came."""
        count = 0
        while select.select([self.fd], [], [], patience)[0]:
            count += len(os.read(self.fd, 65_536))
            last, patience = time.perf_counter(), gap
        return last, count

    def quit(self) -> float:
        """Seconds from q to the end of the process."""
        begin = time.perf_counter()
        os.write(self.fd, b"q")
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.perf_counter() - begin < 20:
            self.read(0.01)
        return time.perf_counter() - begin


def burn() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))


@contextmanager
def busy_cores(wanted: bool) -> Iterator[None]:
    """One busy process for each core."""
    workers = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)] if wanted else []
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


def measure(study: str, columns: int, rows: int, busy: bool) -> None:
    """Print the figures for one size of the terminal."""
    terminal = Terminal([sys.executable, "-m", "headtorch", "open", study], columns, rows)
    first = terminal.until(b"Neurons", 20)
    terminal.read(15)  # the engine loads the model
    idle = len(terminal.read(5)) / 5
    with busy_cores(busy):
        terminal.read(1)
        answers = [terminal.press(key) for key in (b"j", b"k") * 20]
    cursor_bytes = [answer.cursor_bytes for answer in answers]
    sys.stdout.write(
        f"{columns}x{rows}{' busy' if busy else ''}: first frame {first:.2f} s, idle {idle:.0f} B/s, "
        f"cursor {statistics.median(cursor_bytes):.0f} B (most {max(cursor_bytes)}) "
        f"after {milliseconds([answer.moved for answer in answers])}, "
        f"everything {statistics.median(answer.all_bytes for answer in answers):.0f} B "
        f"after {milliseconds([answer.settled for answer in answers])}, quit {terminal.quit():.2f} s\n"
    )


def milliseconds(seconds: list[float]) -> str:
    """The median and the 95th percentile."""
    ordered = sorted(seconds)
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.0f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1e3:.0f} ms"


def main() -> None:
    from headtorch.core.study.study import list_studies

    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    study = names[0] if names else str(list_studies()[0].folder)
    for columns, rows in ((80, 24), (120, 36), (200, 50)):
        measure(study, columns, rows, "--busy" in sys.argv)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main()
