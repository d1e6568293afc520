"""Columns that stand beside one another: which fit a width, and what a line of them looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from headtorch.tui.palette import Palette
from headtorch.tui.widgets.cells import fit

FRONT = 2  # cells of the cursor


@dataclass(frozen=True)
class Cell:
    """Text that is visible already, in one of the palette's colours."""

    text: str
    style: str = "text"


@dataclass(frozen=True)
class Column:
    """`need` 0 is always shown, higher ones go first where there is no room; `most` cells where there is plenty.

    side: whose value stands there, 0 or 1 for the first or second study; None for what is about both
    """

    title: str
    cells: int
    right: bool = True
    need: int = 0
    most: int = 0
    side: int | None = None


@dataclass(frozen=True)
class Place:
    """A column by its index, and the cells that it gets."""

    index: int
    column: Column
    cells: int


def sized(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[Column]:
    """The columns, those that could grow no wider than what stands in them."""
    found = []
    for at, column in enumerate(columns):
        widest = max((cell_len(row[at].text) for row in rows), default=0)
        cells = min(column.cells, max(widest, cell_len(column.title)))
        most = min(column.most, max(widest, cell_len(column.title)))
        found.append(replace(column, cells=cells, most=most) if column.most else column)
    return found


def lay_out(columns: Sequence[Column], width: int) -> list[Place]:
    """Those that fit, in their order; what is left over goes to those that can use it, from the left."""
    left = width - FRONT - sum(column.cells + 1 for column in columns if not column.need)
    shown = {at for at, column in enumerate(columns) if not column.need}
    for need in sorted({column.need for column in columns if column.need}):
        group = [at for at, column in enumerate(columns) if column.need == need]  # together or not at all
        wanted = sum(columns[at].cells + 1 for at in group)
        if wanted > left:
            break
        shown.update(group)
        left -= wanted
    places = []
    for at in sorted(shown):
        more = max(0, min(left, columns[at].most - columns[at].cells))
        left -= more
        places.append(Place(at, columns[at], columns[at].cells + more))
    return places


def header(places: Sequence[Place], palette: Palette, side: int | None = None) -> Text:
    """The titles; those of the study looked at are bright and underlined."""
    text = Text(" " * FRONT)
    for place in places:
        here = side is not None and place.column.side == side
        title = fit(place.column.title, place.cells) if not place.column.right else _right(place)
        padding, name = _split(title)
        text.append(padding)
        text.append(name, palette.style("bright" if here else "quiet", bold=here, underline=here))
        text.append(title[len(padding) + len(name) :] + " ")
    return text


def cursor(palette: Palette, selected: bool, focused: bool) -> Text:
    """The first cells of a line."""
    return Text.assemble(("▸ " if selected else "  ", palette.style("bright" if focused else "quiet", bold=focused)))


def line(places: Sequence[Place], cells: Sequence[Cell], palette: Palette, selected: bool, focused: bool) -> Text:
    """A row of the table, with the cursor in front."""
    text = cursor(palette, selected, focused)
    for place in places:
        cell = cells[place.index]
        shown = fit(cell.text, place.cells)
        if place.column.right and cell_len(cell.text) < place.cells:
            shown = " " * (place.cells - cell_len(cell.text)) + cell.text
        bright = selected and cell.style == "text"
        text.append(shown, palette.style("bright" if bright else cell.style)).append(" ")
    return text


def _right(place: Place) -> str:
    title, cells = place.column.title, place.cells
    return fit(title, cells) if cell_len(title) > cells else title.rjust(cells)


def _split(shown: str) -> tuple[str, str]:
    """The blanks before a title, and the title as far as it is shown."""
    padding = shown[: len(shown) - len(shown.lstrip())]
    return padding, shown.strip()
