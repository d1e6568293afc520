"""The list of heads: one line for each head that claims are about, or the last tokens where heads explain nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.text import Text
from textual.geometry import Size

from headtorch.core.claims import Estimate, LastToken
from headtorch.core.format import percent_with_interval, points_with_interval
from headtorch.core.records import HeadId
from headtorch.core.text import visible_token
from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import figure, fixed, percent
from headtorch.tui.panes.flow import flow, paragraph
from headtorch.tui.panes.head_entries import FINDING, HeadEntries, HeadEntry
from headtorch.tui.widgets.cells import fit

FRONT = 2  # cells of the cursor
OF_EFFECT = "e"  # behind a share that was not measured within matched pairs
Column = Literal["takes", "delta", "E", "by"]
WIDTHS: dict[Column, int] = {"takes": 7, "delta": 5, "E": 5, "by": 6}
BY_WORTH: tuple[Column, ...] = ("takes", "delta", "E", "by")
NAMES: dict[Column, str] = {"takes": "takes ", "delta": "Δ", "E": "E", "by": "label"}
INTERVAL = 14  # cells of Δ with its interval
STANDING = 2


@dataclass(frozen=True)
class HeadList:
    """The list as rows of the pane: the names of the columns, the heads, and what is known of the cursor's."""

    entries: HeadEntries

    @property
    def heads(self) -> list[HeadId]:
        """From the top."""
        return [one.head for one in self.entries.entries]

    @property
    def titles(self) -> tuple[str, str]:
        """Of the border."""
        shown, share = self.entries, self.entries.share
        if shown.last_token:
            return "3 Heads · last token", ""
        counted = f"{shown.chosen} of {shown.eligible}"
        return "3 Heads · by share", counted if share is None else f"heads {percent(share.share.value)} · {counted}"

    def copy_text(self, head: HeadId | None) -> str:
        """The head's facts on one line; of a neuron without such heads its last tokens."""
        entry = self.entries.of(head)
        if entry is not None:
            return f"{self.entries.neuron}: {entry.head} {'; '.join(entry.facts)}"
        tokens = self.entries.share.last_tokens if self.entries.share is not None else []
        return f"{self.entries.neuron}: {', '.join(visible_token(one.token) for one in tokens)}"

    def moved(self, head: HeadId | None, step: int) -> HeadId | None:
        """The head `step` lines below this one, inside the list; from elsewhere its first."""
        heads = self.heads
        if not heads:
            return head
        return heads[max(0, min(heads.index(head) + step, len(heads) - 1))] if head in heads else heads[0]

    def row(self, y: int, size: Size, head: HeadId | None, palette: Palette) -> Text:
        """Row `y` of the pane."""
        if self.entries.last_token and not self.entries.entries:
            lines = last_tokens(self.entries, size.width, palette)
            return lines[y] if y < len(lines) else Text()
        if y == 0:
            return header(self.entries, size.width, palette)
        entry = self._entry(y, size, head)
        if entry is not None:
            return line(self.entries, entry, size.width, palette, entry.head == head)
        below = facts_below(self.entries, head, size.width, palette)
        at = y - len(self.entries.entries) - 2
        return below[at] if 0 <= at < len(below) else Text()

    def at(self, y: int, size: Size, head: HeadId | None) -> HeadId | None:
        """The head on row `y`."""
        entry = self._entry(y, size, head)
        return entry.head if entry is not None else None

    def _entry(self, y: int, size: Size, head: HeadId | None) -> HeadEntry | None:
        """Where more heads are there than rows, the cursor's is the last that is seen."""
        heads = self.heads
        below = heads.index(head) - (size.height - 2) if head in heads else 0
        at = y - 1 + max(0, below)
        return self.entries.entries[at] if y > 0 and at < len(heads) else None


@dataclass(frozen=True)
class ListLayout:
    """What fits a width."""

    address: int
    columns: tuple[Column, ...]
    interval: bool  # whether Δ stands with it

    def width(self, column: Column) -> int:
        """Cells of a column, its gap in front included."""
        return INTERVAL if column == "delta" and self.interval else WIDTHS[column]


