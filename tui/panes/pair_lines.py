"""Matched pairs drawn: both texts of a pair on one line, and one pair in full with what each head did."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from headtorch.core.records import HeadId
from headtorch.core.text import visible
from headtorch.tui.pairs import MatchedPair, PairedPlace
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import signed_bar
from headtorch.tui.panes.figures import percent
from headtorch.tui.widgets.cells import Piece, crop, fit, number
from headtorch.tui.widgets.wrapping import wrap

HOLDS, FAILS = "●", "○"  # whether the rule holds at a place
WRONG = "✗"  # the rule is wrong about one of the two
FRONT = 2  # cells of the cursor and of the mark
_ACTIVATION = 6
_MIDDLE = " │ "
_BLOCK = 38  # columns from which on a head's shares have room for bars
TEXT_LINES = 2


def pair_line(pair: MatchedPair, width: int, palette: Palette, selected: bool) -> Text:
    """`▸✗ 2.55 ● …text up to p │ 0.02 ○ …text up to p`, each text ending at the edge of its half."""
    text = Text("▸" if selected else " ", palette.style("bright", bold=True))
    text.append(" " if pair.is_right else WRONG, palette.style("warning", bold=True))
    for at, place in enumerate((pair.on, pair.off)):
        if at:
            text.append(_MIDDLE, palette.style("quiet"))
        _place(text, place, text_cells(width), palette, selected)
    return text


def text_cells(width: int) -> int:
    """Cells of each of the two texts."""
    return max(4, (width - FRONT - len(_MIDDLE)) // 2 - _ACTIVATION - 3)


def pair_header(width: int, palette: Palette) -> Text:
    """The names of the columns."""
    half = _ACTIVATION + 3 + text_cells(width)
    line = " " * FRONT + fit("   act   fires here", half) + _MIDDLE + fit("   act   off here: its matched place", half)
    return Text(line, palette.style("quiet"))


def _place(text: Text, place: PairedPlace, room: int, palette: Palette, selected: bool) -> None:
    text.append(number(place.activation, _ACTIVATION), palette.style("bright" if selected else "text"))
    text.append(f" {HOLDS if place.holds else FAILS} ", palette.style("bright" if place.holds else "quiet"))
    pieces = _pieces(place, palette)
    total = sum(cell_len(word) for word, _ in pieces)
    shown = [(" " * (room - total), Style()), *pieces] if total <= room else crop(pieces, total - room + 1, total)
    if total > room:
        text.append("…", palette.style("quiet"))
    for piece in shown:
        text.append(*piece)


def _pieces(place: PairedPlace, palette: Palette) -> list[Piece]:
    plain, firing = palette.style("text"), palette.style("bright", bold=True, underline=True)
    last = len(place.tokens) - 1
    return [(visible(token), firing if at == last else plain) for at, token in enumerate(place.tokens)]


def pair_in_full(pair: MatchedPair, heads: Sequence[HeadId], width: int, palette: Palette) -> list[Text]:
    """Both texts, then what each head took and restored of the pair's difference."""
    lines = [*_text("fires", pair.on, width, palette), *_text("off", pair.off, width, palette), Text()]
    lines += _shares(pair, heads, width, palette)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _text(name: str, place: PairedPlace, width: int, palette: Palette) -> list[Text]:
    quiet = palette.style("quiet")
    rule = "rule holds" if place.holds else "rule does not hold"
    about = f"  {HOLDS if place.holds else FAILS} {rule}  ·  {visible(place.title)}, at {place.position:,}"
    head = Text(name.ljust(6), palette.style("bright", bold=True)).append(
        number(place.activation, 6), palette.style("text")
    )
    head.append(about, quiet)
    styles = [style for _, style in _pieces(place, palette)]
    lines = []
    for pieces in wrap(place.tokens, max(8, width - 2)).lines[-TEXT_LINES:]:
        line = Text("  ")
        for at, piece in pieces:
            line.append(piece, styles[at])
        lines.append(line)
    return [head, *lines]


def _shares(pair: MatchedPair, heads: Sequence[HeadId], width: int, palette: Palette) -> list[Text]:
    """Two columns of heads where there is room."""
    columns = 2 if width >= 2 * _BLOCK and len(heads) > 1 else 1
    each = width // columns
    known = [(head, share, back) for head, share, back in zip(heads, pair.taken, pair.restored, strict=False)]
    if not known:
        return [Text("What heads did was not measured on this pair.", palette.style("quiet"))]
    top = max((abs(share) for _, share, _ in known if share is not None), default=0.0)
    rows = -(-len(known) // columns)
    header = Text(fit(f"{'head':8}{'takes':>6}{'restores':>10}", each) * columns, palette.style("quiet"))
    scale = top, all(share is None or share >= 0 for _, share, _ in known)
    blocks = [
        [_share(*one, scale, each, palette) for one in known[at * rows : (at + 1) * rows]] for at in range(columns)
    ]
    lines = [header]
    for row in zip_longest(*blocks):
        line = Text()
        for cell in row:
            line.append_text(cell if cell is not None else Text())
        lines.append(line)
    return lines


def _share(
    head: HeadId, share: float | None, back: float | None, scale: tuple[float, bool], width: int, palette: Palette
) -> Text:
    """A head's row; `scale`: the largest share, and whether none is negative."""
    top, one_sided = scale
    text = Text(fit(str(head), 8), palette.style("bright"))
    text.append(percent(share).rjust(6), palette.style("text")).append(percent(back).rjust(10), palette.style("quiet"))
    half = (width - 24 - 5) // (1 if one_sided else 2)
    if half >= 3:
        bar = signed_bar(share, top, min(16, half), palette, ("negative", "lamp"), one_sided=one_sided)
        text.append("  ").append_text(bar)
    text.append(" " * max(0, width - text.cell_len))
    return text
