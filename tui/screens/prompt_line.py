"""A line to type in at the bottom of the screen: for a filter, a search, an address or a pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, Static

from headtorch.core.errors import InputError
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.widgets.entry import Entry

Read = TypeVar("Read")


@dataclass(frozen=True)
class Suggestion:
    """What Tab puts on the line, and what is said about it."""

    text: str
    about: str = ""


class LineScreen(Dialog["Read | None"], Generic[Read]):
    """Enter reads the line and returns what it says, or shows in a sentence why not; Esc returns None.

    Up and down walk through the suggestions, Enter takes the one walked to, Tab puts it on the line to go on from.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("line")]
    DEFAULT_CSS = """
    LineScreen { align: left bottom; background: transparent; }
    LineScreen > Vertical { height: auto; background: $ht-surface; color: $ht-text; }
    LineScreen #suggestions, LineScreen #problem { height: auto; padding: 0 1; }
    LineScreen #suggestions { text-wrap: nowrap; text-overflow: ellipsis; }
    LineScreen #problem { color: $ht-warning; }
    LineScreen Horizontal { height: 1; padding: 0 1; }
    LineScreen Label { width: auto; max-width: 50%; height: 1; color: $ht-quiet; margin-right: 1; }
    LineScreen Entry { width: 1fr; }
    """

    def __init__(self, title: str, initial: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._title, self._initial, self._placeholder = title, initial, placeholder
        self._suggestions: list[Suggestion] = []
        self._chosen: int | None = None

    def read_line(self, text: str) -> Read:
        """What the text says. Raises InputError with a sentence for the user."""
        raise NotImplementedError

    def suggest(self, text: str) -> list[Suggestion]:
        """A few things that the text may become."""
        return []

    def changed(self, text: str) -> None:
        """Called for every change of the text."""

    def compose(self) -> ComposeResult:
        """Suggestions, the problem, and the line at the very bottom."""
        with Vertical():
            yield Static(id="suggestions")
            yield Static(id="problem")
            with Horizontal():
                yield Label(Text(visible(self._title)))
                yield Entry(self._initial, placeholder=self._placeholder)

    def on_mount(self) -> None:
        """The line is ready at once."""
        self.query_one(Entry).focus()
        self.say_problem("")
        self._suggest_for(self._initial)

    def on_input_changed(self, event: Input.Changed) -> None:
        """New text: other suggestions, no problem yet."""
        self.say_problem("")
        self._suggest_for(event.value)
        self.changed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        text = event.value if self._chosen is None else self._suggestions[self._chosen].text
        try:
            self.dismiss(self.read_line(text))
        except InputError as error:
            self.say_problem(str(error))

    def say_problem(self, sentence: str) -> None:
        """What is wrong with the text, above the line; empty where nothing is."""
        shown = self.query_one("#problem", Static)
        shown.display = bool(sentence)
        shown.update(Text(f"✗ {visible(sentence)}"))

    def action_cancel(self) -> None:
        """Esc."""
        self.dismiss(None)

    def action_suggestion(self, step: int) -> None:
        """Walk through the suggestions; beyond either end stands the line itself."""
        places = [None, *range(len(self._suggestions))]
        self._chosen = places[(places.index(self._chosen) + step) % len(places)]
        self._draw_suggestions()

    def action_complete(self) -> None:
        """The suggestion walked to, or the first, comes on the line."""
        if self._suggestions:
            entry = self.query_one(Entry)
            entry.value = self._suggestions[self._chosen or 0].text
            entry.cursor_position = len(entry.value)

    def _suggest_for(self, text: str) -> None:
        self._suggestions, self._chosen = self.suggest(text), None
        self._draw_suggestions()

    def _draw_suggestions(self) -> None:
        palette: Palette = getattr(self.app, "palette", CAVE)
        width = max((Text(visible(s.text)).cell_len for s in self._suggestions), default=0)
        lines = []
        for i, suggestion in enumerate(self._suggestions):
            chosen = i == self._chosen
            line = Text("▸ " if chosen else "  ", palette.style("bright"))
            word = Text(visible(suggestion.text), palette.style("bright" if chosen else "text", bold=chosen))
            word.pad_right(width - word.cell_len)
            line.append_text(word).append(f"  {visible(suggestion.about)}", palette.style("quiet"))
            lines.append(line)
        shown = self.query_one("#suggestions", Static)
        shown.display = bool(lines)
        shown.update(Text("\n").join(lines))


class PromptLine(LineScreen[str]):
    """A line of text. `validate` says in a sentence what is wrong with it, or None; `on_change` hears every change."""

    def __init__(
        self,
        title: str,
        initial: str = "",
        placeholder: str = "",
        on_change: Callable[[str], None] | None = None,
        validate: Callable[[str], str | None] | None = None,
    ) -> None:
        super().__init__(title, initial, placeholder)
        self._on_change, self._validate = on_change, validate

    def read_line(self, text: str) -> str:
        """The text itself. Raises InputError with the sentence of `validate`."""
        problem = self._validate(text) if self._validate is not None else None
        if problem is not None:
            raise InputError(problem)
        return text

    def changed(self, text: str) -> None:
        """Tell whoever listens."""
        if self._on_change is not None:
            self._on_change(text)
