"""Data on standard output, as JSON or a table; progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.core.watch import Watch

NUMBER = "right"


def print_json(value: object) -> None:
    """Print a record, or a list of records, with addresses written as L3.N412."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain(value)), indent=2).decode() + "\n")


def plain(value: object) -> object:
    """Records as dictionaries, lists and numbers; addresses as text."""
    if isinstance(value, NeuronId | HeadId):
        return str(value)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        if value.__struct_config__.omit_defaults:
            fields = {name: held for name, held in fields.items() if held is not None}
        return {name: plain(held) for name, held in fields.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value


def print_table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print rows under (heading, "left" or "right") columns. Every cell is made inert."""
    table = Table(title=Text(visible(title)) if title else None, box=None, pad_edge=False, header_style="bold")
    for heading, justify in columns:
        table.add_column(Text(heading), justify="right" if justify == NUMBER else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console(highlight=False, soft_wrap=False).print(table)


def print_text(text: str = "") -> None:
    """Print one line of text, made inert."""
    sys.stdout.write(visible(text) + "\n")


def cell(value: object) -> str:
    """A value for a table: numbers short, missing ones a dot, text visible."""
    if value is None:
        return "·"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.001 and value else f"{value:.3f}"
    return visible(str(value))


class BarWatch(Watch):
    """Shows progress as bars on standard error; ctrl+c stops the work at the next checkpoint."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        known = total or None  # 0: nobody knows how much there is
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=known, unit=unit)
        self._bars.update(self._tasks[stage], completed=done, total=known)


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Watch]:
    """A Watch that draws on standard error where that is a terminal, and is silent elsewhere."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Watch()
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield BarWatch(bars)
