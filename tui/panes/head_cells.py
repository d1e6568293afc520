"""How one cell of the grid of heads is drawn: by colour, or without colours by sign and digit."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style

from headtorch.core.records import HeadId
from headtorch.tui.palette import STEPS, Palette, signed_step
from headtorch.tui.panes.figures import signed
from headtorch.tui.panes.head_view import HeadView

WIDTHS = (7, 3, 2, 1)  # columns of a cell; the widest holds the number
NEAR_ZERO = 0.06  # of the strongest: below it a cell is a dot
DOT, CANNOT, UNKNOWN, MINUS = "·", "×", "?", "−"


@dataclass(frozen=True)
class CellStyle:
    """What all cells of a grid share. `plain`: there are no colours to tell strengths by."""

    width: int
    palette: Palette
    plain: bool = False

    def draw(self, view: HeadView, head: HeadId, selected: bool) -> tuple[str, Style]:
        """The text of the head's cell, `width` columns, and its style."""
        share = view.share_of_scale(head)
        if share is None or abs(share) < NEAR_ZERO:
            mark = DOT if share is not None else CANNOT if view.reason(head) else UNKNOWN
            text, style = mark, self.palette.style("quiet" if mark != CANNOT else "line")
        elif self.plain:
            text, style = self._without_colour(view, head, share), self.palette.style("text")
        else:
            text, style = self._number(view, head, share), self.palette.signed_heat(share)
        if head in view.explained:
            style += Style(underline=True)
        return self._selected(text, style) if selected else (text.center(self.width), style)

    def _number(self, view: HeadView, head: HeadId, share: float) -> str:
        if self.width >= WIDTHS[0]:
            return signed(view.value(head))
        return MINUS if share < 0 else ""

    def _without_colour(self, view: HeadView, head: HeadId, share: float) -> str:
        return signed(view.value(head)) if self.width >= WIDTHS[0] else strength(share, self.width)

    def _selected(self, text: str, style: Style) -> tuple[str, Style]:
        if self.width == 1:
            return (text or " ") if self.plain else "◆", self._bright(style)
        if self.plain and self.width == 2:
            return text.center(2), self._bright(style)
        inner = text.center(self.width - 2) if self.width > 2 else ""
        return f"▌{inner}▐", self._bright(style)

    def _bright(self, style: Style) -> Style:
        if self.plain:
            return style + Style(reverse=True, bold=True)
        return style + Style(color=self.palette.bright, bold=True)


def strength(share: float, width: int = 2) -> str:
    """Sign and strength from 1 to 4 without colour: +3 and −3, in one column 3 and c."""
    level = abs(signed_step(share) - STEPS // 2 + (share < 0)) + 1
    if width == 1:
        return "abcd"[level - 1] if share < 0 else str(level)
    return f"{MINUS if share < 0 else '+'}{level}"
