"""The lists of the pick screen: models, corpora and studies at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import BindingType

from headtorch.core.text import visible, visible_token
from headtorch.tui.keymap import bindings
from headtorch.tui.widgets.cells import fit
from headtorch.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from headtorch.core.corpus.listing import CorpusEntry
    from headtorch.core.model.catalog import ModelAtHand
    from headtorch.core.study.study import StudySummary


@dataclass(frozen=True)
class Row:
    """A line of a list: what it stands for, and three things that are said of it."""

    value: str
    name: str
    detail: str = ""
    number: str = ""
    wrong: bool = False


class PickList(Lines):
    """Rows to take one from; Enter or a second click takes it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]

    def __init__(self, empty: str, id: str) -> None:
        super().__init__(id=id)
        self.empty = empty
        self.rows: list[Row] = []

    def fill(self, rows: list[Row]) -> None:
        """Other rows; the cursor stays on what it stood on."""
        before = self.chosen
        self.rows = rows
        self.lines_changed()
        if before is not None:
            self.cursor = next((i for i, row in enumerate(rows) if row.value == before.value), self.cursor)

    @property
    def chosen(self) -> Row | None:
        """The row of the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def line_count(self) -> int:
        return len(self.rows)

    def empty_text(self) -> str:
        return self.empty

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        row, palette = self.rows[index], self.palette
        numbers = max((len(row.number) for row in self.rows), default=0)
        details = min(max((len(row.detail) for row in self.rows), default=0), max(0, width // 2 - numbers))
        room = max(8, width - numbers - details - 6)
        here = selected and self.has_focus
        line = Text("▸ " if selected else "  ", palette.style("bright" if here else "quiet"))
        line.append(fit(row.name, room), palette.style("bright" if here else "text", bold=here))
        line.append("  " + fit(row.detail, details), palette.style("warning" if row.wrong else "quiet"))
        return line.append(f" {row.number:>{numbers}}", palette.style("quiet"))


def model_rows(found: list[ModelAtHand], recent: tuple[str, ...]) -> list[Row]:
    """Those at hand, and those studied before that are not; one that cannot be opened says so."""
    rows = [
        Row(model.name, visible(model.name), visible("✗ " + model.problem if model.problem else model.family or ""),
            size(model.bytes), model.problem is not None)
        for model in found
    ]  # fmt: skip
    there = {model.name for model in found}
    return rows + [Row(name, visible(name), "studied before") for name in recent if name not in there]


def corpus_rows(found: list[CorpusEntry], recent: tuple[str, ...]) -> list[Row]:
    """Those opened before, and those asked for before."""
    rows: dict[str, Row] = {}
    for entry in found:
        documents = f"{entry.documents:,} documents" if entry.documents else ""
        rows.setdefault(entry.spec, Row(entry.spec, visible(entry.spec), documents))
    for spec in recent:
        rows.setdefault(spec, Row(spec, visible(spec), "studied before"))
    return list(rows.values())


def study_rows(found: list[StudySummary]) -> list[Row]:
    """The studies, the newest first."""
    return [_study_row(study) for study in found]


def _study_row(study: StudySummary) -> Row:
    when = time.strftime("%d %b %H:%M", time.localtime(study.modified))
    if study.problem is not None or study.settings is None:
        return Row(str(study.folder), visible(study.name), visible(f"✗ {study.problem}"), when, wrong=True)
    asked = [visible_token(token) for token in study.settings.token_texts] or [f"layers {study.settings.layers}"]
    state = "" if study.finished else " unfinished"
    return Row(str(study.folder), visible(study.name), visible(f"{' '.join(asked[:3])}{state}"), when)


def size(count: int) -> str:
    """Bytes in a few characters."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"
