"""A list whose lines can be marked: formats to write, studies to compare."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.message import Message

from headtorch.tui.keymap import bindings
from headtorch.tui.picking.lists import PickList, Row

MARK = "●"


class MarkedList(PickList):
    """Marks stay with their rows when the list is filled anew."""

    class Marked(Message):
        """Other lines are marked than before."""

        def __init__(self, list: MarkedList) -> None:
            super().__init__()
            self.list = list

    def __init__(self, empty: str, id: str) -> None:
        super().__init__(empty, id)
        self.marks: set[str] = set()

    @property
    def marked(self) -> list[Row]:
        """The marked rows, in their order."""
        return [row for row in self.rows if row.value in self.marks]

    def action_mark(self) -> None:
        """Mark the line of the cursor, or take the mark away; one that is wrong says so instead."""
        row = self.chosen
        if row is None:
            return
        if row.wrong:
            self.app.notify(row.detail, markup=False, severity="warning", timeout=8)
            return
        self.marks ^= {row.value}
        self.redraw()
        self.post_message(self.Marked(self))

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """The row behind its mark."""
        on = self.rows[index].value in self.marks
        line = super().draw_line(index, width, selected)
        return line[:1].append(MARK if on else " ", self.palette.style("bright", bold=on)).append_text(line[2:])


class StudyList(MarkedList):
    """Studies: Enter takes one, and the marked ones can be compared."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "studies")]

    class Compare(Message):
        """These studies are to be put side by side."""

        def __init__(self, studies: list[str]) -> None:
            super().__init__()
            self.studies = studies

    def action_compare(self) -> None:
        """Compare the marked studies."""
        self.post_message(self.Compare([row.value for row in self.marked]))


class FormatList(MarkedList):
    """Formats with boxes to mark, and behind each what it is for, or why it cannot be had."""

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """Box, name, purpose."""
        row, palette = self.rows[index], self.palette
        on, here = row.value in self.marks, selected and self.has_focus
        names = max(len(one.name) for one in self.rows)
        return Text.assemble(
            ("▸ " if selected else "  ", palette.style("bright" if here else "quiet")),
            (f"[{'x' if on else ' '}] ", palette.style("bright" if on else "quiet", bold=on)),
            (f"{row.name:<{names}}   ", palette.style("bright" if here or on else "text", bold=here)),
            (row.detail, palette.style("warning" if row.wrong else "quiet")),
        )

    def on_click(self, event: events.Click) -> None:
        """A click marks; in other lists a second one would choose."""
        event.prevent_default()
        place = event.get_content_offset(self)
        if place is not None and place.y + self.scroll_offset.y < self.line_count():
            self.cursor = place.y + self.scroll_offset.y
            self.action_mark()
