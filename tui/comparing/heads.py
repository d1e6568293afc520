"""The heads of shared neurons, one by one: active as often, giving as much, explained as well?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from headtorch.core.text import visible_token
from headtorch.tui.comparing.columns import Cell, Column, cursor, header, lay_out, line
from headtorch.tui.comparing.page import ComparisonPage, Target, around_zero, between, share
from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import fixed

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import HeadPair, SharedNeuron

HELP = (
    "Under each shared neuron stand its heads that are worth explaining in both studies, A's value beside B's.\n"
    "Behind the neuron: Spearman's ρ between the studies over all heads that feed it, of β, of the exact effect "
    "on the activation and of the mean direct attribution, each with the number of heads; then how many heads are "
    "worth explaining in one study alone. Heads of a neuron depend on one another, so ρ has no p value. – : "
    "unknown, or fewer than three heads.\n"
    "active: share of the strongest prompts on which the head is active, with A−B and its 95 % interval "
    "(Newcombe's, prompts taken as independent); ! where the interval leaves 0 out. It is not adjusted for the "
    "number of heads: some leave 0 out by chance.\n"
    "direct: mean attribution. β: the head's share of the neuron's variation on random positions. E: score of the "
    "explanation. ⊖ after a head: it suppresses the neuron.\n"
    "h and l choose the study that Enter opens at this neuron and head."
)
MARKED = "!"


class HeadsPage(ComparisonPage):
    """A line a neuron, and under it a line a head."""

    title = "Heads"
    help = HELP
    legend = "active: share of the strongest prompts, ! differs · ρ Spearman over (n) heads · ⊖ suppresses"
    header_height: ClassVar[int] = 1
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("head", 9, right=False, most=11),
        Column("active A", 8, side=0),
        Column("B", 5, side=1),
        Column("A−B", 7),
        Column("95 %", 15, right=False, need=3),
        Column("direct A", 8, need=1, side=0),
        Column("B", 6, need=1, side=1),
        Column("β A", 6, need=4, side=0),
        Column("B", 5, need=4, side=1),
        Column("E A", 6, need=2, side=0),
        Column("B", 5, need=2, side=1),
        Column("95 % of E, A", 13, need=5, right=False, side=0),
        Column("B", 13, need=5, right=False, side=1),
    )

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[tuple[SharedNeuron, HeadPair | None]] = []

    def read(self) -> None:
        """Neurons and their heads, in the order of the pair."""
        neurons = self.pair.neurons if self.pair is not None else []
        self._rows = [(one, head) for one in neurons for head in (None, *one.heads)]

    def line_count(self) -> int:
        """Neurons and heads."""
        return len(self._rows)

    def target_at(self, index: int) -> Target:
        """The neuron, and the head where the line has one."""
        shared, head = self._rows[index]
        return Target(shared.neuron, head.head if head else None)

    def draw_header(self, width: int) -> Text:
        """The titles."""
        return header(lay_out(self.COLUMNS, width), self.palette, self.side) if self.line_count() else Text()

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A neuron with its agreement, or a head."""
        shared, head = self._rows[index]
        focused = selected and self.has_focus
        if head is None:
            return neuron_line(shared, self.palette, selected, focused)
        return line(lay_out(self.COLUMNS, width), cells_of(head), self.palette, selected, focused)


def neuron_line(shared: SharedNeuron, palette: Palette, selected: bool, focused: bool) -> Text:
    """The neuron, ρ of what its heads are compared by, and the heads of one study alone."""
    quiet, text = palette.style("quiet"), palette.style("bright" if selected else "text")
    out = cursor(palette, selected, focused)
    out.append(f"{shared.neuron} ", palette.style("bright", bold=True))
    out.append(f"{visible_token(shared.token)}  ", palette.style("token"))
    for name, found in (("ρ β", shared.beta), ("effect", shared.effect), ("direct", shared.mean_direct)):
        n = f" ({found.n})  " if found.n else "  "
        out.append(f"{name} ", quiet).append(fixed(found.spearman), text).append(n, quiet)
    return out.append(f"only A {shared.only_first} B {shared.only_second}", quiet)


def cells_of(head: HeadPair) -> list[Cell]:
    """In the order of the columns."""
    seen = head.activity
    differs = seen.interval is not None and not seen.interval.low <= 0 <= seen.interval.high
    return [
        Cell(f"  {head.head}{' ⊖' if head.suppressing else ''}"),
        *(Cell(share(value)) for value in (seen.first, seen.second)),
        Cell(fixed(seen.difference, sign=True) + (MARKED if differs else " "), "text" if differs else "quiet"),
        Cell(between(seen.interval, sign=True), "quiet"),
        *(Cell(around_zero(value)) for value in head.mean_direct),
        *(Cell(fixed(value)) for value in head.beta),
        *(Cell(fixed(value), "text" if value is not None else "quiet") for value in head.e),
        *(Cell(between(interval), "quiet") for interval in head.intervals),
    ]
