"""The Sources tab: what each token of the selected prompt gave to the head's attribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from rich.text import Text

from headtorch.core.engine.protocol import ShadePrompts, Shading
from headtorch.core.records import HeadId
from headtorch.core.text import visible_token
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact, signed_bar
from headtorch.tui.panes.detail.unexplained import failure, nothing_yet
from headtorch.tui.panes.figures import fixed, percent, signed
from headtorch.tui.panes.flow import flow, paragraph, tail

if TYPE_CHECKING:
    from headtorch.tui.session import Session

_COLUMNS = (7, 9, 8, 8)  # back, gave, attention, activation


def sources(session: Session, width: int, palette: Palette) -> list[Text]:
    """The tokens of the selected prompt, the largest in size first; with the rest they sum to the attribution."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None or head is None:
        return [Text("No head is selected.", style=palette.style("quiet"))]
    if reason := nothing_yet(session, neuron, head):
        return paragraph(reason, width, palette.style("quiet"))
    shading, prompt = session.shading(), session.selection.prompt
    if not _tells(shading, head, prompt):
        if _tells(recorded := session.recorded(), head, prompt):
            return [*_recorded(recorded, prompt, width, palette), Text(), *_table(recorded, prompt, width, palette)]
        if failed := failure(session, ShadePrompts, neuron, head):
            return paragraph(f"What the tokens gave is not known: {failed}", width, palette.style("warning"))
        asked = session.requests.is_waiting(ShadePrompts)
        said = "Asking the engine …" if asked else "What the tokens gave is not known: the engine has not said it."
        return paragraph(said, width, palette.style("quiet"))
    return [*_sums(session, shading, prompt, width, palette), Text(), *_table(shading, prompt, width, palette)]


def _tells(shading: Shading | None, head: HeadId, prompt: int) -> TypeGuard[Shading]:
    """Whether it says what the tokens of this prompt gave to this head."""
    return shading is not None and shading.head == head and any(shading.sources[prompt : prompt + 1])


def _recorded(shading: Shading, prompt: int, width: int, palette: Palette) -> list[Text]:
    shown = fact("prompt", str(prompt + 1), palette, strong=True)
    said = f"As recorded: each token's share of all that {shading.head} took, in size; the rest came from before."
    return [*flow([shown], width), *paragraph(said, width, palette.style("quiet"))]


def _sums(session: Session, shading: Shading, prompt: int, width: int, palette: Palette) -> list[Text]:
    given, rest = sum(shading.sources[prompt]), _at(shading.elsewhere, prompt)
    facts = [
        fact("prompt", str(prompt + 1), palette, strong=True),
        fact("Σ tokens", signed(given), palette),
        fact("+ elsewhere", signed(rest), palette),
        fact(f"= A({shading.head})", signed(given + (rest or 0.0)), palette, strong=True),
    ]
    probability, row = _at(shading.probability, prompt), session.row()
    if probability is not None and row is not None:
        facts.append(fact(f"p({visible_token(row.token)} | shown)", fixed(probability), palette))
    return flow(facts, width)


def _table(shading: Shading, prompt: int, width: int, palette: Palette) -> list[Text]:
    tokens, given = shading.tokens[prompt], shading.sources[prompt]
    attention, activation = _row(shading.attention, prompt), _row(shading.activation, prompt)
    name = max(8, min(18, width - sum(_COLUMNS) - 12))
    positive = all(value >= 0 for value in given)
    half = max(0, min(24 if positive else 14, (width - name - sum(_COLUMNS) - 3) // (1 if positive else 2)))
    shown = 4 if width >= name + sum(_COLUMNS) else 3
    in_shares = not shading.elsewhere
    heads = ("back", "share" if in_shares else "gave", "attends", "fires")[:shown]
    header = "token".ljust(name) + "".join(word.rjust(room) for word, room in zip(heads, _COLUMNS, strict=False))
    lines = [Text(header, style=palette.style("quiet"))]
    order = sorted(range(min(len(tokens), len(given))), key=lambda i: -abs(given[i]))
    top = abs(given[order[0]]) if order else 0.0
    for i in order:
        token = tail(visible_token(tokens[i]), name - 1)
        text = Text(token, style=palette.style("token"))
        text.append(" " * (name - text.cell_len))
        back = "here" if i == len(tokens) - 1 else f"−{len(tokens) - 1 - i}"
        gave = percent(given[i]) if in_shares else fixed(given[i], sign=True)
        cells = (back, gave, percent(_at(attention, i)), fixed(_at(activation, i)))
        colours = ("quiet", "text", "quiet", "quiet")
        for cell, room, colour in list(zip(cells, _COLUMNS, colours, strict=True))[:shown]:
            text.append(cell.rjust(room), palette.style(colour))
        if half >= 3:
            bar = signed_bar(given[i], top, half, palette, ("negative", "lamp"), one_sided=positive)
            text.append("  ").append_text(bar)
        lines.append(text)
    return lines


def _at(values: Sequence[float], index: int) -> float | None:
    return values[index] if index < len(values) else None


def _row(rows: Sequence[Sequence[float]], index: int) -> Sequence[float]:
    return rows[index] if index < len(rows) else ()
