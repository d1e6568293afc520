"""A page of the comparison: lines to walk through, each perhaps about a neuron or a study that Enter opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import BindingType

from headtorch.core.records import HeadId, Interval, NeuronId
from headtorch.tui.keymap import bindings
from headtorch.tui.panes.figures import fixed, percent
from headtorch.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import Pair, SideBySide


@dataclass(frozen=True)
class Target:
    """What a line is about. `study` is an index into the studies; None: the one of the pair that is looked at."""

    neuron: NeuronId | None = None
    head: HeadId | None = None
    study: int | None = None


class ComparisonPage(Lines):
    """Base of the pages: they are shown the whole comparison, one pair of its studies and the side looked at."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]
    title: ClassVar[str] = ""
    help: ClassVar[str] = ""
    legend: ClassVar[str] = ""  # one line that explains the columns

    found: SideBySide | None = None
    pair: Pair | None = None
    side: int = 0

    def show(self, found: SideBySide, pair: Pair, side: int) -> None:
        """Draw this pair; the cursor stays on what it was on."""
        before = self.target
        fresh = self.pair is not pair
        self.found, self.pair, self.side = found, pair, side
        if fresh:
            self.read()
        if before is None:
            before = next((target for at in range(self.line_count()) if (target := self.target_at(at))), None)
        places = [at for at in range(self.line_count()) if before is not None and self.target_at(at) == before]
        self.lines_changed(places[0] if places else None)

    def read(self) -> None:
        """Take in another pair."""

    def target_at(self, index: int) -> Target | None:
        """What a line is about."""
        return None

    @property
    def target(self) -> Target | None:
        """What the cursor is on."""
        return self.target_at(self.cursor) if self.cursor < self.line_count() else None

    def go_to(self, neuron: NeuronId) -> None:
        """Put the cursor on the first line about a neuron, if there is one."""
        for at in range(self.line_count()):
            target = self.target_at(at)
            if target is not None and target.neuron == neuron:
                self.cursor = at
                return

    def copy_text(self) -> str:
        """The line of the cursor."""
        return self.draw_line(self.cursor, 400, False).plain.strip() if self.line_count() else ""

    def empty_text(self) -> str:
        """Why there is nothing to put side by side."""
        if self.pair is not None and not self.pair.same_model:
            return "Different models, or one was never opened: no neuron is the same."
        return "No neuron was attributed in both."

    def footer_height(self) -> int:
        """The legend, where there is something to explain."""
        return 1 if self.legend and self.line_count() else 0

    def draw_footer(self, row: int, width: int) -> Text:
        """What the columns are."""
        return Text(f" {self.legend}", self.palette.style("quiet"))


def letter(index: int) -> str:
    """A, B, C … for the studies in their order; 27 and more get numbers."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def name_of(found: SideBySide, study: str) -> str:
    """A study's letter by its name."""
    return letter([side.study for side in found.studies].index(study))


def between(interval: Interval | None, digits: int = 2, *, sign: bool = False) -> str:
    """An interval in brackets; a dash where there is none."""
    if interval is None:
        return "–"
    return f"[{fixed(interval.low, digits, sign=sign)}, {fixed(interval.high, digits, sign=sign)}]"


def around_zero(value: float | None) -> str:
    """Two digits after the point, with a sign unless they are zeros."""
    return "0.00" if value is not None and abs(value) < 0.005 else fixed(value, sign=True)


def share(value: float | None) -> str:
    """A share of prompts."""
    return percent(value).replace(" %", "%")
