"""A list of lines with a cursor, drawn one by one when they come into view: as quick for a million lines as for ten."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from headtorch.tui.palette import CAVE, Palette

APART = 8  # cells that cost less to send again than to jump over


class Lines(ScrollView, can_focus=True):
    """Base of the list panes: subclasses say how many lines there are and what stands on each.

    The cursor's line is drawn on the surface colour with a ▸ in front, so that it shows without colour too. Only lines
    that look different from what the terminal shows are sent to it.
    """

    DEFAULT_CSS = "Lines { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }"

    header_height: ClassVar[int] = 0
    cursor: reactive[int] = reactive(0, init=False, repaint=False)

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, lines: Lines, index: int) -> None:
            super().__init__()
            self.lines, self.index = lines, index

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    class Chosen(Message):
        """Enter or a second click on the line of the cursor."""

        def __init__(self, lines: Lines, index: int) -> None:
            super().__init__()
            self.lines, self.index = lines, index

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    _placing = False  # the cursor follows its line; nobody moved it
    _drawn: dict[int, Strip] | None = None  # what the terminal shows, by row
    _titles: tuple[Text | None, Text | None] = (None, None)

    # what a subclass says

    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """What stands on line `index`; cut and padded to `width` afterwards."""
        raise NotImplementedError

    def draw_header(self, width: int) -> Text:
        """What stands at the top all the time, where `header_height` is 1."""
        return Text()

    def footer_height(self) -> int:
        """Rows that stay at the bottom all the time; the same whatever the cursor is on."""
        return 0

    def draw_footer(self, row: int, width: int) -> Text:
        """What stands on a row of the footer."""
        return Text()

    def header_clicked(self, x: int) -> None:
        """A click on the header, `x` cells from the left."""

    def empty_text(self) -> str:
        """One sentence that stands where there are no lines."""
        return ""

    # drawing

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    def lines_changed(self, cursor: int | None = None) -> None:
        """Call after the lines have changed: measures, keeps the cursor inside, and draws what looks different.

        `cursor` is the line that the cursor follows to; nobody moved it, so no Moved is posted.
        """
        height = self.line_count() + self.header_height + self.footer_height()
        if self.virtual_size != (size := Size(self.size.width, height)):
            self.virtual_size = size
        self._placing = True
        try:
            self.cursor = self.cursor if cursor is None else cursor
        finally:
            self._placing = False
        self.show_cursor()
        self.redraw()

    def set_titles(self, title: Text, subtitle: Text) -> None:
        """The border's two titles; the border is drawn again only where they differ."""
        if (title, subtitle) != self._titles:
            self._titles = (title, subtitle)
            self.border_title, self.border_subtitle = title, subtitle

    def redraw(self) -> None:
        """Draw the rows again that look different from what the terminal shows."""
        if self._drawn is None:
            self.refresh()
            return
        for y in range(self.size.height):
            before, after = self._drawn.get(y), self._compose_row(y)
            if before is None:
                self.refresh(Region(0, y, self.size.width, 1))
            elif before != after:
                self.refresh(*(Region(start, y, end - start, 1) for start, end in changed_spans(before, after)))

    def notify_style_update(self) -> None:
        """Another theme: everything looks different."""
        super().notify_style_update()
        self._drawn = None

    def on_resize(self, event: events.Resize) -> None:
        """The lines are as wide as the pane."""
        self._drawn = None
        self.lines_changed()

    def render_line(self, y: int) -> Strip:
        """Row `y` of the widget."""
        if self._drawn is None:
            self._drawn = {}
        strip = self._drawn[y] = self._compose_row(y)
        return strip

    def _compose_row(self, y: int) -> Strip:
        width, height = self.size
        header, footer, count = self.header_height, self.footer_height(), self.line_count()
        if y < header:
            return self._strip(self.draw_header(width), width, selected=False)
        if y >= height - footer:
            return self._strip(self.draw_footer(y - height + footer, width), width, selected=False)
        if not count and y == header:
            return self._strip(Text(f" {self.empty_text()}", style=self.palette.style("quiet")), width, selected=False)
        index = y - header + self.scroll_offset.y
        if not 0 <= index < count:
            return Strip.blank(width, self.rich_style)
        selected = index == self.cursor
        return self._strip(self.draw_line(index, width, selected), width, selected)

    def _strip(self, text: Text, width: int, selected: bool) -> Strip:
        text.no_wrap = True
        text.end = ""
        text.truncate(width, overflow="ellipsis")
        base = self.palette.style("bright", on="surface") if selected else self.rich_style
        strip = Strip(text.render(self.app.console))
        # rich leaves a text's own style out where it has no spans
        style = base + text.style if isinstance(text.style, Style) else base
        return strip.adjust_cell_length(width).apply_style(style).simplify()

    def page(self) -> int:
        """Lines that fit."""
        return max(1, self.size.height - self.header_height - self.footer_height())

    # the cursor

    def validate_cursor(self, cursor: int) -> int:
        """Inside the lines."""
        return max(0, min(cursor, self.line_count() - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Show the cursor, and tell where it was moved to."""
        if self._placing:
            return
        self.show_cursor()
        self.post_message(self.Moved(self, new))
        self.redraw()

    def show_cursor(self) -> None:
        """Scroll until the cursor's line is seen.

        Past an edge the lines move by half a page: a held key would otherwise send the whole pane at each step. Forced,
        since a scrollbar that new lines call for appears only with the next layout.
        """
        if self.size.height <= self.header_height + self.footer_height():
            return
        top, page = self.scroll_offset.y, self.page()
        if self.cursor < top:
            self.scroll_to(y=max(0, min(self.cursor, top - page // 2)), animate=False, force=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=max(self.cursor - page + 1, top + page // 2), animate=False, force=True)

    def action_cursor(self, step: int) -> None:
        """Move by `step` lines."""
        self.cursor += step

    def action_half_page(self, direction: int) -> None:
        """Move by half of what fits."""
        self.cursor += direction * max(1, self.page() // 2)

    def action_first(self) -> None:
        """To the first line."""
        self.cursor = 0

    def action_last(self) -> None:
        """To the last line."""
        self.cursor = self.line_count() - 1

    def action_choose(self) -> None:
        """Go deeper from the cursor's line."""
        if self.line_count():
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; on the cursor's own line it goes deeper."""
        place = event.get_content_offset(self)
        if place is None:
            return
        header = self.header_height
        if place.y < header:
            self.header_clicked(place.x)
            return
        index = place.y - header + self.scroll_offset.y
        if index >= self.line_count() or place.y >= self.size.height - self.footer_height():
            return
        if index == self.cursor:
            self.action_choose()
        self.cursor = index


def changed_spans(before: Strip, after: Strip) -> list[tuple[int, int]]:
    """Where two strips of equal length differ, in cells; differences a few cells apart make one span."""
    spans: list[tuple[int, int]] = []
    old, new = _cells(before), _cells(after)
    for x in range(max(len(old), len(new))):
        if old[x : x + 1] != new[x : x + 1]:
            near = bool(spans) and x - spans[-1][1] <= APART
            spans[-1:] = [(spans[-1][0], x + 1)] if near else [*spans[-1:], (x, x + 1)]
    return spans


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """What each cell shows; the second cell of a wide character shows the same."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in strip:
        for character in text:
            width = cell_len(character)
            if not width and cells:
                cells[-1] = (cells[-1][0] + character, style)
            cells += [(character, style)] * width
    return cells
