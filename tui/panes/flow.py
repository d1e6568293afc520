"""Text laid out on lines of a given width: paragraphs by words, and facts that stay whole."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from headtorch.core.text import visible
from headtorch.tui.widgets import cells


def flow(pieces: Iterable[Text], width: int, gap: Text | str = "   ", indent: int = 0) -> list[Text]:
    """The pieces in order, `gap` between those on one line; only a piece wider than a line is cut."""
    lines: list[Text] = []
    space = Text(gap) if isinstance(gap, str) else gap
    room = max(1, width - indent)
    for piece in pieces:
        if lines and lines[-1].cell_len + space.cell_len + piece.cell_len <= width:
            lines[-1].append_text(space).append_text(piece)
        else:
            lines += [Text(" " * indent).append_text(part) for part in _chopped(piece, room)]
    return lines


def paragraph(text: str, width: int, style: Style, indent: int = 0) -> list[Text]:
    """Foreign text made visible and wrapped at its spaces."""
    return flow((Text(word, style=style) for word in visible(text).split()), width, gap=" ", indent=indent)


def segments(line: Text, console: Console) -> list[Segment]:
    """The line as segments. Text.render leaves a text's own style out where no part has another."""
    line = line.copy()
    line.end, line.no_wrap = "", True
    if not line.spans:
        line.stylize(line.style)
    return list(line.render(console))


def _chopped(piece: Text, room: int) -> list[Text]:
    if piece.cell_len <= room:
        return [piece.copy()]
    if " " in piece.plain.strip():
        return flow(piece.split(" "), room, gap=" ")
    ends, at = [], 0
    for part in chop_cells(piece.plain, room):
        at += len(part)
        ends.append(at)
    return list(piece.divide(ends[:-1]))


def tail(text: str, room: int) -> str:
    """The end of the text, in at most `room` cells, with … in front where something is missing."""
    return text if cell_len(text) <= room else f"…{cells.tail(text, room - 1)}"