def layout(entries: HeadEntries, width: int) -> ListLayout:
    """The columns by worth as far as they fit; Δ's interval before E and the label."""
    address = max((len(str(one.head)) for one in entries.entries), default=5)
    left = width - FRONT - address - STANDING
    columns: list[Column] = []
    for column in BY_WORTH:
        if left < WIDTHS[column]:
            break
        columns.append(column)
        left -= WIDTHS[column]
    more = INTERVAL - WIDTHS["delta"]
    while "delta" in columns and left < more and columns[-1] in ("E", "by"):
        left += WIDTHS[columns.pop()]
    return ListLayout(address, tuple(columns), "delta" in columns and left >= more)


def header(entries: HeadEntries, width: int, palette: Palette) -> Text:
    """The names of the columns."""
    shown = layout(entries, width)
    text = Text(" " * FRONT + fit("head", shown.address), palette.style("quiet"))
    for column in shown.columns:
        text.append(NAMES[column].rjust(shown.width(column)))
    return text


def line(entries: HeadEntries, entry: HeadEntry, width: int, palette: Palette, selected: bool) -> Text:
    """A head with its numbers, or why it has none."""
    shown = layout(entries, width)
    plain = palette.style("bright" if selected else "text", bold=selected)
    quiet = palette.style("quiet")
    text = Text("▸ " if selected else "  ", palette.style("bright", bold=True))
    text.append(fit(str(entry.head), shown.address), plain)
    if "takes" in shown.columns:
        mark = " " if entry.by_pairs else OF_EFFECT
        colour = palette.style("lamp" if (entry.takes or 0.0) > 0 else "negative") if entry.takes else quiet
        text.append(percent(entry.takes).rjust(WIDTHS["takes"] - 1), colour).append(mark, quiet)
    if entry.note:
        return text.append(f"  {entry.note}", quiet)
    for column in shown.columns[1:]:
        value = _cell(entry, column, shown.interval)
        text.append(value.rjust(shown.width(column)), quiet if value == "·" else plain)
    style = palette.style("bright", bold=True) if entry.standing == FINDING else quiet
    return text.append(f" {entry.standing}", style)


def _cell(entry: HeadEntry, column: Column, interval: bool) -> str:
    if column == "E":
        return "·" if entry.e is None else fixed(entry.e)
    if column == "by":
        return entry.label or "·"
    if entry.contrast is None:
        return "·"
    return points_with_interval(entry.contrast if interval else Estimate(entry.contrast.value))


def facts_below(entries: HeadEntries, head: HeadId | None, width: int, palette: Palette) -> list[Text]:
    """The cursor's head in numbers."""
    entry = entries.of(head)
    if entry is None:
        return []
    pieces = [Text(str(entry.head), style=palette.style("bright", bold=True))]
    pieces += [Text(fact, style=palette.style("text")) for fact in entry.facts]
    return flow(pieces, width, Text(" · ", style=palette.style("quiet")), indent=1)


def last_tokens(entries: HeadEntries, width: int, palette: Palette) -> list[Text]:
    """Why no head is explained, and the tokens that drive the neuron by themselves."""
    share = entries.share
    assert share is not None
    quiet, text = palette.style("quiet"), palette.style("text")
    said = (
        f"Driven by its last token: heads account for {percent_with_interval(share.share)} of its activation where it "
        "fires, so no claim is about them."
    )
    lines = [*paragraph(said, width, text, indent=1), Text()]
    if share.last_tokens:
        lines += flow([Text("strongest last tokens, without attention", style=quiet)], width, indent=1)
        lines += _bars(share.last_tokens, width, palette)
    if share.r2 is not None:
        told = f"R² {fixed(share.r2)}: how well the last token alone tells the activation on held-out text."
        lines += [Text(), *paragraph(told, width, quiet, indent=1)]
    return lines


def _bars(tokens: list[LastToken], width: int, palette: Palette) -> list[Text]:
    shown = [visible_token(one.token) for one in tokens]
    name = min(max(map(len, shown)), max(6, width // 2))
    top = max(abs(one.activation) for one in tokens) or 1.0
    room = max(0, min(24, width - name - 10))
    lines = []
    for one, word in zip(tokens, shown, strict=True):
        cells = max(0, round(room * abs(one.activation) / top))
        row = Text(" ").append(fit(word, name), palette.style("token"))
        row.append(figure(one.activation).rjust(8), palette.style("text"))
        lines.append(row.append(" " + "█" * cells, palette.style("lamp" if one.activation > 0 else "negative")))
    return lines
