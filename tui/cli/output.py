"""Data on standard output, as JSON or a table."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headtorch.core.records import HeadId, Interval, NeuronId, Record
from headtorch.core.text import hidden_escaped, visible
from headtorch.tui.cli import send

UNBROKEN = 100_000  # columns: wide enough for any row


def print_json(value: object) -> None:
    """Print a record, or a list of records, with addresses written as L3.N412."""
    write(json_text(value))


def json_text(value: object) -> str:
    """What `print_json` prints: hidden characters are escaped, so that a terminal obeys none of them."""
    return hidden_escaped(msgspec.json.format(msgspec.json.encode(plain(value)), indent=2).decode())


def plain(value: object) -> object:
    """Records as dictionaries, lists and numbers; addresses as text."""
    if isinstance(value, NeuronId | HeadId):
        return str(value)
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        if config.omit_defaults:
            fields = {name: held for name, held in fields.items() if held is not None}
        if isinstance(value, Record) and config.tag_field is not None:
            fields = {config.tag_field: config.tag} | fields
        return {name: plain(held) for name, held in fields.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value


def print_table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print rows under (heading, kind) columns, every cell made inert; kind is "left", "right" or "text".

    On a terminal "text" columns wrap to its width and the others stay whole. Elsewhere every row is one line.
    """
    if title:
        print_note(title)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, kind in columns:
        table.add_column(
            Text(heading), justify="right" if kind == "right" else "left", overflow="fold", no_wrap=kind != "text"
        )
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    terminal = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=None if terminal else UNBROKEN, highlight=False, markup=False
    )
    with console.capture() as captured:
        console.print(table)
    write("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_text(text: str = "") -> None:
    """Print one line of text, made inert."""
    write(visible(text))


def print_note(text: str) -> None:
    """Print prose, made inert; on a terminal, lines end between words."""
    lines = textwrap.wrap(visible(text), shutil.get_terminal_size().columns) if sys.stdout.isatty() else [visible(text)]
    write("\n".join(lines))


def write(text: str) -> None:
    """Write text and a newline to standard output."""
    send(text + "\n")


def cell(value: object) -> str:
    """A value for a table: numbers short, missing ones a dot, text visible."""
    if value is None:
        return "·"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1e}" if abs(value) < 0.001 and value else f"{value:.3f}"
    return visible(str(value))


def with_interval(value: float | None, interval: Interval | None) -> str:
    """A number for a table with its interval, if there is one, in brackets."""
    return cell(value) if interval is None else f"{cell(value)} [{cell(interval.low)}, {cell(interval.high)}]"
