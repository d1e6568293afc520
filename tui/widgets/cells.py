"""Cutting text by terminal cells: some characters take two, and combining ones take none and stay with their base."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style

Piece = tuple[str, Style]


def head(text: str, cells: int) -> str:
    """The longest beginning of the text that takes at most `cells`."""
    if cell_len(text) <= cells:
        return text
    end = used = 0
    for character in text:
        used += cell_len(character)
        if used > cells:
            break
        end += 1
    return text[:end]


def tail(text: str, cells: int) -> str:
    """The longest end of the text that takes at most `cells` and does not begin inside a character."""
    if cell_len(text) <= cells:
        return text
    start, used = len(text), 0
    for at in range(len(text) - 1, -1, -1):
        width = cell_len(text[at])
        used += width
        if used > cells:
            break
        if width:
            start = at
    return text[start:]


def fit(text: str, cells: int) -> str:
    """The text in exactly `cells`: filled with spaces, or cut with … at its end."""
    short = text if cell_len(text) <= cells else head(text, cells - 1) + "…"[: max(0, cells)]
    return short + " " * (cells - cell_len(short))


def number(value: float | None, cells: int, digits: int = 2) -> str:
    """A number at the right of `cells`, with as many of the `digits` as there is room for; · where there is none."""
    if value is None or value != value:
        return "·".rjust(cells)
    for places in range(digits, -1, -1):
        text = f"{value:.{places}f}".replace("-", "−")
        if len(text) <= cells:
            return text.rjust(cells)
    return f"{value:.0e}".rjust(cells)[:cells]


def crop(pieces: Sequence[Piece], start: int, end: int) -> list[Piece]:
    """The cells from `start` to `end` of styled text; half of a wide character becomes a space."""
    kept: list[Piece] = []
    at = 0
    for text, style in pieces:
        cells = cell_len(text)
        left, right = max(0, start - at), max(0, at + cells - end)
        at += cells
        if left + right >= cells and (cells or not start < at <= end):
            continue
        if left:
            part = tail(text, cells - left)
            text = " " * (cells - left - cell_len(part)) + part
        if right:
            room = cells - left - right
            part = head(text, room)
            text = part + " " * (room - cell_len(part))
        kept.append((text, style))
    return kept
