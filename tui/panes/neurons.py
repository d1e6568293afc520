"""Pane 1: the study's neurons, or every neuron of its layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from headtorch.core.engine.protocol import NeuronList
from headtorch.core.records import NeuronId
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings
from headtorch.tui.panes import neuron_columns as columns
from headtorch.tui.panes.neuron_filter import matching
from headtorch.tui.panes.neuron_table import (
    BASELINE,
    COLUMNS,
    DRIVEN,
    LAST_TOKEN,
    OF_CLAIMS,
    RANDOM,
    Column,
    Ints,
    NeuronTable,
    table_of,
    table_of_all,
)
from headtorch.tui.session import Session
from headtorch.tui.topics import Topic
from headtorch.tui.widgets.lines import Lines

HELP = """\
One neuron a line. The cursor's neuron is the one that all other panes are about.

token: the token that the neuron's output weights favour most; · is a space.
P: how often the token really comes next where the neuron fires most. ✓: valid, P is at least 0.5 and far above what \
is usual in the corpus.
heads: context share, how much of the activation heads account for where the neuron fires: what is lost when the \
outputs of all heads there are replaced by their means. Below 20 % the neuron stands in a group of its own, driven by \
the last token: its heads are not explained. In order of this column valid neurons come first.
ok: of the claims tested about the neuron and its heads, how many are findings: 2/5.
E: score of the neuron's context claim on held-out text; 0.5 is chance. In a study without claims: the median score of \
its heads' explanations, those of the study's own explainer.
c: congruence, the inner product of its output weights with the token's unembedding. cos: the same as a cosine.
z: how many standard deviations c stands above the rest of the vocabulary.
kind: pred(iction), supp(ression), entr(opy) by the shape of its effect on all tokens; · ordinary.
n: heads scored.
★: bookmark. ~: random neuron of the baseline. +: looked at by name. ◆: one of the study's, among all of the layers.
· means not measured. Narrow panes leave columns out; the one sorted by is always there.

The filter takes several terms, all of which must hold: a part of the token, "a whole token" in quotes, L3, L3.N412, \
or a kind in full (prediction, suppression, entropy, ordinary).
A click on a column's name sorts by it, a second one turns the order round."""
GROUPS = {LAST_TOKEN: "driven by the last token", BASELINE: "random"}  # those with a heading


