"""One pane alone on the screen, with the workbench's colours and borders, and what it told the workbench."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rich.color import ColorSystem
from screens import screen_text
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget

from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.session import Session

SIZES = [(80, 24), (120, 36), (200, 50)]


class PaneStage(App[None]):
    """`told` holds the pane's own messages, oldest first."""

    ENABLE_COMMAND_PALETTE = False
    CSS = ".pane { border: round white; padding: 0; }"
    palette: Palette = CAVE

    def __init__(self, pane: Any, session: Session) -> None:
        super().__init__()
        self.pane, self.session, self.told = pane, session, list[Message]()

    def compose(self) -> ComposeResult:
        self.pane.add_class("pane")
        yield self.pane

    def on_mount(self) -> None:
        self.pane.show(self.session)
        self.pane.focus()


@asynccontextmanager
async def on_stage(
    pane: Widget, session: Session, size: tuple[int, int] = (120, 36), *, colours: bool = False
) -> AsyncIterator[tuple[PaneStage, Pilot[None]]]:
    """The app and its pilot. `colours`: as on a terminal with 16 million of them."""
    app = PaneStage(pane, session)
    told = app.told

    def hear(message: Message) -> bool:
        if type(message).__qualname__.startswith(type(pane).__name__):
            told.append(message)
        return Widget.post_message(pane, message)

    pane.post_message = hear  # type: ignore[method-assign]
    async with app.run_test(size=size) as pilot:
        if colours:
            app.console._color_system = ColorSystem.TRUECOLOR
            pane.refresh()
        await pilot.pause()
        yield app, pilot


def shown(app: App[Any]) -> str:
    """What stands on the screen; fails where a character reached it that a terminal would obey."""
    text = screen_text(app)
    assert not {c for c in text if (ord(c) < 32 and c != "\n") or c in "\x7f\x9b\u202e\u202a\u2066\u200b"}
    return text
