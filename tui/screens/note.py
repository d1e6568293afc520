"""A note about the study, a neuron or a head."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content

from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.widgets.area import Area


class NoteScreen(Dialog["str | None"]):
    """Returns the text, however it is left: a note is saved at once and an empty one is taken away."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("note")]
    DEFAULT_CSS = """
    NoteScreen { align: center middle; background: transparent; }
    NoteScreen > Vertical {
        width: 90%; max-width: 90; height: 60%; min-height: 10; max-height: 24;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface;
    }
    NoteScreen Area { height: 1fr; }
    """

    def __init__(self, subject: str, text: str = "") -> None:
        super().__init__()
        self._subject, self._before = subject, text

    def compose(self) -> ComposeResult:
        """The text, and above it what it is about."""
        with Vertical():
            yield Area(self._before, placeholder="What did you see? An empty note is taken away.")

    def on_mount(self) -> None:
        """The end of the text is where one goes on."""
        box, area = self.query_one(Vertical), self.query_one(Area)
        box.border_title = Content(visible(f"Note on {self._subject}"))
        box.border_subtitle = Content(f"{key_of('note.save', self.app._keymap)} saves and closes")
        area.focus()
        area.move_cursor(area.document.end)
        self._shown = area.text

    @property
    def subject(self) -> str:
        """What the note is about."""
        return self._subject

    def text(self) -> str:
        """The note as it stands; what was not changed comes back as it was."""
        text = self.query_one(Area).text
        return self._before if text == self._shown else text.strip()

    def action_save(self) -> None:
        """Return the text."""
        self.dismiss(self.text())
