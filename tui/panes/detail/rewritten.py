"""Rewritten texts: a held-out text as it is, with the edit that makes the rule false, and with the placebo edit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from headtorch.core.claims import EditedToken, Rewriting, RewrittenText
from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import fixed
from headtorch.tui.widgets.cells import Piece, crop

OPEN, CLOSE = "«", "»"  # round a new token: rarer in texts than brackets
_NUMBER = 8  # cells of an activation
_NAME = 9


def rewritten_lines(one: RewrittenText, kind: str, width: int, palette: Palette) -> list[Text]:
    """Three lines aligned at the firing token: the text, the edit in «quotes», the placebo edit in «quotes»."""
    room = max(8, width - _NUMBER - _NAME)
    edits = {edit.index: edit for edit in one.edited}
    lines = [
        _line("text", one.activation, _pieces(one.tokens, {}, edits, kind, palette), room, palette),
        _line("edited", one.edited_activation, _pieces(one.tokens, edits, (), kind, palette), room, palette),
    ]
    if one.placebo_activation is not None:
        placebo = {edit.index: edit for edit in one.placebo}
        pieces = _pieces(one.tokens, placebo, (), kind, palette)
        lines.append(_line("placebo", one.placebo_activation, pieces, room, palette))
    return lines


def examples(rewriting: Rewriting | None, most: int, width: int, palette: Palette) -> list[Text]:
    """The first rewritten texts, with a blank line in front of each."""
    if rewriting is None:
        return []
    shown = rewriting.examples[:most]
    return [line for one in shown for line in [Text(), *rewritten_lines(one, rewriting.kind, width, palette)]]


def _line(name: str, activation: float, pieces: list[tuple[Piece, bool]], room: int, palette: Palette) -> Text:
    quiet = palette.style("quiet")
    text = Text(name.ljust(_NAME), style=quiet)
    text.append(fixed(activation).rjust(_NUMBER - 2) + "  ", palette.style("text"))
    for piece in _in_view(pieces, room, quiet):
        text.append(*piece)
    return text


def _pieces(
    tokens: list[str], edits: Mapping[int, EditedToken], marked: Collection[int], kind: str, palette: Palette
) -> list[tuple[Piece, bool]]:
    """Each token with its style and whether it is edited; the last is the one that the neuron is read at."""
    plain, firing = palette.style("text"), palette.style("bright", bold=True, underline=True)
    new = palette.style("token", bold=True, underline=True)
    pieces: list[tuple[Piece, bool]] = []
    for index, token in enumerate(tokens):
        shown = visible(token)
        edit = edits.get(index)
        if edit is not None:
            pieces.append(((_bracketed(edit.token), new), True))
            if kind == "replace":
                continue
        elif index in marked:
            pieces.append(((shown, plain + Style(underline=True, bold=True)), True))
            continue
        pieces.append(((shown, firing if index == len(tokens) - 1 else plain), False))
    return pieces


def _bracketed(token: str) -> str:
    shown = visible(token)
    bare = shown.lstrip(" ")
    return f"{shown[: len(shown) - len(bare)]}{OPEN}{bare}{CLOSE}"


def _in_view(pieces: list[tuple[Piece, bool]], room: int, cut: Style) -> list[Piece]:
    """The end of the text in exactly `room` cells; where an edit lies before that, the text from there on."""
    cells = [cell_len(text) for (text, _), _ in pieces]
    total = sum(cells)
    if total <= room:
        return [(" " * (room - total), cut), *(piece for piece, _ in pieces)]
    edited = next((at for at, (_, is_edited) in enumerate(pieces) if is_edited), None)
    start = total - room + 1
    first = start if edited is None else min(start, max(0, sum(cells[:edited]) - 1))
    plain = [piece for piece, _ in pieces]
    if first == start:
        return [("…", cut), *crop(plain, start, total)]
    shown = crop(plain, first, first + room - 2)
    return [("…", cut), *shown, ("…", cut)]
