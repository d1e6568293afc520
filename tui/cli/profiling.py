"""What --profile adds to a command: a table of its stages and traces of torch's profiler."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.watch import Watch

if TYPE_CHECKING:
    from headtorch.core.engine.profiling import Profile

STAGES = "stages.csv"


@contextmanager
def profiling(wanted: bool) -> Iterator[Callable[[Watch], Watch]]:
    """Gives a function that makes a watch measure, or leaves it as it is where nothing is `wanted`.

    At the end, whatever that is, the table is printed on standard error, and kept with the traces in a new folder of
    the current one; where they cannot be written any more, that is said there too, and the command ends as it would.

    Raises StorageError at the beginning where there can be no such folder.
    """
    if not wanted:
        yield lambda watch: watch
        return
    from headtorch.core.engine.profiling import Profile
    from headtorch.core.engine.tracing import Tracer
    from headtorch.core.study.files import storage_errors

    name = time.strftime("headtorch-profile-%Y%m%d-%H%M%S")
    with storage_errors(Path(name)):
        folder = _new_folder(name)
    tracer, made = Tracer(folder), []

    def measured(watch: Watch) -> Watch:
        made.append(Profile(watch, tracer))
        return made[-1]

    try:
        yield measured
    finally:
        for profile in made:
            _end(profile, folder / STAGES, tracer.files)


def _new_folder(name: str) -> Path:
    """A folder that nobody else has: name, name-2, name-3, …"""
    for number in count(1):
        folder = Path(name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def _end(profile: Profile, table: Path, traces: list[Path]) -> None:
    """Write and print what was measured."""
    from headtorch.core.text import visible

    profile.end()
    files, trouble = list(traces), profile.trouble
    try:
        profile.write(table)
        files.insert(0, table)
    except OSError as error:
        trouble = error
    _print(profile, files)
    if trouble is not None:
        why = visible(getattr(trouble, "strerror", None) or str(trouble))[:200]
        where = visible(str(table.parent))
        sys.stderr.write(f"headtorch: not all of the profile could be written to {where}: {why}\n")


def _print(profile: Profile, files: list[Path]) -> None:
    from headtorch.core.text import visible

    lines = [("stage", "seconds", "share", "done", "", "per second", "peak MiB")]
    for row in profile.rows():
        done = "" if row.done is None else f"{row.done:,}"
        rate = "" if row.per_second is None else f"{row.per_second:,.{0 if row.per_second >= 100 else 1}f}"
        peak = f"{row.peak_bytes / 2**20:,.0f}"
        lines.append((row.stage, f"{row.seconds:.2f}", f"{row.share:.1%}", done, row.unit, rate, peak))
    for stage, seconds, share, done, unit, rate, peak in lines:
        sys.stderr.write(f"{stage:<12}{seconds:>10}{share:>8}{done:>14} {unit:<10}{rate:>12}{peak:>10}\n")
    sys.stderr.write("".join(f"profile: {visible(str(path))}\n" for path in files))
