"""Bars, intervals and facts, drawn with characters: sign and size show without colours."""

from __future__ import annotations

from rich.text import Text

from headtorch.core.records import Interval, Prompt
from headtorch.core.text import visible, visible_token
from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import MISSING
from headtorch.tui.panes.flow import tail

ACTIVE, INACTIVE = "●", "○"


def fact(name: str, value: str, palette: Palette, *, strong: bool = False, style: str = "text") -> Text:
    """A name in quiet and its value: "F1 0.81"."""
    colour = palette.style("bright", bold=True) if strong else palette.style("quiet" if value == MISSING else style)
    return Text.assemble((f"{name} " if name else "", palette.style("quiet")), (value, colour))


def title(text: str, palette: Palette) -> Text:
    """What stands above a group of lines."""
    return Text(text, style=palette.style("bright", bold=True))


def signed_bar(
    value: float | None, top: float, half: int, palette: Palette, colours: tuple[str, str], *, one_sided: bool = False
) -> Text:
    """A bar of at most `half` columns to the left (negative) or right of a line; `colours`: negative, positive.

    `one_sided`: nothing is negative, and there is no left.
    """
    halves = 0 if not value or not top else max(1, round(min(1.0, abs(value) / top) * 2 * half))
    full, rest = divmod(halves, 2)
    left, right = "" if one_sided else " " * half, " " * half
    if value is not None and value < 0:
        left = ("▐" * rest + "█" * full).rjust(half)
    else:
        right = ("█" * full + "▌" * rest).ljust(half)
    negative, positive = colours
    return Text.assemble(
        (left, palette.style(negative)), ("│", palette.style("quiet")), (right, palette.style(positive))
    )


def interval_plot(value: float, interval: Interval | None, width: int, palette: Palette) -> Text:
    """A score from 0 to 1: ● the value, ━ its interval, ┼ chance at 0.5."""
    last = width - 1
    low, high = (interval.low, interval.high) if interval is not None else (value, value)
    chance, at = round(last / 2), round(min(1.0, max(0.0, value)) * last)
    text = Text()
    for x in range(width):
        edge = "├" if x == 0 else "┤" if x == last else "┼" if x == chance else "─"
        inside = round(low * last) <= x <= round(high * last)
        mark = "●" if x == at else "┿" if inside and x == chance else "━" if inside else edge
        text.append(mark, palette.style("bright", bold=True) if inside or x == at else palette.style("quiet"))
    return text


def context_line(prompt: Prompt, room: int, palette: Palette) -> Text:
    """The end of a prompt with its firing token underlined, and the token that follows."""
    tokens = prompt.document_tokens
    before, firing = visible("".join(tokens[:-1])), visible("".join(tokens[-1:]))
    follows = "end" if prompt.next_token is None else visible_token(prompt.next_token)
    after = tail(follows, max(1, room // 3))
    firing = tail(firing, max(1, room - len(after) - 4))
    firing_style = palette.style("bright", bold=True, underline=True)
    text = Text(firing, style=firing_style)
    left = room - text.cell_len - Text(after).cell_len - 3
    shown = Text(tail(before, left) if left > 1 else "", style=palette.style("text")).append_text(text)
    next_style = palette.style("quiet" if prompt.next_token is None else "token")
    return shown.append(" → ", palette.style("quiet")).append(after, next_style)
