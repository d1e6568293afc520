"""How one cell of the grid of heads is drawn: by colour, or without colours by sign and digit."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style

from headtorch.core.records import HeadId
from headtorch.tui.palette import STEPS, Palette, signed_step
from headtorch.tui.panes.figures import signed
from headtorch.tui.panes.head_view import HeadView

WIDTHS = (7, 3, 2, 1)  # columns of a cell; the widest holds the number
NEAR_ZERO = 0.06  # of the strongest: below it a cell is a dot
DOT, CANNOT, UNKNOWN, MINUS = "·", "×", "?", "−"


class Cells:
    """What all cells of a grid share. `plain`: there are no colours to tell strengths by."""

    def __init__(self, width: int, palette: Palette, plain: bool = False) -> None:
        self.width, self.palette, self.plain = width, palette, plain
        heat = [palette.style("text")] * STEPS if plain else [_heat(palette, step) for step in range(STEPS)]
        marks = [palette.style("line" if mark == CANNOT else "quiet") for mark in (DOT, CANNOT, UNKNOWN)]
        under = Style(underline=True)
        self._heat = heat, [style + under for style in heat]
        self._marks = marks, [style + under for style in marks]

    def draw(self, view: HeadView, head: HeadId, selected: bool) -> tuple[str, Style]:
        """The text of the head's cell, `width` columns, and its style."""
        share, explained = view.share_of_scale(head), head in view.explained
        if share is None or abs(share) < NEAR_ZERO:
            at = 0 if share is not None else 1 if view.reason(head) else 2
            text, style = (DOT, CANNOT, UNKNOWN)[at], self._marks[explained][at]
        else:
            text, style = self._text(view, head, share), self._heat[explained][signed_step(share)]
        return self._selected(text, style) if selected else (text.center(self.width), style)

    def _text(self, view: HeadView, head: HeadId, share: float) -> str:
        if self.width >= WIDTHS[0]:
            return signed(view.value(head))
        if self.plain:
            return strength(share, self.width)
        return MINUS if share < 0 else ""

    def _selected(self, text: str, style: Style) -> tuple[str, Style]:
        if self.plain:
            style += Style(reverse=True, bold=True)
        else:
            style += Style(color=self.palette.bright, bold=True)
        if self.width == 1:
            return text if self.plain else "◆", style
        if self.plain and self.width == 2:
            return text.center(2), style
        inner = text.center(self.width - 2) if self.width > 2 else ""
        return f"▌{inner}▐", style


@lru_cache(maxsize=16)
def cells(width: int, palette: Palette, plain: bool) -> Cells:
    """The cells of this kind, made once."""
    return Cells(width, palette, plain)


def _heat(palette: Palette, step: int) -> Style:
    return palette.signed_heat((step + 0.5 - STEPS / 2) / (STEPS / 2))


def strength(share: float, width: int = 2) -> str:
    """Sign and strength from 1 to 4 without colour: +3 and −3, in one column 3 and c."""
    level = abs(signed_step(share) - STEPS // 2 + (share < 0)) + 1
    if width == 1:
        return "abcd"[level - 1] if share < 0 else str(level)
    return f"{MINUS if share < 0 else '+'}{level}"
