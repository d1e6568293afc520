"""Is a neuron fed by the same heads in both studies? Neuron by neuron, over all of its heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from headtorch.tui.comparing.columns import Cell, Column
from headtorch.tui.comparing.neuron_page import NEURON, NeuronPage, neuron_cells
from headtorch.tui.panes.figures import fixed

if TYPE_CHECKING:
    from headtorch.core.analysis.consistency import RankAgreement
    from headtorch.core.study.side_by_side import SharedNeuron

HELP = (
    "Is a neuron fed by the same heads elsewhere? For each neuron of both studies, Spearman's ρ between them over "
    "all heads that feed it, n of them:\n"
    "β: a head's share of the neuron's variation on random positions; effect: the exact effect on the activation "
    "of replacing the head, by the same replacement in both; direct: its mean attribution.\n"
    "active: ρ of the share of the strongest prompts on which a head is active, over heads worth explaining in "
    "both. both, only A, B: how many heads are worth explaining in both studies, or in one alone.\n"
    "differ: heads of both whose shares of active prompts differ by an interval that leaves 0 out; some do by "
    "chance.\n"
    "1 is the same order, 0 no relation. Heads depend on one another, so there is no p value. – : fewer than "
    "three heads.\n"
    "Enter opens the study chosen with h and l at this neuron; the page Heads has the heads one by one."
)


class AgreementPage(NeuronPage):
    """A line a neuron."""

    title = "Consistency"
    help = HELP
    legend = "ρ Spearman over n heads · differ: of the heads in both, those active more often in one"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        *NEURON,
        Column("ρ β", 5),
        Column("n", 4, need=3),
        Column("effect", 6),
        Column("n", 4, need=4),
        Column("direct", 6),
        Column("n", 4, need=5),
        Column("active", 6),
        Column("both", 4, need=1),
        Column("differ", 6, need=1),
        Column("only A", 6, need=2, side=0),
        Column("B", 3, need=2, side=1),
    )

    def cells_of(self, shared: SharedNeuron) -> list[Cell]:
        """In the order of the columns."""
        intervals = [head.activity.interval for head in shared.heads]
        differ = sum(found is not None and not found.low <= 0 <= found.high for found in intervals)
        return [
            *neuron_cells(shared),
            *_agreement(shared.beta),
            *_agreement(shared.effect),
            *_agreement(shared.mean_direct),
            _agreement(shared.share)[0],
            Cell(str(len(shared.heads))),
            Cell(str(differ), "text" if differ else "quiet"),
            Cell(str(shared.only_first), "quiet"),
            Cell(str(shared.only_second), "quiet"),
        ]

    def footer_height(self) -> int:
        """What the two are on, and the legend."""
        return 2 if self.line_count() else 0

    def draw_footer(self, row: int, width: int) -> Text:
        """On which corpora, then the legend."""
        if row:
            return super().draw_footer(row, width)
        same = self.pair is not None and self.pair.same_corpus
        said = (
            "One corpus in both: this is agreement over settings, not over corpora."
            if same
            else "Two corpora: a high ρ says that the same heads feed the neuron on both."
        )
        return Text(f" {said}", self.palette.style("warning" if same else "text"))


def _agreement(found: RankAgreement) -> tuple[Cell, Cell]:
    known = found.spearman is not None
    return Cell(fixed(found.spearman), "text" if known else "quiet"), Cell(str(found.n), "quiet")
