"""A bare app to test a screen on: the theme's variables, the palette and nothing else."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from screens import screen_lines
from textual.app import App
from textual.screen import Screen

from headtorch.tui.palette import CAVE, Palette

HOSTILE = "[red]x[/INST] \x1b]0;pwned\x07 \u202eabc"
SIZES = [(80, 24), (120, 36)]


class Stage(App[None]):
    """Opens the screen given and remembers what it returned."""

    ENABLE_COMMAND_PALETTE = False
    palette: Palette = CAVE

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self.first, self.returned = screen, []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        names = ("background", "surface", "line", "text", "quiet", "bright", "lamp", "token", "negative", "warning")
        return {f"ht-{name}": getattr(CAVE, name) for name in names}

    def on_mount(self) -> None:
        self.push_screen(self.first, self.returned.append)


def lines_of(app: App[Any]) -> list[str]:
    """What stands on the screen, line by line, without blanks at the ends."""
    return [line.rstrip() for line in screen_lines(app)]


def text_of(app: App[Any]) -> str:
    """What stands on the screen; fails where a character reached it that a terminal would obey."""
    text = "\n".join(lines_of(app))
    assert not {c for c in text if (ord(c) < 32 and c != "\n") or c in "\x7f\u202e\u202a\u2066"}
    return text


def in_terminal(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an asynchronous test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))  # type: ignore[arg-type]

    return run
