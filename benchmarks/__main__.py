"""All benchmarks as one table.

    python -m benchmarks [NAMES...] [--device cpu|cuda] [--json | --markdown]

Each runs in a process of its own, one after another, so that none disturbs the next and one that fails loses nothing
but its own rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module

from benchmarks.table import Row, arguments, as_json, from_json, not_measured, write

NAMES = ("scan", "against_paper", "effects", "memory", "startup", "terminal", "neuron_table", "scaling")


def measure(name: str, device: str) -> list[Row]:
    """The rows of one benchmark, from a process of its own; one row that says so where it failed."""
    command = [sys.executable, "-m", "benchmarks", "--here", name, "--device", device]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return [not_measured(name, note=f"failed with exit code {done.returncode}; the reason is on stderr")]
    return from_json(done.stdout)[name]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Print figures, baselines and targets.")
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(NAMES)}; by default all")
    parser.add_argument("--here", metavar="NAME", help="one benchmark in this process, as JSON")
    asked = arguments(parser).parse_args()
    if unknown := [name for name in asked.names if name not in NAMES]:
        parser.error(f"no benchmark called {unknown[0]}; there are {', '.join(NAMES)}")
    if asked.here:
        sys.stdout.write(as_json({asked.here: import_module(f"benchmarks.{asked.here}").rows(asked.device)}))
        return
    found = {}
    for name in asked.names or NAMES:
        sys.stderr.write(f"{name} …\n")
        found[name] = measure(name, asked.device)
    write(found, asked)


if __name__ == "__main__":
    main()
