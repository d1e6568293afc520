"""The neurons that two studies of one model share: what kind they are, whether they are valid, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from headtorch.tui.comparing.columns import Cell, Column
from headtorch.tui.comparing.neuron_page import NEURON, NeuronPage, neuron_cells
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
    "A−B: the difference of the medians. surest: the E of highest lower bound, which is "
    "biased upwards. 0.5 is chance.\n"
    "h and l choose the study that Enter opens at this neuron."
)


class NeuronsPage(NeuronPage):
    """A line a neuron."""

    title = "Neurons"
    help = HELP
    legend = "P: its token follows, ✓ valid · E: median of n scored heads · ~ random neuron"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        *NEURON,
        Column("kind A", 6, right=False, need=3, side=0),
        Column("B", 4, right=False, need=3, side=1),
        Column("P A", 6, need=1, side=0),
        Column("B", 5, need=1, side=1),
        Column("E A", 6, side=0),
        Column("B", 5, side=1),
        Column("A−B", 6),
        Column("n A", 4, need=2, side=0),
        Column("B", 3, need=2, side=1),
        Column("surest A", 8, need=4, side=0),
        Column("B", 5, need=4, side=1),
    )

    def cells_of(self, shared: SharedNeuron) -> list[Cell]:
        """In the order of the columns."""
        first, second = shared.rows
        medians = [row.median_e if row is not None else None for row in shared.rows]
        gain = None if None in medians else (medians[0] or 0.0) - (medians[1] or 0.0)
        kinds = [Cell(KIND_WORDS.get(row.kind, row.kind) if row else "–", "quiet") for row in shared.rows]
        return [
            *neuron_cells(shared),
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
