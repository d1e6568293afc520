"""Matched pairs side by side, and below the cursor's pair in full; on a second page rewritten texts."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.strip import Strip
from textual.widgets import Footer

from headtorch.core.claims import Rewriting
from headtorch.core.format import count
from headtorch.core.study.claim_text import condition
from headtorch.core.text import visible_token
from headtorch.tui.clipboard import copy
from headtorch.tui.keymap import bindings
from headtorch.tui.pairs import MatchedPair, MatchedPairs
from headtorch.tui.panes.detail.rewriting import rewriting_lines
from headtorch.tui.panes.flow import paragraph, segments
from headtorch.tui.panes.pair_lines import pair_header, pair_in_full, pair_line
from headtorch.tui.screens.leaving import Page
from headtorch.tui.widgets.lines import Lines
from headtorch.tui.widgets.rows import Rows

HELP = """\
Each line is a matched pair of the held-out split: at the left a place where the neuron fires, at the right a place \
with the same last token where it is off. Both texts end at that token, which is underlined, so only what stands \
before it, read by heads, can make the difference. act: the neuron's activation there.
●: the rule of the neuron's context claim holds there, ○: it does not. ✗ in front: the rule is wrong about one of the \
two, since it should hold at the left and not at the right.

Below is the cursor's pair. takes: how much of the difference between the two activations goes when the head's output \
at the firing token is replaced by that at the matched place, all behind it computed again. restores: how much comes \
back when it is put into the matched place instead. Shares of single heads need not sum to 100 %.

Rewritten texts: the text as it is, with the tokens that make the rule hold replaced by others that the model finds \
likely there (in «quotes»; for rules of absence put in), and with other tokens replaced as a placebo. The number in \
front is the activation. The token that the neuron is read at is underlined and never touched; a token that will be \
replaced is underlined in the first line."""


class PairLines(Lines):
    """The pairs, one a line."""

    BINDINGS: ClassVar[list[BindingType]] = [binding for binding in bindings("list") if binding.id != "list.choose"]
    header_height = 1

    def __init__(self, found: MatchedPairs) -> None:
        super().__init__()
        self.found = found

    def line_count(self) -> int:
        """Pairs."""
        return len(self.found.pairs)

    def empty_text(self) -> str:
        """Why there are none."""
        return self.found.missing or "This neuron has no held-out pairs."

    def draw_header(self, width: int) -> Text:
        """The names of the columns."""
        return pair_header(width, self.palette)

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A pair."""
        return pair_line(self.found.pairs[index], width, self.palette, selected)

    @property
    def pair(self) -> MatchedPair | None:
        """The pair under the cursor."""
        return self.found.pairs[self.cursor] if self.cursor < len(self.found.pairs) else None


class PairDetail(Rows):
    """The pair under the cursor in full."""

    def __init__(self, found: MatchedPairs) -> None:
        super().__init__()
        self._found = found
        self._pair: MatchedPair | None = None
        self._lines: tuple[int, list[Text]] = (0, [])

    def show(self, pair: MatchedPair | None) -> None:
        """Draw another pair."""
        self._pair, self._lines = pair, (0, [])
        self.redraw()

    def compose_row(self, y: int) -> Strip:
        """Row `y` of it."""
        width = self.size.width
        if self._lines[0] != width:
            pair, heads = self._pair, self._found.heads
            self._lines = width, [] if pair is None else pair_in_full(pair, heads, width - 2, self.palette)
        lines = self._lines[1]
        row = segments(Text(" ").append_text(lines[y]), self.app.console) if y < len(lines) else []
        return Strip(row).adjust_cell_length(width).apply_style(self.rich_style)


