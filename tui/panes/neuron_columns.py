"""Which columns of the neurons fit a width, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import percent
from headtorch.tui.panes.neuron_table import ASCENDING, COLUMNS, KINDS, OTHER, OWN, RANDOM, VISITED, Column, NeuronTable
from headtorch.tui.widgets.cells import fit, number

FRONT = 2  # cells of the cursor and of the mark of membership
TOKEN_CELLS = (6, 18)
WIDTHS: dict[Column, int] = {"c": 4, "cos": 5, "z": 4, "kind": 5, "P": 5, "heads": 6, "E": 4, "ok": 4, "n": 3}
DIGITS: dict[Column, int] = {"c": 1, "z": 1, "cos": 2, "E": 2, "n": 0}
DROPPED_LAST: tuple[Column, ...] = ("P", "heads", "ok", "E", "z", "c", "kind", "n", "cos")
WITHOUT_CLAIMS: tuple[Column, ...] = ("E", "z", "c", "P", "kind", "n", "cos")
MARKS = {OWN: " ", RANDOM: "~", VISITED: "+", OTHER: " "}
KIND_WORDS = {"prediction": "pred", "suppression": "supp", "entropy": "entr", "ordinary": "·"}


@dataclass(frozen=True)
class Place:
    """A column on the screen: where it starts and how wide it is."""

    column: Column
    start: int
    width: int


def lay_out(width: int, address: int, sorted_by: Column, by_worth: Sequence[Column]) -> list[Place]:
    """The columns that fit, from the left; those of `by_worth` are left out from its end, but for the sorted one.

    address: the length of the longest
    """
    left = width - FRONT - address - 1 - TOKEN_CELLS[0] - 1  # the last cell is the bookmark's
    chosen: set[Column] = {"neuron", "token"}
    for column in sorted(by_worth, key=lambda column: column != sorted_by):
        if left >= WIDTHS[column] + 1:
            chosen.add(column)
            left -= WIDTHS[column] + 1
        else:
            break
    token = min(TOKEN_CELLS[1], TOKEN_CELLS[0] + left)
    widths: dict[Column, int] = {**WIDTHS, "neuron": address, "token": token}
    places, start = [], FRONT
    for column in COLUMNS:
        if column in chosen:
            places.append(Place(column, start, widths[column]))
            start += widths[column] + 1
    return places


def header(places: list[Place], by: Column, reverse: bool, palette: Palette) -> Text:
    """The names of the columns; ▾ or ▴ where the table is sorted, largest or smallest first."""
    text = Text(" " * FRONT)
    for place in places:
        here = place.column == by
        arrow = ("▾" if (by not in ASCENDING) != reverse else "▴") if here else ""
        name = place.column + arrow
        name = name.ljust(place.width) if _is_text(place.column) else name.rjust(place.width)
        text.append(name, palette.style("bright" if here else "quiet", bold=here))
        text.append(" ")
    return text


def line(table: NeuronTable, row: int, places: list[Place], palette: Palette, selected: bool, among_all: bool) -> Text:
    """A neuron's line."""
    member = int(table.member[row])
    mark = "◆" if among_all and member == OWN else MARKS[member]
    text = Text()
    text.append("▸" if selected else " ", palette.style("bright", bold=True))
    text.append(mark, palette.style("quiet"))
    for place in places:
        text.append_text(_cell(table, row, place, palette, selected))
        if place is not places[-1]:
            text.append(" ")
    text.append("★" if table.marked[row] else " ", palette.style("bright"))
    return text


def _cell(table: NeuronTable, row: int, place: Place, palette: Palette, selected: bool) -> Text:
    column, width = place.column, place.width
    plain = palette.style("bright" if selected else "text", bold=selected and column == "neuron")
    if column == "neuron":
        quiet = table.member[row] == RANDOM and not selected
        return Text(fit(str(table.neuron(row)), width), palette.style("quiet") if quiet else plain)
    if column == "token":
        return Text(fit(table.token_text(row), width), palette.style("token"))
    if column == "kind":
        return Text(fit(KIND_WORDS[KINDS[int(table.kind[row])]], width), palette.style("quiet"))
    value = float(getattr(table, column)[row])
    if value != value:
        return Text("·".rjust(width), palette.style("quiet"))
    if column == "P":
        return Text(number(value, width - 1) + ("✓" if table.valid[row] else " "), plain)
    if column == "heads":
        return Text(percent(value).rjust(width), plain)
    if column == "ok":
        return Text(f"{value:.0f}/{int(table.tested[row])}".rjust(width), plain)
    return Text(number(value, width, DIGITS[column]), plain)


def group_heading(name: str, width: int, palette: Palette) -> Text:
    """`── driven by the last token ───` across the list."""
    return Text(f"── {name} ".ljust(width, "─"), palette.style("quiet"))


def _is_text(column: Column) -> bool:
    return column in ("neuron", "token", "kind")
