"""A widget drawn row by row that sends the terminal only the rows that look different from before."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from headtorch.tui.palette import CAVE, Palette


class Rows(Widget):
    """Subclasses draw a row in `compose_row` and call `redraw` when something changed."""

    _drawn: dict[int, Strip] | None = None  # what the terminal shows
    _titles: tuple[str, str] = ("", "")

    def compose_row(self, y: int) -> Strip:
        """Row `y`, as wide as the widget."""
        raise NotImplementedError

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    def set_titles(self, title: str, subtitle: str) -> None:
        """The border's two titles, shown as they are; the border is drawn again only where they differ."""
        if (title, subtitle) != self._titles:
            self._titles = (title, subtitle)
            self.border_title, self.border_subtitle = Content(title), Content(subtitle)

    def redraw(self, rows: Iterable[int] | None = None) -> None:
        """Draw the rows again that look different; `rows`: none but these can."""
        if self._drawn is None:
            self.refresh()
            return
        for y in range(self.size.height) if rows is None else rows:
            if 0 <= y < self.size.height and self._drawn.get(y) != self.compose_row(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Row `y`, remembered."""
        if self._drawn is None:
            self._drawn = {}
        strip = self._drawn[y] = self.compose_row(y)
        return strip

    def notify_style_update(self) -> None:
        """Another theme: everything looks different."""
        super().notify_style_update()
        self._drawn = None
