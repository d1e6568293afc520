"""The first frame on a study: its name on the plate, while the panes are loaded."""

from __future__ import annotations

from rich.text import Text
from textual.screen import Screen

from headtorch.core.text import visible
from headtorch.tui.palette import CAVE, Palette


class PlateScreen(Screen[None]):
    """headtorch › the study that is being opened."""

    DEFAULT_CSS = "PlateScreen { background: $ht-background; }"

    def __init__(self, opens: str | None) -> None:
        super().__init__()
        self._opens = opens

    def render(self) -> Text:
        """One line, as the breadcrumb will have it."""
        palette: Palette = getattr(self.app, "palette", CAVE)
        plate = (" headtorch ", palette.style("background", on="lamp", bold=True))
        if self._opens is None:
            return Text.assemble(plate)
        return Text.assemble(plate, (f" › opening {visible(self._opens)} …", palette.style("quiet")))
