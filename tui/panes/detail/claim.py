"""The Claim tab: the context claim of the neuron and the claim about the selected head, side by side where both fit."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import NeuronId
from headtorch.tui.claims import verdict_sentence
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.context import context_lines
from headtorch.tui.panes.detail.drawing import title
from headtorch.tui.panes.detail.head_claim import head_claim_lines
from headtorch.tui.panes.flow import paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session

BESIDE = 100  # columns from which on the two claims stand side by side
_GAP = 3


def claim(session: Session, width: int, palette: Palette) -> list[Text]:
    """What is claimed about the neuron and about the head, then the verdict of a finished study."""
    neuron = session.selection.neuron
    if neuron is None:
        return [Text("No neuron is selected.", style=palette.style("quiet"))]
    if width < BESIDE:
        context = context_lines(session, neuron, width, palette)
        lines = [*context, Text(), *_head(session, neuron, width, palette)]
    else:
        half = (width - _GAP) // 2
        left, right = context_lines(session, neuron, half, palette), _head(session, neuron, half, palette)
        lines = _beside(left, right, half)
    verdict = _verdict(session, width, palette)
    return [*lines, Text(), *verdict] if verdict else lines


def head_line(session: Session, width: int, palette: Palette) -> int:
    """The line that the claim about the head begins on; 0 where it stands beside the other."""
    neuron = session.selection.neuron
    return 0 if neuron is None or width >= BESIDE else len(context_lines(session, neuron, width, palette)) + 1


def _head(session: Session, neuron: NeuronId, width: int, palette: Palette) -> list[Text]:
    head = session.selection.head
    if head is not None:
        return head_claim_lines(session, neuron, head, width, palette)
    said = f"No head is selected: {session.key('workbench.pane-3')} leads to the heads."
    return paragraph(said, width, palette.style("quiet"))


def _verdict(session: Session, width: int, palette: Palette) -> list[Text]:
    said = verdict_sentence(session)
    return [title("The study", palette), *paragraph(said, width, palette.style("text"))] if said else []


def _beside(left: list[Text], right: list[Text], width: int) -> list[Text]:
    lines = []
    for one, other in zip_longest(left, right, fillvalue=Text()):
        line = one.copy()
        line.append(" " * (width - line.cell_len + _GAP))
        line.append_text(other)
        line.rstrip()
        lines.append(line)
    return lines
