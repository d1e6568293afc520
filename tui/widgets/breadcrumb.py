"""The top line: where you are, and what the machine is doing."""

from __future__ import annotations

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from headtorch.core.events import DeviceUse
from headtorch.core.text import visible, visible_token
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.read_only import is_the_tour
from headtorch.tui.session import Session

GIB = 2**30


class Breadcrumb(Widget):
    """headtorch › model › tokens › neuron › head, and at the right the device."""

    DEFAULT_CSS = "Breadcrumb { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._device = ""

    def show(self, session: Session) -> None:
        """Draw what the session holds now, where it differs."""
        parts, device = crumbs(session), device_text(session.device)
        if (parts, device) != (self._parts, self._device):
            self._parts, self._device = parts, device
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The whole line; the device gives way where there is no room for both."""
        width = self.size.width
        palette: Palette = getattr(self.app, "palette", CAVE)
        plate = palette.style("background", on="lamp", bold=True)
        line = Text.assemble((" headtorch ", plate), " ")
        for i, part in enumerate(self._parts):
            last = i == len(self._parts) - 1
            line.append(" › " if i else " ", palette.style("quiet"))
            token = part.startswith(('"', "“"))
            line.append(part, palette.style("bright" if last else "token" if token else "text", bold=last))
        room = width - line.cell_len - 2
        if len(self._device) <= room:
            line.append(" " * (room - len(self._device) + 1))
            line.append(self._device, palette.style("quiet"))
        line.truncate(width, overflow="ellipsis")
        strip = Strip(line.render(self.app.console), line.cell_len)
        return strip.extend_cell_length(width).crop(0, width).apply_style(self.rich_style)


def crumbs(session: Session) -> list[str]:
    """Model, tokens, neuron, head: as deep as the user is."""
    settings, chosen = session.state.settings, session.selection
    if settings is None:
        return ["opening the study"] if session.requests.waiting else []
    tokens = ", ".join(f'"{visible(text)}"' for text in settings.token_texts[:3])
    model = visible(settings.model.rstrip("/").rsplit("/", 1)[-1])
    parts = [f"tour of {model}" if is_the_tour(session) else model, tokens or visible(f"layers {settings.layers}")]
    row = session.row()
    if chosen.neuron is not None:
        parts.append(f"{chosen.neuron}{' ' + visible_token(row.token) if row else ''}")
    if chosen.head is not None and chosen.deepest >= 2:
        parts.append(str(chosen.head))
    return parts


def device_text(use: DeviceUse | None) -> str:
    """The device, how busy it is and its memory, such as "cuda:0 H100  41 %  6.2/80 GB"."""
    if use is None:
        return ""
    busy = "" if use.busy is None else f"  {use.busy:.0%}"
    total = "" if use.memory_total is None else f"/{use.memory_total / GIB:.0f}"
    return f"{visible(use.device)}{busy}  {use.memory_used / GIB:.1f}{total} GB"
