"""Heads taken away together: the grid of synergies, its pairs with intervals, and what they do jointly."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text

from headtorch.core.causes import Cooperation, PairSynergy, Synergy
from headtorch.core.records import HeadId, Interval
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.figures import MISSING, signed, small
from headtorch.tui.panes.flow import flow, paragraph

GLYPHS = {"cooperation": "∧", "redundancy": "∨", "neither": "·", "untested": "?"}
_CELL = 10


def together(found: Cooperation, head: HeadId | None, quantity: str, width: int, palette: Palette) -> list[Text]:
    """Synergies on the neuron and on log p, beside each other where there is room."""
    quiet = palette.style("quiet")
    lines = flow([Text(f"{found.n} prompts, {found.replacement}, {found.donors} donors", style=quiet)], width)
    for synergy in found.synergies:
        if synergy.quantity in (quantity, "log_p"):
            lines += [*_one(synergy, head, width, palette)]
    if (variety := found.variety) is not None:
        more = "more than" if variety.p < 0.05 else "no more than"
        words = (
            f"Different heads for different contexts, {more} selection by the sum alone makes: variety "
            f"{small(variety.variety)}, by chance {small(variety.null_mean)} ({_between(variety.null)}), "
            f"p {small(variety.p)}."
        )
        lines += paragraph(words, width, palette.style("text"))
    legend = (
        "I = e(A) + e(B) − e(A and B): ∧ they need each other, ∨ they stand in for each other, · neither, ? untested"
    )
    return [*lines, *paragraph(legend, width, quiet)]


def _one(synergy: Synergy, head: HeadId | None, width: int, palette: Palette) -> list[Text]:
    quiet, text = palette.style("quiet"), palette.style("text")
    name = "log p" if synergy.quantity == "log_p" else synergy.quantity.replace("_", "-")
    lines = [Text(), Text(f"on the {name}" if name != "log p" else "on log p", style=palette.style("bright"))]
    lines += _grid(synergy, head, width, palette)
    chosen = [pair for pair in synergy.pairs if head in (pair.first, pair.second)]
    for pair in chosen or synergy.pairs[:3]:
        lines += flow(_pair(pair, palette), width)
    joint = " ".join(signed(value) for value in synergy.joint)
    pieces = [
        Text.assemble(("strongest 1, 2, … together ", quiet), (joint, text)),
        fact("sum of single effects", signed(synergy.sum), palette),
    ]
    return [*lines, *flow(pieces, width)]


def _grid(synergy: Synergy, head: HeadId | None, width: int, palette: Palette) -> list[Text]:
    """Below the diagonal I with its glyph, on it the head's own effect; as many columns as fit."""
    heads = [one.head for one in synergy.heads]
    fit = max(1, min(len(heads), (width - 7) // _CELL))
    pairs = {frozenset((pair.first, pair.second)): pair for pair in synergy.pairs}
    line = Text(" " * 7, style=palette.style("quiet"))
    for one in heads[:fit]:
        line.append(str(one).rjust(_CELL), _of(one, head, palette))
    lines = [line]
    for row, one in enumerate(heads):
        line = Text(str(one).ljust(7), style=_of(one, head, palette))
        for other in heads[: min(row + 1, fit)]:
            if other == one:
                line.append(signed(synergy.heads[row].effect).rjust(_CELL), palette.style("quiet"))
            elif (pair := pairs.get(frozenset((one, other)))) is not None:
                line.append(f"{signed(pair.synergy)} {GLYPHS[pair.reading]}".rjust(_CELL), _colour(pair, palette))
        lines.append(line)
    return lines


def _of(one: HeadId, head: HeadId | None, palette: Palette) -> Style:
    return palette.style("bright", bold=True) if one == head else palette.style("quiet")


def _colour(pair: PairSynergy, palette: Palette) -> Style:
    told = pair.reading in ("cooperation", "redundancy")
    return palette.style("lamp" if pair.synergy > 0 else "negative", bold=True) if told else palette.style("text")


def _pair(pair: PairSynergy, palette: Palette) -> list[Text]:
    name = f"{pair.first} and {pair.second}"
    return [
        fact(name, f"{signed(pair.synergy)} [{_between(pair.interval)}]", palette, strong=True),
        fact("", pair.reading, palette),
        fact("p", small(pair.p), palette),
        fact("by chance", _between(pair.null), palette),
    ]


def _between(interval: Interval | None) -> str:
    return MISSING if interval is None else f"{signed(interval.low)} to {signed(interval.high)}"