class RewrittenLines(Lines):
    """The rewriting tests with all recorded texts; nothing to choose, only to scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [binding for binding in bindings("list") if binding.id != "list.choose"]

    def __init__(self, tests: list[tuple[str, Rewriting | None]]) -> None:
        super().__init__()
        self._tests = tests
        self._wrapped: tuple[int, list[Text]] = (0, [])

    @property
    def _texts(self) -> list[Text]:
        width = self.outer_size.width - self.gutter.width - 2
        if self._wrapped[0] != width:
            self._wrapped = width, [line for test in self._tests for line in self._test(*test, width)]
        return self._wrapped[1]

    def _test(self, name: str, rewriting: Rewriting | None, width: int) -> list[Text]:
        most = len(rewriting.examples) if rewriting is not None else 0
        heading = paragraph(name, width, self.palette.style("bright", bold=True))
        return [*heading, *rewriting_lines(rewriting, most, width, self.palette), Text()]

    def line_count(self) -> int:
        """Lines."""
        return len(self._texts)

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """One of them."""
        return Text(" ").append_text(self._texts[index])

    def notify_style_update(self) -> None:
        """Another theme: the lines hold its colours."""
        super().notify_style_update()
        self._wrapped = (0, [])


class PairsScreen(Page[None]):
    """Pairs above, the cursor's pair below; or rewritten texts."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("pairs")]
    DEFAULT_CSS = """
    PairsScreen PairLines, PairsScreen RewrittenLines { height: 1fr; }
    PairsScreen PairDetail { height: 14; }
    """
    help = HELP

    def __init__(self, found: MatchedPairs, token: str, tests: list[tuple[str, Rewriting | None]]) -> None:
        super().__init__()
        self._found, self._token = found, token
        self.pairs, self.full, self.texts = PairLines(found), PairDetail(found), RewrittenLines(tests)

    def compose(self) -> ComposeResult:
        """Both pages, one of them shown, and the keys."""
        yield self.pairs
        yield self.full
        yield self.texts
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """The pairs first, where there are any."""
        for part in (self.pairs, self.full, self.texts):
            part.add_class("pane")
        neuron = f"{self._found.claim.neuron} → {visible_token(self._token)}"
        right = len(self._found.pairs) - len(self._found.wrong)
        told = f"rule right about {right} of {count(len(self._found.pairs), 'pair')}"
        self.pairs.set_titles(Text(f"Matched pairs · {neuron}"), Text(told if self._found.pairs else ""))
        self.texts.set_titles(Text(f"Rewritten texts · {neuron}"), Text())
        self._show_page(pairs=bool(self._found.pairs))

    def _show_page(self, *, pairs: bool) -> None:
        self.pairs.display = self.full.display = pairs
        self.texts.display = not pairs
        (self.pairs if pairs else self.texts).focus()
        self._show_pair()

    def on_lines_moved(self, message: Lines.Moved) -> None:
        """The pair below is that of the cursor."""
        if message.lines is self.pairs:
            self._show_pair()

    def _show_pair(self) -> None:
        self.full.show(self.pairs.pair)
        at = f"pair {self.pairs.cursor + 1} of {self.pairs.line_count()}"
        self.full.set_titles(at, condition(self._found.claim.text))

    def action_page(self) -> None:
        """The other page."""
        self._show_page(pairs=not self.pairs.display)

    def action_next_wrong(self, step: int) -> None:
        """To the next pair that the rule gets wrong, round the ends; −1: to the one before."""
        wrong, count_of = self._found.wrong, self.pairs.line_count()
        if not wrong:
            self.notify("The rule is right about every pair.", markup=False)
        elif self.pairs.display:
            here = self.pairs.cursor
            self.pairs.cursor = min(wrong, key=lambda at: (step * (at - here) - 1) % count_of)

    def copy_text(self) -> str:
        """Both texts of the pair, raw; on the other page nothing."""
        pair = self.pairs.pair if self.pairs.display else None
        return "" if pair is None else "\n".join("".join(place.tokens) for place in (pair.on, pair.off))

    def action_copy(self) -> None:
        """The pair to the clipboard of the terminal."""
        copy(self.app, self.copy_text())

    def action_back(self) -> None:
        """Back to the workbench."""
        self.dismiss(None)
