"""Pane 3: the heads that claims are about as a list, or every head of the model as a cell coloured by what it gives."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from headtorch.core.records import HeadId
from headtorch.tui.keymap import bindings
from headtorch.tui.panes.flow import flow, segments
from headtorch.tui.panes.head_cells import WIDTHS, cells
from headtorch.tui.panes.head_entries import head_entries
from headtorch.tui.panes.head_facts import facts_of, scale, status
from headtorch.tui.panes.head_help import HELP
from headtorch.tui.panes.head_list import HeadList
from headtorch.tui.panes.head_view import HeadView, head_view
from headtorch.tui.session import Session
from headtorch.tui.topics import Topic
from headtorch.tui.widgets.rows import Rows

_STATUS_LINES = 4
_EMPTY = "{0}: not attributed yet."


class HeadsPane(Rows, can_focus=True):
    """The list of heads, or the grid of all, with a cursor; the grid scrolls where not all of it fits."""

    DEFAULT_CSS = "HeadsPane { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("heads")]
    number = 3
    topics: frozenset[Topic] = frozenset({"heads"})
    help = HELP

    cursor: reactive[HeadId | None] = reactive(None, init=False, repaint=False)

    class HeadMoved(Message):
        """The cursor stands on another head; `feeds` is false where that head cannot feed the neuron."""

        def __init__(self, pane: HeadsPane, head: HeadId, feeds: bool) -> None:
            super().__init__()
            self.pane, self.head, self.feeds = pane, head, feeds

        @property
        def control(self) -> HeadsPane:
            """The pane."""
            return self.pane

    class HeadChosen(HeadMoved):
        """Enter, or a click on the cursor's own cell: go deeper."""

    class ScopeToggled(Message):
        """The user wants the heads of the selected prompt instead of all prompts, or the other way round."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._view: HeadView | None = None
        self._subject: tuple[object, object] | None = None
        self._missing = "No neuron is selected."
        self._first = Offset(0, 0)  # the head at the left and the lines scrolled off at the top
        self._below: list[Text] | None = None
        self._list: HeadList | None = None  # instead of the grid
        self.set_titles("3 Heads", "")

    # what is shown

    def show(self, session: Session) -> None:
        """Draw the selected neuron's heads; the cursor follows the selection when that changes."""
        view, chosen, before = head_view(session), session.selection, self._shown
        entries = None if chosen.grid else head_entries(session)
        self._list = None if entries is None else HeadList(entries)
        if (chosen.neuron, chosen.head) != self._subject:
            self._subject = (chosen.neuron, chosen.head)
            self._follow(chosen.head)
        self._missing = _EMPTY.format(chosen.neuron) if chosen.neuron is not None else "No neuron is selected."
        self._title()
        if view != self._view:
            if view is not None and (self._view is None or self._view.neuron != view.neuron):
                self._first = Offset(0, view.facts.n_layers - 1 - view.neuron.layer)  # not the layers after it
            self._view = view
            self._title()
            if self.cursor is None and view is not None and view.ranking:
                self._follow(view.ranking[0])
        if self._shown != before:
            self.show_cursor()
            self._redraw()

    def copy_text(self) -> str:
        """The cursor's head and its numbers on one line."""
        if self._list is not None:
            return self._list.copy_text(self.cursor)
        if self._view is None or self.cursor is None:
            return ""
        about = "; ".join(piece.plain for piece in facts_of(self._view, self.cursor, self.palette))
        return f"{self._view.neuron}: {about} ({self._view.measure}, {self._view.scope})"

    def _title(self) -> None:
        view = self._view
        if self._list is not None:
            self.set_titles(*self._list.titles)
        elif view is None:
            self.set_titles("3 Heads", "")
        else:
            self.set_titles(f"3 Heads · {view.title}", " · ".join([*view.parts[:1], view.scope][: self._fitting(view)]))

    def _fitting(self, view: HeadView) -> int:
        return 2 if len(view.scope) + sum(map(len, view.parts[:1])) < self.size.width - 6 else 1

    @property
    def _shown(self) -> tuple[HeadView | None, object, str, HeadList | None]:
        return self._view, self.cursor, self._missing, self._list

    def _follow(self, head: HeadId | None) -> None:
        self.set_reactive(HeadsPane.cursor, head)

    def _redraw(self) -> None:
        self._below = None
        self.redraw()

    # the layout

    @property
    def _gutter(self) -> int:
        return len(str(self._view.facts.n_layers - 1)) + 2 if self._view else 0

    @property
    def _cell(self) -> int:
        heads = self._view.facts.n_heads if self._view else 1
        room = self.size.width - self._gutter
        return next((width for width in WIDTHS if width * heads <= room), WIDTHS[-1])

    @property
    def _rows(self) -> int:
        """Layers that fit: a line above and, where the pane is high enough, the scale and the facts below."""
        height, layers = self.size.height, self._view.facts.n_layers if self._view else 0
        return max(1, min(layers, height - 1 - self._below_height))

    @property
    def _below_height(self) -> int:
        height = self.size.height
        return 0 if height < 4 else 1 if height < 7 else 3 if height < 11 else 2 + _STATUS_LINES

    @property
    def _columns(self) -> int:
        heads = self._view.facts.n_heads if self._view else 0
        return max(1, min(heads, (self.size.width - self._gutter) // self._cell))

    def _layer_at(self, row: int) -> int:
        assert self._view is not None
        return self._view.facts.n_layers - 1 - self._first.y - row

    def show_cursor(self) -> None:
        """Scroll as little as needed to see the cursor's cell."""
        if self._view is None or self._list is not None or not self.size.height:
            return
        facts, head = self._view.facts, self.cursor or HeadId(0, 0)
        line = facts.n_layers - 1 - head.layer
        x = _scrolled(self._first.x, head.index, self._columns, facts.n_heads)
        y = _scrolled(self._first.y, line, self._rows, facts.n_layers)
        if Offset(x, y) != self._first:
            self._first = Offset(x, y)
            self._redraw()

    # drawing

    def compose_row(self, y: int) -> Strip:
        """Row `y`: of the list; of the grid the heads' numbers, a layer, or what stands below."""
        width = self.size.width
        if self._list is not None:
            row = self._list.row(y, self.size, self.cursor, self.palette)
            return self._strip(segments(row, self.app.console))
        if self._view is None:
            return self._strip([Segment(f" {self._missing}", self.palette.style("quiet"))] if y == 0 else [])
        if y == 0:
            return self._strip(self._header(self._view))
        if y <= self._rows:
            return self._strip(self._row(self._view, self._layer_at(y - 1), y))
        below = self._lines_below(width)
        at = y - self._rows - 1
        return self._strip(segments(below[at], self.app.console) if at < len(below) else [])

    def _strip(self, row: list[Segment]) -> Strip:
        strip = Strip(row)
        return strip.adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _header(self, view: HeadView) -> list[Segment]:
        """The heads' numbers above their cells: as many as have a blank between them, the cursor's always."""
        first, columns, cell = self._first.x, self._columns, self._cell
        chosen = self.cursor.index if self.cursor else None
        line = [" "] * self.size.width
        at = self._place_label(line, chosen) if chosen is not None and first <= chosen < first + columns else None
        for index in range(first, first + columns):
            if index != chosen and (cell > 1 or index % 5 == 0):
                self._place_label(line, index)
        if first + columns < view.facts.n_heads and line[-1] == " ":
            line[-1] = "…"
        if first:
            line[self._gutter - 1] = "…"
        text = "".join(line)
        quiet = self.palette.style("quiet")
        if at is None:
            return [Segment(text, quiet)]
        bold = self.palette.style("bright", bold=True, underline=True)
        return [Segment(text[: at[0]], quiet), Segment(text[at[0] : at[1]], bold), Segment(text[at[1] :], quiet)]

    def _place_label(self, line: list[str], index: int) -> tuple[int, int] | None:
        label, cell = str(index), self._cell
        start = self._gutter + (index - self._first.x) * cell + max(0, (cell - len(label)) // 2)
        start = min(start, self.size.width - len(label))
        end = start + len(label)
        if any(character != " " for character in line[max(0, start - 1) : end + 1]):
            return None
        line[start:end] = label
        return start, end

    def _row(self, view: HeadView, layer: int, y: int) -> list[Segment]:
        here = self.cursor is not None and self.cursor.layer == layer
        label = f"{layer:>{self._gutter - 2}} "
        quiet = self.palette.style("bright" if here else "quiet", bold=here)
        row = [Segment(f"{self._marker(layer, y, here)}{label}", quiet)]
        drawn, chosen = cells(self._cell, self.palette, self._plain), self.cursor if here else None
        run, style = "", quiet
        for index in range(self._first.x, self._first.x + self._columns):
            head = HeadId(layer, index)
            text, its_style = drawn.draw(view, head, head == chosen)
            if its_style is not style:
                row.append(Segment(run, style))
                run, style = "", its_style
            run += text
        return [*row, Segment(run, style)]

    def _marker(self, layer: int, y: int, here: bool) -> str:
        assert self._view is not None
        if here:
            return "▸"
        if y == 1 and layer < self._view.facts.n_layers - 1:
            return "↑"
        return "↓" if y == self._rows and layer > 0 else " "

    @property
    def _plain(self) -> bool:
        """Whether colours cannot tell 8 steps apart on this terminal."""
        few = self.app.console.color_system in (None, "standard", "windows")
        return self.app.no_color or self.palette.ansi or few

    def _lines_below(self, width: int) -> list[Text]:
        if self._below is None:
            assert self._view is not None
            dot = Text(" · ", style=self.palette.style("quiet"))
            parts = status(self._view, self.cursor, self.palette)
            facts = [line for part in parts for line in flow(part, width, dot, indent=1)]
            height, spare = self._below_height, self.size.height - 1 - self._rows
            above = scale(self._view, self.palette, width, narrow=self._cell == 1, plain=self._plain)
            lines = facts if height < 3 else [above, *facts]
            self._below = ([Text(), *lines] if spare > len(lines) else lines)[: max(0, spare)]
        return self._below

    def notify_style_update(self) -> None:
        """Another theme: the facts hold its colours."""
        super().notify_style_update()
        self._below = None

    # keys and the mouse

    def watch_cursor(self, old: HeadId | None, new: HeadId | None) -> None:
        """Draw the two rows, the heads' numbers and the facts again, and tell."""
        first, self._below = self._first, None
        self.show_cursor()
        if self._list is not None:
            self.redraw()
        elif first == self._first and self._view is not None:
            top = self._view.facts.n_layers - first.y
            rows = {top - head.layer for head in (old, new) if head is not None}
            self.redraw({0, *rows, *range(self._rows + 1, self.size.height)})
        if new is not None and (self._view is not None or self._list is not None):
            self.post_message(self.HeadMoved(self, new, self._feeds(new)))

    def _feeds(self, head: HeadId) -> bool:
        return self._view is None or not self._view.reason(head)

    def validate_cursor(self, cursor: HeadId | None) -> HeadId | None:
        """Inside the model."""
        if cursor is None or self._view is None:
            return cursor
        facts = self._view.facts
        layer = max(0, min(cursor.layer, facts.n_layers - 1))
        return HeadId(layer, max(0, min(cursor.index, facts.n_heads - 1)))

    def action_move(self, layers: int, heads: int) -> None:
        """Move by `layers` up and `heads` to the right; in the list by lines."""
        if self._list is not None:
            self.cursor = self._list.moved(self.cursor, -layers)
        elif self._view is not None:
            now = self.cursor or HeadId(self._view.neuron.layer, 0)
            self.cursor = HeadId(now.layer + layers, now.index + heads)

    def action_first(self) -> None:
        """To the top layer."""
        self.action_move(10**6, 0)

    def action_last(self) -> None:
        """To the bottom layer."""
        self.action_move(-(10**6), 0)

    def action_half_page(self, direction: int) -> None:
        """Down or up by half of the layers that fit."""
        self.action_move(-direction * max(1, self._rows // 2), 0)

    def action_strongest(self) -> None:
        """To the next strongest head after the cursor's; from elsewhere, and after the last, to the strongest."""
        ranking = self._list.heads if self._list else self._view.ranking if self._view else []
        if ranking:
            at = ranking.index(self.cursor) if self.cursor in ranking else -1
            self.cursor = ranking[(at + 1) % len(ranking)]

    def action_scope(self) -> None:
        """All prompts, or the selected prompt only."""
        self.post_message(self.ScopeToggled())

    def action_choose(self) -> None:
        """Go deeper from the cursor's head."""
        if self.cursor is not None and (self._view is not None or self._list is not None):
            self.post_message(self.HeadChosen(self, self.cursor, self._feeds(self.cursor)))

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; on the cursor's own cell it goes deeper."""
        place = event.get_content_offset(self)
        if place is not None and self._list is not None:
            self._clicked(self._list.at(place.y, self.size, self.cursor))
            return
        if self._view is None or place is None or not 1 <= place.y <= self._rows or place.x < self._gutter:
            return
        column = (place.x - self._gutter) // self._cell
        if column >= self._columns:
            return
        self._clicked(HeadId(self._layer_at(place.y - 1), self._first.x + column))

    def _clicked(self, head: HeadId | None) -> None:
        if head is not None and head == self.cursor:
            self.action_choose()
        elif head is not None:
            self.cursor = head

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Towards the last layer."""
        self._scroll(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Towards the first layer."""
        self._scroll(1)

    def _scroll(self, lines: int) -> None:
        if self._view is not None and self._list is None:
            last = self._view.facts.n_layers - self._rows
            self._first = Offset(self._first.x, max(0, min(self._first.y + lines, last)))
            self._redraw()

    def on_resize(self, event: events.Resize) -> None:
        """The cells may be wider or narrower now."""
        self._drawn = None
        self._title()
        self.show_cursor()
        self._redraw()


def _scrolled(first: int, wanted: int, fit: int, count: int) -> int:
    """Where to begin so that `wanted` is among the `fit` shown, as near to `first` as it goes."""
    first = min(first, wanted) if wanted < first + fit else wanted - fit + 1
    return max(0, min(first, count - fit))
