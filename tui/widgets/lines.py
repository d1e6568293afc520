"""A list of lines with a cursor, drawn one by one when they come into view: as quick for a million lines as for ten."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from headtorch.tui.palette import CAVE, Palette


class Lines(ScrollView, can_focus=True):
    """Base of the list panes: subclasses say how many lines there are and what stands on each.

    The cursor's line is drawn on the surface colour with a ▸ in front, so that it shows without colour too.
    """

    DEFAULT_CSS = "Lines { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }"

    cursor: reactive[int] = reactive(0, init=False)

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

    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """What stands on line `index`; cut and padded to `width` afterwards."""
        raise NotImplementedError

    def draw_header(self, width: int) -> Text | None:
        """A line that stays at the top; None for none."""
        return None

    def empty_text(self) -> str:
        """One sentence that stands where there are no lines."""
        return ""

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    def lines_changed(self) -> None:
        """Call after the lines have changed: measures and draws again, and keeps the cursor inside."""
        self.virtual_size = Size(self.size.width, self.line_count() + self._header_height())
        last = max(0, self.line_count() - 1)
        if self.cursor > last:
            self.cursor = last
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """The lines are as wide as the pane."""
        self.lines_changed()
        self.show_cursor()

    def watch_cursor(self, old: int, new: int) -> None:
        """Draw the two lines again, scroll to the new one and tell."""
        for index in (old, new):
            self.refresh_line_at(index)
        self.show_cursor()
        self.post_message(self.Moved(self, new))

    def refresh_line_at(self, index: int) -> None:
        """Draw one line again."""
        self.refresh(Region(0, index + self._header_height() - self.scroll_offset.y, self.size.width, 1))

    def validate_cursor(self, cursor: int) -> int:
        """Inside the lines."""
        return max(0, min(cursor, self.line_count() - 1))

    def show_cursor(self) -> None:
        """Scroll as little as needed to see the cursor's line."""
        header = self._header_height()
        top, height = self.scroll_offset.y, self.size.height - header
        if height <= 0:
            return
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def render_line(self, y: int) -> Strip:
        """Line `y` of the widget."""
        width, header = self.size.width, self._header_height()
        if y < header:
            text = self.draw_header(width) or Text()
            return self._strip(text, width, selected=False)
        index = y - header + self.scroll_offset.y
        if not self.line_count() and y == header:
            return self._strip(Text(f" {self.empty_text()}", style=self.palette.style("quiet")), width, selected=False)
        if not 0 <= index < self.line_count():
            return Strip.blank(width, self.rich_style)
        selected = index == self.cursor
        return self._strip(self.draw_line(index, width, selected), width, selected)

    def _strip(self, text: Text, width: int, selected: bool) -> Strip:
        text.no_wrap = True
        text.truncate(width, overflow="ellipsis")
        background = self.palette.style("bright", on="surface") if selected else self.rich_style
        strip = Strip(text.render(self.app.console), text.cell_len)
        return strip.extend_cell_length(width).crop(0, width).apply_style(background)

    def _header_height(self) -> int:
        return 0 if self.draw_header(1) is None else 1

    def page(self) -> int:
        """Lines that fit."""
        return max(1, self.size.height - self._header_height())

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
        index = event.y - self._header_height() + self.scroll_offset.y
        if not 0 <= index < self.line_count() or event.y < self._header_height():
            return
        if index == self.cursor:
            self.action_choose()
        self.cursor = index
