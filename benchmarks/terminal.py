"""What the workbench costs a terminal on the other end of a line: frames, bytes and waiting.

    python benchmarks/terminal.py [STUDY] [--busy]

Runs the real program in a pseudo-terminal on a study (the newest without a name), with its engine loading the model
beside it. Measured: the time to the first frame, bytes of an idle second, bytes of a cursor move, the time from a key
to the last byte that it causes on the screen (with --busy while every core computes), and the time to quit.
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

SETTLED = 0.03  # seconds without a byte that end an answer


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

    def press(self, key: bytes) -> tuple[float, int]:
        """Seconds until the screen shows what a key does, and how many bytes that takes."""
        begin = time.perf_counter()
        os.write(self.fd, key)
        last, count, patience = begin, 0, 2.0
        while select.select([self.fd], [], [], patience)[0]:
            count += len(os.read(self.fd, 65_536))
            last, patience = time.perf_counter(), SETTLED
        self.read(0.6)  # what the engine adds when the cursor rests
        return last - begin, count

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
        seconds = sorted(time for time, _ in answers)
        moves = [count for _, count in answers]
    p50, p95 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
    sys.stdout.write(
        f"{columns}x{rows}{' busy' if busy else ''}: first frame {first:.2f} s, idle {idle:.0f} B/s, "
        f"cursor move {statistics.median(moves):.0f} B (most {max(moves)}), "
        f"key to screen p50 {p50 * 1e3:.0f} ms p95 {p95 * 1e3:.0f} ms, quit {terminal.quit():.2f} s\n"
    )


def main() -> None:
    from headtorch.core.study.study import list_studies

    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    study = names[0] if names else str(list_studies()[0].folder)
    for columns, rows in ((80, 24), (120, 36), (200, 50)):
        measure(study, columns, rows, "--busy" in sys.argv)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main()
