"""The Notes tab: what the researcher wrote about the neuron, the head on it, the head, and the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.study.notes import subject_of
from headtorch.tui.noting import present_subject
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import title
from headtorch.tui.panes.flow import paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def notes(session: Session, width: int, palette: Palette) -> list[Text]:
    """The notes that are there, the most particular first, and how to write one."""
    neuron, head = session.selection.neuron, session.selection.head
    subjects = [subject_of(neuron, head), subject_of(neuron), subject_of(None, head), subject_of()]
    lines: list[Text] = []
    for subject in dict.fromkeys(subjects):
        if text := session.notes.notes.get(subject):
            lines += [title(_heading(subject), palette), *_written(text, width, palette), Text()]
    if not lines:
        lines = [Text("No notes here yet.", style=palette.style("quiet")), Text()]
    present = present_subject(session)
    about = "the study" if present == subject_of() else present.replace(" ", ", ")
    how = f"n writes a note about {about}: about the neuron from panes 1 and 2, about the head on it from 3 and 4. "
    return lines + paragraph(how + "Notes are saved at once and stand in the report.", width, palette.style("quiet"))


def _written(text: str, width: int, palette: Palette) -> list[Text]:
    style = palette.style("text")
    return [line for part in text.splitlines() for line in paragraph(part, width, style, indent=2) or [Text()]]


def _heading(subject: str) -> str:
    parts = subject.split()
    return f"{parts[1]} on {parts[0]}" if len(parts) == 2 else subject
