"""A field with a few values: left and right go through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from headtorch.core.text import visible
from headtorch.tui.keymap import bindings
from headtorch.tui.palette import CAVE, Palette


class Choice(Widget, can_focus=True):
    """One of `values`, drawn between arrows when it has the focus; `about` is said behind it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("choice")]
    DEFAULT_CSS = "Choice { height: 1; width: 1fr; } Choice:focus { background: $ht-surface; }"

    class Changed(Message):
        """Another value."""

    def __init__(self, values: Sequence[str], value: str, id: str) -> None:
        super().__init__(id=id)
        self.values, self.value, self.about = list(values), value, ""
        if value not in self.values:
            self.values.append(value)

    def offer(self, values: Sequence[str], about: str = "") -> None:
        """Other values; the present one stays among them."""
        self.values = [*values, *([self.value] if self.value not in values else [])]
        self.about = about
        self.refresh()

    def render(self) -> Text:
        palette: Palette = getattr(self.app, "palette", CAVE)
        value = palette.style("bright" if self.has_focus else "text", bold=self.has_focus)
        arrows = palette.style("bright" if self.has_focus else "quiet")
        line = (
            Text("‹ ", arrows, no_wrap=True, overflow="ellipsis")
            .append(visible(self.value), value)
            .append(" ›", arrows)
        )
        return line.append(f"  {visible(self.about)}", palette.style("quiet"))

    def action_step(self, step: int) -> None:
        """The next value or the one before, round and round."""
        self.value = self.values[(self.values.index(self.value) + step) % len(self.values)]
        self.refresh()
        self.post_message(self.Changed())

    def on_click(self) -> None:
        """A click is a step."""
        self.action_step(1)
