"""How to explain a head: a small menu at the bottom of the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from headtorch.core.text import visible
from headtorch.tui.explaining import Kind
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Dialog

NAME = 24  # columns of a way's name at most
_KEYS = {"rules": "explain.rules", "llm": "explain.llm", "me": "explain.me"}


@dataclass(frozen=True)
class Way:
    """One way to explain. `problem`: a sentence on why it cannot be taken now; `known`: what it came to before."""

    kind: Kind
    name: str
    about: str
    problem: str = ""
    known: str = ""


class ExplainScreen(Dialog["Kind | None"]):
    """Returns the way chosen, or None. The cursor begins on the way taken last, so that Enter takes it again."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("explain")]
    DEFAULT_CSS = """
    ExplainScreen { align: center bottom; background: transparent; }
    ExplainScreen > Vertical {
        width: 100%; height: auto; padding: 0 1; background: $ht-surface; color: $ht-text;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
    }
    ExplainScreen Static { height: auto; }
    ExplainScreen #ways { text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, subject: str, ways: list[Way], first: Kind = "rules") -> None:
        super().__init__()
        self._subject, self._ways = subject, ways
        self._at = next((i for i, way in enumerate(ways) if way.kind == first and not way.problem), 0)
        self._said = ""

    def compose(self) -> ComposeResult:
        """A line for each way, and why one of them cannot be taken."""
        with Vertical():
            yield Static(id="ways")
            yield Static(id="said")

    def on_mount(self) -> None:
        """Ready at once."""
        box, keymap = self.query_one(Vertical), self.app._keymap
        box.border_title = Content(visible(f"Explain {self._subject}"))
        choose, back = key_of("explain.choose", keymap), key_of("explain.back", keymap)
        box.border_subtitle = Content(f"{choose} takes ▸ · {back} back")
        self._draw()

    def action_move(self, step: int) -> None:
        """To the next way or the one before."""
        self._at = (self._at + step) % len(self._ways)
        self._draw()

    def action_choose(self) -> None:
        """Take the marked one."""
        self.action_take(self._ways[self._at].kind)

    def action_take(self, kind: Kind) -> None:
        """Take one, or say why not."""
        at, way = next((at, way) for at, way in enumerate(self._ways) if way.kind == kind)
        if way.problem:
            self._at, self._said = at, way.problem
            self._draw()
        else:
            self.dismiss(kind)

    def action_back(self) -> None:
        """Nothing is explained."""
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        """A click on a line takes it."""
        place = event.get_content_offset(self.query_one("#ways", Static))
        if place is not None and 0 <= place.y < len(self._ways):
            self.action_take(self._ways[place.y].kind)

    def _draw(self) -> None:
        palette: Palette = getattr(self.app, "palette", CAVE)
        lines = [self._line(at, way, palette) for at, way in enumerate(self._ways)]
        self.query_one("#ways", Static).update(Text("\n").join(lines))
        said = self.query_one("#said", Static)
        said.display = bool(self._said)
        said.update(Text(f"✗ {visible(self._said)}", palette.style("warning")))

    def _line(self, at: int, way: Way, palette: Palette) -> Text:
        mine = at == self._at
        key = key_of(_KEYS[way.kind], self.app._keymap)
        name = "quiet" if way.problem else "bright" if mine else "text"
        line = Text("▸ " if mine else "  ", palette.style("bright"))
        line.append(f"{key}  ", palette.style("bright", bold=True))
        shown = Text(visible(way.name), palette.style(name, bold=mine and not way.problem))
        shown.truncate(NAME, overflow="ellipsis")
        width = min(NAME, max(Text(visible(one.name)).cell_len for one in self._ways))
        line.append_text(shown).append(" " * (width - shown.cell_len + 2))
        if any(one.known for one in self._ways):
            line.append(f"{visible(way.known):<8}", palette.style("text"))
        return line.append(visible(way.about), palette.style("quiet"))