class NeuronsPane(Lines):
    """The list of neurons. It posts Moved and Chosen as every list does, and two wishes of its own."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "neurons")]

    number = 1
    topics: frozenset[Topic] = frozenset({"neurons", "study"})
    help = HELP
    header_height = 1

    class FilterWanted(Message):
        """The user wants to type a filter; `set_filter` takes it."""

    class AllWanted(Message):
        """Every neuron of the layers is to be shown, and nobody has asked the engine for them yet."""

    def __init__(self) -> None:
        super().__init__()
        self.filter_text = ""
        self.sorted_by: Column = "z"
        self.reverse = False
        self.show_random = True
        self.show_all = False
        self._session: Session | None = None
        self._table: NeuronTable | None = None
        self._all: tuple[NeuronList, NeuronTable] | None = None
        self._order: Ints = np.zeros(0, np.int64)  # rows of the table; −g: the heading of group g
        self._selection: NeuronId | None = None  # the session's, when it was last looked at
        self._sorted_yet = False
        self._has_claims = False  # whether the study tests any

    # what it tells others

    @property
    def selected_neuron(self) -> NeuronId | None:
        """The neuron under the cursor."""
        return self.neuron_at(self.cursor)

    def neuron_at(self, index: int) -> NeuronId | None:
        """The neuron on a line."""
        if self._table is None or not 0 <= index < len(self._order) or self._order[index] < 0:
            return None
        return self._table.neuron(int(self._order[index]))

    def copy_text(self) -> str:
        """The address under the cursor."""
        return str(self.selected_neuron or "")

    # what it shows

    def show(self, session: Session) -> None:
        """The neurons as the session has them; the cursor stays on its neuron unless another was selected."""
        self._session, self._has_claims = session, has_claim_stages(session.state)
        if not self._sorted_yet and (settings := session.state.settings) is not None:
            usual: Column = "heads" if self._has_claims else "z"
            self.sorted_by, self._sorted_yet = "c" if settings.preset == "paper" else usual, True
        before, chosen = self.selected_neuron, session.selection.neuron
        wanted = chosen if chosen is not None and chosen != self._selection else before
        self._selection = chosen
        self._table = self._present_table(session)
        self._arrange(wanted or chosen)

    def _present_table(self, session: Session) -> NeuronTable:
        listed = session.all_neurons
        if not self.show_all or listed is None:
            return table_of(session, (session.state.neurons | session.state.visited).values())
        if self._all is None or self._all[0] is not listed:
            self._all = (listed, table_of_all(session, listed))
        else:
            self._all[1].take_results(session)
        return self._all[1]

    def _arrange(self, keep: NeuronId | None) -> None:
        """Filter and sort, and put the cursor on `keep` again; where that is gone, tell who is there instead."""
        table = self._table
        if table is None:
            return
        kept = matching(table, self.filter_text)
        if not self.show_random:
            kept &= table.member != RANDOM
        self._order = self._grouped(table, table.sorted(kept, self.sorted_by, self.reverse))
        place = self._place_of(keep)
        self._write_titles()
        self.lines_changed(place)
        if place is None and self.selected_neuron is not None and keep is not None:
            self.post_message(self.Moved(self, self.cursor))

    def _grouped(self, table: NeuronTable, rows: Ints) -> Ints:
        """Neurons driven by their last token below the others, then the random ones, each group under its heading."""
        if self._among_all(table) or not np.any(table.heads == table.heads):
            return rows
        groups = table.group[rows]
        parts: list[Ints] = [rows[groups == DRIVEN]]
        for group in GROUPS:
            if len(mine := rows[groups == group]):
                parts += [np.array([-group]), mine]
        return np.concatenate(parts)

    def _among_all(self, table: NeuronTable | None) -> bool:
        return self._all is not None and table is self._all[1]

    def _place_of(self, neuron: NeuronId | None) -> int | None:
        if neuron is None or self._table is None:
            return None
        row = self._table.rows_of([neuron]).get(neuron)
        places = np.flatnonzero(self._order == row) if row is not None else np.zeros(0, np.int64)
        return int(places[0]) if len(places) else None

    def _write_titles(self) -> None:
        settings = self._session.state.settings if self._session else None
        parts = [settings.layers] if settings else []
        total = 0 if self._table is None else len(self._table)
        parts.append(f"{np.count_nonzero(self._order >= 0):,} of {total:,}")
        if self._waits_for_all():
            parts.append("listing all …")
        if self.filter_text.strip():
            parts.append(f"/{self.filter_text.strip()}")
        parts.append(f"by {self.sorted_by}")
        valid_first = self.sorted_by == "heads" and not self.reverse
        self.set_titles(
            Text("1 Neurons · valid first" if valid_first else "1 Neurons"), Text(visible(" · ".join(parts)))
        )

    def _waits_for_all(self) -> bool:
        return self.show_all and (self._session is None or self._session.all_neurons is None)

    def line_count(self) -> int:
        """Neurons that pass the filter, and headings."""
        return len(self._order)

    def validate_cursor(self, cursor: int) -> int:
        """Inside the lines and never on a heading: on the neuron behind it in the direction of travel."""
        step = -1 if cursor < self.cursor else 1
        cursor = super().validate_cursor(cursor)
        if not self._is_heading(cursor):
            return cursor
        return cursor + step if 0 <= cursor + step < len(self._order) else cursor - step

    def _is_heading(self, index: int) -> bool:
        return 0 <= index < len(self._order) and bool(self._order[index] < 0)

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A neuron, or the heading of a group."""
        assert self._table is not None
        row = int(self._order[index])
        if row < 0:
            return columns.group_heading(GROUPS[-row], width, self.palette)
        among_all = self._among_all(self._table)
        return columns.line(self._table, row, self._places(width), self.palette, selected, among_all)

    def draw_header(self, width: int) -> Text:
        """The columns' names."""
        return columns.header(self._places(width), self.sorted_by, self.reverse, self.palette)

    def _places(self, width: int) -> list[columns.Place]:
        address = 0 if self._table is None else self._table.address_cells
        by_worth = columns.DROPPED_LAST if self._has_claims else columns.WITHOUT_CLAIMS
        return columns.lay_out(width, max(len("neuron▴"), address), self.sorted_by, by_worth)

    def empty_text(self) -> str:
        """Why there is nothing."""
        if self._table is None or not len(self._table):
            return "No neurons yet; they appear when the weights are read."
        if self.filter_text.strip():
            return f"No neuron matches {visible(self.filter_text.strip())}; / changes it."
        return "Only random neurons were found; r shows them."

    # what the user does

    def set_filter(self, text: str) -> None:
        """Show only the neurons that meet every term; all again for an empty text."""
        self.filter_text = text
        self._arrange(self.selected_neuron or self._selection)

    def action_filter(self) -> None:
        """Ask for a filter."""
        self.post_message(self.FilterWanted())

    def action_sort(self) -> None:
        """Sort by the next column."""
        there = [column for column in COLUMNS if self._has_claims or column not in OF_CLAIMS]
        self.sort_by(there[(there.index(self.sorted_by) + 1) % len(there)])

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.reverse = not self.reverse
        self._arrange(self.selected_neuron)

    def sort_by(self, column: Column) -> None:
        """Sort by a column; by the same again: the other way round."""
        self.reverse = column == self.sorted_by and not self.reverse
        self.sorted_by, self._sorted_yet = column, True
        self._arrange(self.selected_neuron)

    def header_clicked(self, x: int) -> None:
        """Sort by the column that was clicked."""
        for place in self._places(self.size.width):
            if place.start <= x <= place.start + place.width:
                self.sort_by(place.column)
                return

    def action_toggle_random(self) -> None:
        """Show or hide the random neurons."""
        self.show_random = not self.show_random
        self._arrange(self.selected_neuron)

    def reveal(self, neuron: NeuronId) -> None:
        """Take the filter away where it hides this neuron."""
        if self._table is not None and self._place_of(neuron) is None:
            self.filter_text, self.show_random = "", True
            if self._session is not None:
                self.show(self._session)

    def action_toggle_all(self) -> None:
        """Every neuron of the layers, or the study's own."""
        self.show_all = not self.show_all
        if self._waits_for_all():
            self.post_message(self.AllWanted())
        if self._session is not None:
            self.show(self._session)
