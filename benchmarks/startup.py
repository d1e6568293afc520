"""How long headtorch takes to say its version, to show its options, to draw its first frame, and to be gone.

    python -m benchmarks.startup

The first two are processor time, the median of five. The first frame is that of the pick screen, in a pseudo-terminal;
it is left at once, while the engine is still loading. Those two are on the clock, so other work on the machine counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from benchmarks.table import Row, main, within
from benchmarks.terminal import Terminal, home

TIMES = 5
ENDING = 5.0  # seconds in which the engine of the one before ends
WITHOUT_TORCH = """
import sys
from headtorch.tui.cli import main
try:
    main()
finally:
    sys.exit("torch" in sys.modules)
"""


def processor_seconds(command: list[str]) -> float:
    """User and system time of a command, the median of some runs after one that warms the caches."""
    taken = []
    for _ in range(TIMES + 1):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        used = os.wait4(child.pid, 0)[2]
        taken.append(used.ru_utime + used.ru_stime)
    return statistics.median(taken[1:])


def imports_torch(option: str) -> bool:
    """Whether the option brings torch in."""
    command = [sys.executable, "-c", WITHOUT_TORCH, option]
    return bool(subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode)


def of_option(option: str) -> Row:
    note = "torch is imported" if imports_torch(option) else "torch is not imported"
    return within(
        f"headtorch {option}", processor_seconds([sys.executable, "-m", "headtorch", option]), 0.25, note=note
    )


def of_terminal() -> list[Row]:
    """First frame and leave, medians."""
    frames, quits, computed = [], [], []
    for _ in range(TIMES):
        terminal = Terminal([sys.executable, "-m", "headtorch"], 120, 36)
        frames.append(terminal.until(b"new study", 20))
        computed.append(terminal.processor_seconds)
        quits.append(terminal.quit(b"\x11"))
        time.sleep(ENDING)
    note = f"{statistics.median(computed):.2f} s of processor time"
    return [
        within("first frame of the pick screen", statistics.median(frames), 0.5, note=note),
        within("quit at once", statistics.median(quits), 0.5),
    ]


def rows(device: str = "cpu") -> list[Row]:
    """A GPU makes no difference to them."""
    with home():
        return [of_option("--version"), of_option("--help"), *of_terminal()]


if __name__ == "__main__":
    main(rows, "startup")
