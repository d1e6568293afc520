"""Rows of the table that the benchmarks print, and the table as text, Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table

HEADINGS = ("what", "figure", "against", "ratio", "target", "")

Rows = Callable[[str], "list[Row]"]  # a benchmark: rows measured on the device "cpu" or "cuda"


@dataclass(frozen=True)
class Row:
    """One claim: a figure, what it is measured against (a baseline or a budget), and their ratio."""

    what: str
    figure: str
    baseline: str
    ratio: float | None  # None: nothing to compare with, or not measured
    target: float | None  # None: nothing is claimed
    at_least: bool = True  # the ratio must reach the target, else it must not exceed it
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the claim holds; None where nothing was measured or nothing is claimed."""
        if self.ratio is None or self.target is None:
            return None
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    @property
    def verdict(self) -> str:
        """`met`, `not met`, `not measured`, or nothing where nothing is claimed."""
        if self.ratio is None:
            return "" if self.figure else "not measured"
        return "" if self.met is None else "met" if self.met else "not met"

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of HEADINGS."""
        sign = "≥" if self.at_least else "≤"
        ratio = "" if self.ratio is None else number(self.ratio)
        target = "" if self.target is None else f"{sign} {number(self.target)}"
        return (self.what, self.figure, self.baseline, ratio, target, self.verdict)


def not_measured(what: str, target: float | None = None, note: str = "", *, at_least: bool = True) -> Row:
    """A claim that could not be looked at here; `note` says why."""
    return Row(what, "", "", None, target, at_least, note)


def within(what: str, measured: float, budget: float, unit: str = "s", note: str = "") -> Row:
    """A figure that must not exceed its budget."""
    figure = f"{measured:,.0f}" if measured >= 1000 else f"{measured:.3g}"
    return Row(what, f"{figure} {unit}", f"{budget:,g} {unit}", measured / budget, 1.0, at_least=False, note=note)


def number(value: float) -> str:
    """Three digits, and none behind the point from 100 on."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def as_json(found: Mapping[str, Sequence[Row]]) -> str:
    """A list of rows by the name of the benchmark."""
    return json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()}, indent=2)


def from_json(text: str) -> dict[str, list[Row]]:
    """What `as_json` wrote."""
    return {name: [Row(**row) for row in rows] for name, rows in json.loads(text).items()}


def as_markdown(found: Mapping[str, Sequence[Row]]) -> str:
    """One table; what a row notes stands behind what it is."""
    lines = ["| " + " | ".join((*HEADINGS[:-1], "verdict")) + " |", "|---|---|---|---:|---:|---|"]
    for row in (row for rows in found.values() for row in rows):
        what = f"{row.what} ({row.note})" if row.note else row.what
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (what, *row.cells[1:])) + " |")
    return "\n".join(lines) + "\n"


def show(found: Mapping[str, Sequence[Row]]) -> None:
    """The table on the terminal, a section for each benchmark; notes stand below what they belong to."""
    table = Table(box=box.SIMPLE_HEAD)
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if i in (3, 4) else "left", overflow="fold")
    for rows in found.values():
        for row in rows:
            what, *rest = row.cells
            table.add_row(f"{what}\n  {row.note}" if row.note else what, *rest)
        table.add_section()
    width = None if sys.stdout.isatty() else 140
    Console(markup=False, highlight=False, emoji=False, width=width).print(table)


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="rows as JSON")
    form.add_argument("--markdown", action="store_true", help="the table as Markdown")
    return parser


def write(found: Mapping[str, Sequence[Row]], asked: argparse.Namespace) -> None:
    """The table in the form that was asked for."""
    if asked.json:
        sys.stdout.write(as_json(found) + "\n")
    elif asked.markdown:
        sys.stdout.write(as_markdown(found))
    else:
        show(found)


def main(rows: Rows, name: str) -> None:
    """A benchmark alone: `if __name__ == "__main__": main(rows, "scan")`."""
    asked = arguments(argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")).parse_args()
    write({name: rows(asked.device)}, asked)
