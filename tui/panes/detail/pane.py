"""Pane 4 itself: a bar of tabs, and lines that scroll below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from headtorch.core.study.stages import has_claim_stages
from headtorch.tui.explaining import explainers, shown_explainer
from headtorch.tui.keymap import bindings
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.ablation import ablation
from headtorch.tui.panes.detail.cause import cause
from headtorch.tui.panes.detail.claim import claim, head_line
from headtorch.tui.panes.detail.evidence import evidence
from headtorch.tui.panes.detail.explanation import explanation
from headtorch.tui.panes.detail.help import HELP
from headtorch.tui.panes.detail.notes import notes
from headtorch.tui.panes.detail.sources import sources
from headtorch.tui.panes.flow import segments
from headtorch.tui.session import Session
from headtorch.tui.topics import Topic
from headtorch.tui.widgets.rows import Rows

Tab = Literal["Claim", "Explanation", "Evidence", "Ablation", "Cause", "Sources", "Notes"]
PAGES: dict[Tab, Callable[[Session, int, Palette], list[Text]]] = {
    "Claim": claim,
    "Explanation": explanation,
    "Evidence": evidence,
    "Ablation": ablation,
    "Cause": cause,
    "Sources": sources,
    "Notes": notes,
}
TABS = tuple(PAGES)
_MARGIN = 1  # columns left and right of the text
_AIRY = 7  # rows from which on an empty one stands under the tabs


class DetailPane(Rows, ScrollView, can_focus=True):
    """What is known about the selected head on the selected neuron."""

    DEFAULT_CSS = """
    DetailPane {
        height: 1fr; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; scrollbar-gutter: stable;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("detail")]
    number = 4
    topics: frozenset[Topic] = frozenset({"detail"})
    help = HELP

    class TabChanged(Message):
        """Another tab is shown."""

        def __init__(self, pane: DetailPane, tab: Tab) -> None:
            super().__init__()
            self.pane, self.tab = pane, tab

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.tab: Tab = "Claim"
        self._tab_chosen = False  # the first study shown decides which tab is seen first
        self._to_head = False  # the claim about the head is to be seen as soon as there is room
        self._session: Session | None = None
        self._subject: object = None
        self._lines: list[Text] = []
        self.set_titles("4", "")

    # what is shown

    def show(self, session: Session) -> None:
        """Draw the present tab of the selected head; another head, or other words on it, begins at its top."""
        self._session = session
        if not self._tab_chosen and session.state.settings is not None:
            self.tab, self._tab_chosen = "Claim" if has_claim_stages(session.state) else "Explanation", True
        neuron, head = session.selection.neuron, session.selection.head
        name = f"{head} on {neuron}" if head is not None else str(neuron or "")
        several = self.tab in ("Claim", "Explanation", "Evidence") and len(explainers(session)) > 1
        other = f"{session.key('workbench.explainer')} next explainer" if several else ""
        self.set_titles(f"4 {name}" if name else "4 Detail", other)
        self._fill()
        if self._subject != (subject := (neuron, head, shown_explainer(session))):
            self._subject = subject
            self.scroll_to(y=0, animate=False)

    def show_tab(self, tab: Tab) -> None:
        """Show another tab, from its first line."""
        self._tab_chosen = True
        if tab != self.tab:
            self.tab = tab
            if self._session is not None:
                self.show(self._session)
            self.scroll_to(y=0, animate=False)
            self.post_message(self.TabChanged(self, tab))

    def show_head(self) -> None:
        """In the Claim tab scroll to the claim about the head, where that stands below the other."""
        self._to_head = self.tab == "Claim"
        self._fill()

    def copy_text(self) -> str:
        """The whole tab as text."""
        return "\n".join(line.plain.rstrip() for line in self._lines)

    def _fill(self) -> None:
        width = self.size.width - 2 * _MARGIN
        if self._session is None or width < 1:
            return
        self._lines = PAGES[self.tab](self._session, width, self.palette)
        size = Size(self.size.width, len(self._lines) + self._header)
        if size != self.virtual_size:
            self.virtual_size = size
        self.redraw()
        if self._to_head and self.size.height > self._header:
            self._to_head = False
            line = head_line(self._session, width, self.palette)
            self.call_after_refresh(self.scroll_to, y=line, animate=False, force=True)  # once it has a scrollbar

    def on_resize(self, event: events.Resize) -> None:
        """The text is wrapped anew."""
        self._drawn = None
        self._fill()

    def notify_style_update(self) -> None:
        """Another theme: the lines hold its colours."""
        super().notify_style_update()
        self._fill()

    # drawing

    @property
    def _header(self) -> int:
        return 2 if self.size.height >= _AIRY else 1

    def compose_row(self, y: int) -> Strip:
        """Row `y`: the tabs, or a line of the present one."""
        if y < self._header:
            return self._strip(self._bar() if y == 0 else [])
        index = y - self._header + self.scroll_offset.y
        if not 0 <= index < len(self._lines):
            return self._strip([])
        line = self._lines[index].copy()
        line.truncate(self.size.width - 2 * _MARGIN, overflow="ellipsis")
        return self._strip([Segment(" " * _MARGIN), *segments(line, self.app.console)])

    def _strip(self, row: list[Segment]) -> Strip:
        return Strip(row).simplify().adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _places(self) -> list[tuple[Tab, str, int]]:
        """Each tab with its label and the column where that begins; labels are cut where they do not fit."""
        airy = sum(len(tab) + 3 for tab in TABS) <= self.size.width
        tight = sum(len(tab) + 1 for tab in TABS) > self.size.width
        places, x = [], _MARGIN
        for tab in TABS:
            word = tab[:3] if tight and tab != self.tab else tab
            label = f" {word} " if airy else word
            places.append((tab, label, x))
            x += len(label) + 1
        return places

    def _bar(self) -> list[Segment]:
        quiet = self.palette.style("quiet")
        chosen = Style(color=self.palette.bright, bold=True, reverse=True)
        bar = [Segment(" " * _MARGIN)]
        for tab, label, _ in self._places():
            bar += [Segment(label, chosen if tab == self.tab else quiet), Segment(" ")]
        return bar

    # keys and the mouse

    def action_tab(self, step: int) -> None:
        """The next tab, or the one before; round the ends."""
        self.show_tab(TABS[(TABS.index(self.tab) + step) % len(TABS)])

    def action_scroll_lines(self, step: int) -> None:
        """Scroll by `step` lines."""
        self.scroll_relative(y=step, animate=False)

    def action_half_page(self, direction: int) -> None:
        """Scroll by half of what fits."""
        self.scroll_relative(y=direction * max(1, (self.size.height - self._header) // 2), animate=False)

    def action_first(self) -> None:
        """To the first line."""
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        """To the last line."""
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def on_click(self, event: events.Click) -> None:
        """A click on a tab shows it."""
        place = event.get_content_offset(self)
        if place is None or place.y != 0:
            return
        for tab, label, x in self._places():
            if x <= place.x < x + len(label):
                self.show_tab(tab)
