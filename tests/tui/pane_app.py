"""A bare app with one pane over a session, for tests: it hears the pane's messages and draws when told."""

from __future__ import annotations

from typing import Any, ClassVar

from stage import Stage
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from headtorch.tui.session import Session
from headtorch.tui.widgets.lines import Lines

SIZES = ((80, 24), (120, 36), (200, 50))


class PaneScreen(Screen[None]):
    """Holds the pane and does for it what the workbench does: choices reach the session."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, pane: Any, session: Session) -> None:
        super().__init__()
        self.pane, self.session = pane, session

    def compose(self) -> ComposeResult:
        self.pane.add_class("pane")
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()
        self.pane.show(self.session)


class PaneApp(Stage):
    """`heard` holds the pane's own messages in order."""

    CSS = """
    .pane { border: round $ht-line; border-subtitle-align: right; background: $ht-background; }
    """

    def __init__(self, pane: Widget, session: Session) -> None:
        super().__init__(PaneScreen(pane, session))
        self.pane: Any = pane
        self.session = session
        self.heard: list[Message] = []

    def show(self) -> None:
        """What the workbench does when something changed."""
        self.pane.show(self.session)

    def moves(self) -> list[int]:
        """The lines that the user moved to."""
        return [message.index for message in self.heard if isinstance(message, Lines.Moved)]

    def said(self) -> list[str]:
        """What it was notified of."""
        return [notification.message for notification in self._notifications]

    def hear(self, message: Message) -> None:
        self.heard.append(message)

    def on_lines_moved(self, message: Lines.Moved) -> None:
        self.hear(message)

    def on_lines_chosen(self, message: Lines.Chosen) -> None:
        self.hear(message)

    def on_neurons_pane_filter_wanted(self, message: Message) -> None:
        self.hear(message)

    def on_neurons_pane_all_wanted(self, message: Message) -> None:
        self.hear(message)

    def on_prompts_pane_search_wanted(self, message: Message) -> None:
        self.hear(message)
