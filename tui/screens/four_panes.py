"""The four panes of the workbench: their places on the screen, their focus and their drawing."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer

from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.panes.neurons import NeuronsPane
from headtorch.tui.panes.prompts import PromptsPane
from headtorch.tui.session import Session
from headtorch.tui.topics import EVERYTHING, Topic
from headtorch.tui.widgets.breadcrumb import Breadcrumb
from headtorch.tui.widgets.progress_line import ProgressLine

REDRAW_SECONDS = 0.1  # events of the engine are drawn together
FOLLOW_SECONDS = 0.04  # then the other panes follow the cursor
REST_SECONDS = 0.2  # a selection that rests this long is worth shading
WIDE, TALL = 100, 30  # columns and rows from which on all panes fit side by side

AnyPane = NeuronsPane | PromptsPane | HeadsPane | DetailPane


class FourPanes(Screen[None]):
    """Panes 1 to 4 over one session: which are shown, which has the focus, when they are drawn."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.neurons = NeuronsPane()
        self.prompts = PromptsPane()
        self.heads = HeadsPane()
        self.detail = DetailPane()
        self.panes: tuple[AnyPane, ...] = (self.neurons, self.prompts, self.heads, self.detail)
        self.alarm: str | None = None
        self._current = 1
        self._zoomed = False
        self._dirty: set[Topic] = set()
        self._drawing = False
        self._resting: tuple[Timer, ...] = ()

    def compose(self) -> ComposeResult:
        yield Breadcrumb()
        with Horizontal(id="upper"):
            yield self.neurons
            yield self.prompts
            yield self.heads
        yield self.detail
        yield ProgressLine()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Everything is drawn once; the first pane has the focus."""
        for pane in self.panes:
            pane.add_class("pane")
        self.arrange_panes()
        self.focus_pane(self._current)
        self.call_later(self.draw_all)  # mounted by then, and in sight behind a dialog that comes at once

    # drawing

    def changed(self, topics: frozenset[Topic], *, now: bool = False) -> None:
        """Draw the panes of these topics: at once after a key, soon and together after events of the engine."""
        self._dirty |= topics
        if now:
            self._draw()
        elif self._dirty and not self._drawing:
            self._drawing = True
            self.set_timer(REDRAW_SECONDS, self._draw)

    def draw_all(self) -> None:
        """Draw everything at once."""
        self.changed(EVERYTHING, now=True)

    def selected(self, topics: frozenset[Topic]) -> None:
        """Follow a new selection when the cursor rests: a held key moves the cursor alone, whatever hangs on it."""
        self._dirty |= topics
        for timer in self._resting:
            timer.stop()
        self._resting = (
            self.set_timer(FOLLOW_SECONDS, self._draw),
            self.set_timer(REST_SECONDS, self.session.ask_shading),
        )

    def _draw(self) -> None:
        dirty, self._dirty, self._drawing = self._dirty, set(), False
        if not self.is_mounted:
            return
        for pane in self.panes:
            if dirty & pane.topics:
                pane.show(self.session)
        self.query_one(Breadcrumb).show(self.session)
        self.query_one(ProgressLine).show(self.session, self.alarm)

    def on_resize(self, event: events.Resize) -> None:
        """Narrow terminals show one pane at a time."""
        self.arrange_panes()

    def arrange_panes(self) -> None:
        """Show all panes, or the present one alone where there is no room or it is zoomed."""
        alone = self._zoomed or self.size.width < WIDE or self.size.height < TALL
        for pane in self.panes:
            pane.display = not alone or pane.number == self._current
        self.query_one("#upper").display = not alone or self._current < 4
        self.set_class(alone, "-alone")

    # moving

    def focus_pane(self, number: int) -> None:
        """Give a pane the focus, and the screen where only one fits."""
        self._current = number
        self.session.selection.deepest = number
        self.arrange_panes()
        self.panes[number - 1].focus()
        if number == 3 and self.session.ready:
            self.session.ask_roles()
        self.changed(frozenset({"study", "detail"}), now=True)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click into a pane makes it the present one."""
        for pane in self.panes:
            if event.widget is pane and pane.number != self._current:
                self.focus_pane(pane.number)

    def action_pane(self, number: int) -> None:
        """To a pane by its number."""
        self.focus_pane(number)

    def action_next_pane(self, step: int) -> None:
        """Round the panes."""
        self.focus_pane((self._current - 1 + step) % len(self.panes) + 1)

    def action_back(self) -> None:
        """Back up: from zoom, from a filter, then pane by pane."""
        if self._zoomed:
            self.action_zoom()
        elif self._current > 1:
            self.focus_pane(self._current - 1)
        elif self.neurons.filter_text:
            self.neurons.set_filter("")

    def action_zoom(self) -> None:
        """The present pane alone, or all again."""
        self._zoomed = not self._zoomed
        self.arrange_panes()
