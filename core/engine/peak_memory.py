"""The most memory that a piece of work has held at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_OWN = Path("/proc/self")


class PeakMemory:
    """Bytes since the last `reset`: what torch has allocated on the GPU it uses, else the resident set of the process.

    Where the system cannot begin anew (anywhere but on Linux) the resident set at the moment is given.
    """

    def reset(self) -> None:
        """Forget the peak until now."""
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        else:
            try:
                (_OWN / "clear_refs").write_text("5")  # sets the high-water mark to what is resident now
            except OSError:
                return

    def bytes(self) -> int:
        """The peak since then."""
        if (cuda := _cuda()) is not None:
            return int(cuda.max_memory_allocated())
        try:
            line = next(line for line in (_OWN / "status").read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        except (OSError, StopIteration):
            return _resident()


def _cuda() -> Any:
    """torch.cuda where it is in use already; asking must not be what starts it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
