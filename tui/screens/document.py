"""A whole document at the place where a neuron fires."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer

from headtorch.core.engine.protocol import DocumentText
from headtorch.core.records import Prompt
from headtorch.core.text import visible
from headtorch.tui.clipboard import copy
from headtorch.tui.keymap import bindings
from headtorch.tui.screens.leaving import Page
from headtorch.tui.screens.prompt_line import PromptLine
from headtorch.tui.widgets.lines import Lines
from headtorch.tui.widgets.wrapping import Wrapped, wrap

FRONT = 3  # cells of the cursor, the place's mark and a space
SCROLLBAR = 1
STRONG = 0.5  # of the strongest activation in the document: from there on it counts as a place where the neuron fires

HELP = """\
The document of the prompt, in the model's tokens. Each is shaded by the neuron's activation there, as a share of its
largest in this document; tokens without shade were not measured.
◆ marks the line of the prompt, ◇ lines with other places where the activation is at least half of the largest. Those
tokens are underlined, the prompt's is bold too."""


class DocumentLines(Lines):
    """The document's text, wrapped once per width."""

    BINDINGS: ClassVar[list[BindingType]] = [binding for binding in bindings("list") if binding.id != "list.choose"]

    def __init__(self, prompt: Prompt) -> None:
        super().__init__()
        self.prompt = prompt
        self.problem: str | None = None
        self.tokens: list[str] = []
        self.shares: list[float | None] = []  # of the largest activation, per token
        self.places: list[int] = []  # tokens where the neuron fires
        self.at = prompt.position  # the token looked at
        self.search_text = ""
        self.matches: list[int] = []  # tokens that a match begins on
        self._activation: list[float | None] = []
        self._marked: set[int] = set()  # tokens inside a match
        self._wrapped: tuple[int, Wrapped] = (0, Wrapped([], []))

    def read(self, message: DocumentText) -> None:
        """Take the document in and go to the prompt's place."""
        self.tokens = message.tokens
        sign = -1 if self.prompt.activation < 0 else 1
        fires = [None if value is None else sign * value for value in message.activation]
        largest = max((value for value in fires if value is not None), default=0.0)
        self._activation = message.activation
        self.shares = [None if value is None or largest <= 0 else max(0.0, value / largest) for value in fires]
        strong = {at for at, share in enumerate(self.shares) if share is not None and share >= STRONG}
        self.places = sorted(at for at in strong | {self.prompt.position} if at < len(self.tokens))
        self.lines_changed()
        self.go_to(self.prompt.position)

    # drawing

    @property
    def wrapped(self) -> Wrapped:
        """The lines at the present width, room for the scrollbar left whether it is there yet or not."""
        width = self.outer_size.width - self.gutter.width - SCROLLBAR - FRONT
        if self._wrapped[0] != width or len(self._wrapped[1].line_of) != len(self.tokens):
            self._wrapped = (width, wrap(self.tokens, width) if self.tokens else Wrapped([], []))
        return self._wrapped[1]

    def lines_changed(self, cursor: int | None = None) -> None:
        """Wrapped anew, the cursor stays on the token looked at."""
        super().lines_changed(self.wrapped.line_of[self.at] if self.at < len(self.tokens) else cursor)

    def line_count(self) -> int:
        """Wrapped lines."""
        return len(self.wrapped.lines)

    def empty_text(self) -> str:
        """Until the document comes."""
        return self.problem or "Reading …"

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A line of text with the marks in front."""
        pieces = self.wrapped.lines[index]
        text = Text()
        text.append("▸" if selected else " ", self.palette.style("bright", bold=True))
        text.append(self._mark({at for at, _ in pieces}), self.palette.style("bright"))
        text.append(" ")
        for at, piece in pieces:
            text.append(piece, self._style(at))
        return text

    def _mark(self, tokens: set[int]) -> str:
        if self.prompt.position in tokens:
            return "◆"
        return "◇" if not tokens.isdisjoint(self.places) else " "

    def _style(self, at: int) -> Style:
        share = self.shares[at] if at < len(self.shares) else None
        style = self.palette.style("text") if share is None else self.palette.heat(share)
        if at == self.prompt.position:
            style += Style(bold=True, underline=True)
        elif share is not None and share >= STRONG:
            style += Style(underline=True)
        return style + Style(reverse=True) if at in self._marked else style

    def footer_height(self) -> int:
        """One row, once there is a text."""
        return 1 if self.tokens else 0

    def draw_footer(self, row: int, width: int) -> Text:
        """Where the reader is."""
        parts = [f"token {self.at:,} of {len(self.tokens):,}"]
        value = self._activation[self.at] if self.at < len(self._activation) else None
        if value is not None:
            parts.append(f"activation {value:.2f}")
        if self.at in self.places:
            parts.append(f"place {self.places.index(self.at) + 1} of {len(self.places)}")
        else:
            parts.append(f"{len(self.places)} places")
        if self.search_text:
            parts.append(f"/{visible(self.search_text)}: {len(self.matches)}")
        return Text(" " + " · ".join(parts), self.palette.style("quiet"))

    # moving

    def watch_cursor(self, old: int, new: int) -> None:
        """The token looked at is the first of the cursor's line, unless it lies on that line already."""
        here = self.wrapped.lines[new] if new < self.line_count() else []
        if here and not here[0][0] <= self.at <= here[-1][0]:
            self.at = here[0][0]
        super().watch_cursor(old, new)

    def go_to(self, token: int) -> None:
        """Look at a token, with as much text before it as after it."""
        if not 0 <= token < len(self.tokens):
            return
        self.at = token
        line = self.wrapped.line_of[token]
        top = self.scroll_offset.y
        if not top <= line < top + self.page():
            self.scroll_to(y=max(0, line - self.page() // 2), animate=False, force=True)
        self.cursor = line
        self.redraw()

    def search(self, text: str) -> None:
        """Mark what matches, and go to the first match from here on."""
        self.search_text, self.matches, self._marked = text.strip(), [], set()
        wanted = visible(self.search_text).casefold()
        shown = [visible(token) for token in self.tokens]
        whole = "".join(shown).casefold()
        starts = [0, *accumulate(len(word.casefold()) for word in shown)]
        found = whole.find(wanted) if wanted else -1
        while found >= 0:
            first, last = bisect_right(starts, found) - 1, bisect_right(starts, found + len(wanted) - 1) - 1
            self.matches.append(first)
            self._marked.update(range(first, last + 1))
            found = whole.find(wanted, found + 1)
        self.go_to_next(self.matches, self.at - 1, 1)
        self.redraw()

    def go_to_next(self, tokens: list[int], start: int, step: int) -> None:
        """To the next of these tokens after `start`, or with −1 the one before it, round the ends."""
        if not tokens:
            return
        later = [at for at in tokens if (at - start) * step > 0]
        ordered = later or tokens
        self.go_to(min(ordered) if step > 0 else max(ordered))

    def paragraph(self) -> str:
        """The raw text between the line ends around the token looked at."""
        if not self.tokens:
            return ""
        first = next((at for at in range(self.at, 0, -1) if "\n" in self.tokens[at - 1]), 0)
        last = next((at for at in range(self.at, len(self.tokens)) if "\n" in self.tokens[at]), len(self.tokens) - 1)
        return "".join(self.tokens[first : last + 1]).strip()


class DocumentScreen(Page[None]):
    """Shows "Reading …" until `show_document` brings the text."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("document")]
    help = HELP

    def __init__(self, prompt: Prompt) -> None:
        super().__init__()
        self.prompt = prompt
        self.text = DocumentLines(prompt)
        self._message: DocumentText | None = None

    def compose(self) -> ComposeResult:
        """The text in a frame, and the keys."""
        yield self.text
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """The text has the keys."""
        self.text.add_class("pane")
        self.text.set_titles(Text(visible(self.prompt.title)), Text(f"document {self.prompt.document:,}"))
        self.text.focus()
        if self._message is not None:
            self.text.read(self._message)

    def show_document(self, message: DocumentText) -> None:
        """Show the text; that of another document is passed over."""
        if message.document != self.prompt.document:
            return
        self._message = message
        if self.is_mounted:
            self.text.set_titles(Text(visible(message.title)), Text(f"document {message.document:,}"))
            self.text.read(message)

    def show_failure(self, text: str) -> None:
        """Say why there is no text."""
        self.text.problem = visible(text)
        self.text.redraw()

    def copy_text(self) -> str:
        """The paragraph under the cursor."""
        return self.text.paragraph()

    def action_next_place(self, step: int) -> None:
        """To the next or the previous place where the neuron fires."""
        self.text.go_to_next(self.text.places, self.text.at, step)

    def action_search(self) -> None:
        """Type what to search for."""
        before = self.text.search_text

        def entered(text: str | None) -> None:
            self.text.search(before if text is None else text)

        self.app.push_screen(PromptLine("search", before), entered)

    def action_search_next(self) -> None:
        """To the next match."""
        if self.text.matches:
            self.text.go_to_next(self.text.matches, self.text.at, 1)
        elif self.text.search_text:
            self.notify(f"Nothing matches {visible(self.text.search_text)}.", markup=False, severity="warning")
        else:
            self.action_search()

    def action_copy(self) -> None:
        """The paragraph to the clipboard of the terminal."""
        copy(self.app, self.copy_text())

    def action_back(self) -> None:
        """Back to the prompts."""
        self.dismiss(None)
