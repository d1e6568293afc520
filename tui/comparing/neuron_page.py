"""A page with a line for each neuron that a pair of studies shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from headtorch.core.text import visible_token
from headtorch.tui.comparing.columns import Cell, Column, header, lay_out, line, sized
from headtorch.tui.comparing.page import ComparisonPage, Target

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import SharedNeuron

NEURON = (Column("neuron", 9, right=False, most=11), Column("token", 6, right=False, most=18))


class NeuronPage(ComparisonPage):
    """Subclasses name the COLUMNS, NEURON's in front, and make their cells in `cells_of`."""

    header_height: ClassVar[int] = 1
    COLUMNS: ClassVar[tuple[Column, ...]] = NEURON

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._cells: list[list[Cell]] = []
        self._columns: list[Column] = []

    def cells_of(self, shared: SharedNeuron) -> list[Cell]:
        """What stands in the columns."""
        return neuron_cells(shared)

    def read(self) -> None:
        """The cells of every neuron."""
        self._cells = [self.cells_of(shared) for shared in self.rows()]
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


def neuron_cells(shared: SharedNeuron) -> list[Cell]:
    """The neuron and its token, quiet where it is random in one of the studies."""
    random = any(row is not None and row.random for row in shared.rows)
    return [
        Cell(f"{'~' if random else ''}{shared.neuron}", "quiet" if random else "text"),
        Cell(visible_token(shared.token), "token"),
    ]
