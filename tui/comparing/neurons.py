"""The neurons that two studies of one model share: what kind they are, whether they are valid, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from headtorch.core.text import visible_token
from headtorch.tui.comparing.columns import Cell, Column, header, lay_out, line, sized
from headtorch.tui.comparing.page import ComparisonPage, Target
from headtorch.tui.panes.figures import fixed
from headtorch.tui.panes.neuron_columns import KIND_WORDS

if TYPE_CHECKING:
    from headtorch.core.study.rows import NeuronRow
    from headtorch.core.study.side_by_side import SharedNeuron

HELP = (
    "Neurons that both studies have attributed, each value of the first study (A) beside that of the second (B). "
    "~ before a neuron: random in one of them, there to compare with.\n"
    "kind: prediction (pred), suppression (supp) or entropy (entr) neuron, or none of these (·).\n"
    "P: share of the neuron's strongest prompts that its token really follows; ✓ where that is far above the "
    "token's share of all text.\n"
    "E: median over the n heads whose explanation could be scored, by the first explainer that both studies have; "
    "A−B: the difference of the medians. best: the highest E, which leans upwards. 0.5 is chance.\n"
    "h and l choose the study that Enter opens at this neuron."
)


class NeuronsPage(ComparisonPage):
    """A line a neuron."""

    title = "Neurons"
    help = HELP
    legend = "P: its token follows, ✓ valid · E: median of n scored heads · ~ random neuron"
    header_height: ClassVar[int] = 1
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("neuron", 9, right=False, most=11),
        Column("token", 6, right=False, most=18),
        Column("kind A", 6, right=False, need=3, side=0),
        Column("B", 4, right=False, need=3, side=1),
        Column("P A", 6, need=1, side=0),
        Column("B", 5, need=1, side=1),
        Column("E A", 6, side=0),
        Column("B", 5, side=1),
        Column("A−B", 6),
        Column("n A", 4, need=2, side=0),
        Column("B", 3, need=2, side=1),
        Column("best A", 6, need=4, side=0),
        Column("B", 5, need=4, side=1),
    )

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._cells: list[list[Cell]] = []
        self._columns: list[Column] = []

    def read(self) -> None:
        """The cells of every neuron."""
        self._cells = [cells_of(shared) for shared in self.rows()]
        self._columns = sized(self.COLUMNS, self._cells)

    def rows(self) -> list[SharedNeuron]:
        """The neurons of the pair."""
        return self.pair.neurons if self.pair is not None else []

    def line_count(self) -> int:
        """Neurons."""
        return len(self.rows())

    def target_at(self, index: int) -> Target:
        """The neuron."""
        return Target(self.rows()[index].neuron)

    def draw_header(self, width: int) -> Text:
        """The titles."""
        return header(lay_out(self._columns, width), self.palette, self.side) if self.line_count() else Text()

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A neuron."""
        places = lay_out(self._columns, width)
        return line(places, self._cells[index], self.palette, selected, selected and self.has_focus)


def cells_of(shared: SharedNeuron) -> list[Cell]:
    """In the order of the columns."""
    first, second = shared.rows
    random = any(row is not None and row.random for row in shared.rows)
    medians = [row.median_e if row is not None else None for row in shared.rows]
    gain = None if None in medians else (medians[0] or 0.0) - (medians[1] or 0.0)
    kinds = [Cell(KIND_WORDS.get(row.kind, row.kind) if row else "–", "quiet") for row in shared.rows]
    return [
        Cell(f"{'~' if random else ''}{shared.neuron}", "quiet" if random else "text"),
        Cell(visible_token(shared.token), "token"),
        *kinds,
        Cell(_valid(first)),
        Cell(_valid(second)),
        *(Cell(fixed(value), "text" if value is not None else "quiet") for value in medians),
        Cell(fixed(gain, sign=True), "text" if gain is not None else "quiet"),
        *(Cell(str(row.scored) if row else "–", "quiet") for row in shared.rows),
        *(Cell(fixed(row.best_e if row else None), "quiet") for row in shared.rows),
    ]


def _valid(row: NeuronRow | None) -> str:
    if row is None or row.next_share is None:
        return "– "
    return f"{fixed(row.next_share)}{'✓' if row.valid else ' '}"
