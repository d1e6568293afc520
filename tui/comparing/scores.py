"""What was asked of each study, its scores beside those of the others, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import Interval
from headtorch.core.study.bars import AXIS, bars
from headtorch.core.text import visible
from headtorch.tui.comparing.columns import Cell, Column, cursor, header, lay_out, line, sized
from headtorch.tui.comparing.page import ComparisonPage, Target, between, letter, name_of
from headtorch.tui.panes.figures import fixed

if TYPE_CHECKING:
    from headtorch.core.study.comparisons import Against
    from headtorch.core.study.side_by_side import SideBySide

HELP = (
    "Studies: A, B, C … in the order marked. neurons: next-token neurons; random: those to compare with; heads: "
    "explained ones; scored: explanations with an E. Enter opens the study under the cursor.\n"
    "Scores: the mean E of each explainer over next-token and over random neurons, with its 95 % interval (t over "
    "neurons, since heads of one neuron are alike; none with fewer than 8), and how many of the heads that could be "
    "scored are above chance: lower bound of E above 0.5 with q < 0.05. 0.5 is chance. lower: heads held against "
    "weaker firing, an easier question; they are left out of every mean. unanswered: heads that a language model gave "
    "no answer for.\n"
    "Differences: mean E of the first study less that of the second on next-token neurons, with its interval. "
    "Cliff's δ is P(a neuron of the first scores higher) less P(lower): 0 is no difference, ±1 is one wholly above "
    "the other. The bars are the distributions of E from 0 to 1, chance in the middle.\n"
    "Settings: those that are not the same in all studies. A difference of scores may be due to any of them."
)

AXIS_CELLS = 25  # from 0 to 1, chance in the middle
STUDIES = (
    Column("", 1, right=False),
    Column("study", 14, right=False, most=40),
    Column("model", 8, right=False, most=24),
    Column("corpus", 8, right=False, most=24),
    Column("neurons", 7),
    Column("random", 6, need=1),
    Column("heads", 5, need=1),
    Column("scored", 6, need=1),
    Column("", 10, right=False, need=2),
)
GROUPS = (
    Column("", 1, right=False),
    Column("explainer", 9, right=False, most=20),
    Column("neurons", 10, right=False),
    Column("mean E", 6),
    Column("95 %", 12, right=False),
    Column(f"0{'½'.center(AXIS_CELLS - 2)}1", AXIS_CELLS, right=False, need=2),
    Column("above chance", 12),
    Column("neurons", 7, need=1),
    Column("lower", 5, need=3),
    Column("unanswered", 10, need=4),
    Column("judge", 5, right=False, need=5, most=24),
)


@dataclass(frozen=True)
class Row:
    """A line of the page: cells of a table, or a text of its own."""

    columns: Sequence[Column] = ()
    cells: Sequence[Cell] = ()
    text: str = ""
    style: str = "text"
    bold: bool = False
    study: int | None = None


class ScoresPage(ComparisonPage):
    """Several short tables below one another."""

    title = "Scores"
    help = HELP

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = []

    def read(self) -> None:
        """The same whatever the pair is."""
        found = self.found
        if found is not None:
            self._rows = [*_studies(found), *_groups(found), *_differences(found), *_settings(found)]

    def line_count(self) -> int:
        """Lines of all tables."""
        return len(self._rows)

    def target_at(self, index: int) -> Target | None:
        """The study of a line about one."""
        study = self._rows[index].study
        return None if study is None else Target(study=study)

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A row of a table, its titles, or a sentence."""
        row = self._rows[index]
        focused = selected and self.has_focus
        if row.columns and not row.cells:
            return header(lay_out(row.columns, width), self.palette)
        if row.cells:
            return line(lay_out(row.columns, width), row.cells, self.palette, selected, focused)
        return cursor(self.palette, selected, focused).append(row.text, self.palette.style(row.style, bold=row.bold))


def _studies(found: SideBySide) -> Iterator[Row]:
    yield _heading("Studies")
    rows = []
    for at, one in enumerate(found.studies):
        cells = [
            Cell(letter(at), "bright"),
            Cell(visible(one.study)),
            Cell(visible(one.model)),
            Cell(visible(one.corpus)),
            *(Cell(str(count)) for count in (one.neurons, one.random, one.explained, one.scored)),
            Cell("" if one.finished else "unfinished", "warning"),
        ]
        rows.append((at, cells))
    yield from _table(STUDIES, rows)
    yield Row()


def _groups(found: SideBySide) -> Iterator[Row]:
    yield _heading("Scores")
    if not found.groups:
        yield Row(text="Nothing was scored yet.", style="quiet")
    names, rows = [side.study for side in found.studies], []
    for one in found.groups:
        scores = one.scores
        known = scores.mean is not None
        cells = [
            Cell(name_of(found, one.study), "bright"),
            Cell(visible(one.explainer)),
            Cell(one.group, "text" if one.group == "next-token" else "quiet"),
            Cell(fixed(scores.mean, 3), "text" if known else "quiet"),
            Cell(between(scores.interval), "quiet"),
            Cell(on_axis(scores.mean, scores.interval), "text" if one.group == "next-token" else "quiet"),
            Cell(f"{scores.above_chance} of {scores.n_heads}", "text" if scores.above_chance else "quiet"),
            *(Cell(str(count), "quiet") for count in (scores.n_neurons, one.lower, one.unanswered)),
            Cell(visible(", ".join(one.judges)), "quiet"),
        ]
        rows.append((names.index(one.study), cells))
    yield from _table(GROUPS, rows)
    yield Row()


def _differences(found: SideBySide) -> Iterator[Row]:
    if not found.comparisons:
        return
    yield _heading("Differences, on next-token neurons")
    for one in found.comparisons:
        yield from _difference(found, one)


def _difference(found: SideBySide, one: Against) -> Iterator[Row]:
    seen = one.comparison
    first = next(side.study for side in found.studies if one.first.endswith(f": {side.study}"))
    explainer = one.first.removesuffix(f": {first}")
    letters = name_of(found, first), name_of(found, one.second)
    yield Row(text=f"{letters[0]} − {letters[1]}   {visible(explainer)}")
    note = "" if seen.interval is not None else "   no interval: fewer than 8 neurons"
    yield Row(
        text=f"  {fixed(seen.difference, 3, sign=True)} {between(seen.interval, 3, sign=True)}   "
        f"Cliff's δ {fixed(seen.delta, sign=True)} {between(seen.delta_interval, sign=True)}{note}"
    )
    for name, values in zip(letters, bars(one.first_values, one.second_values), strict=True):
        yield Row(text=f"  {name} {values}")
    yield Row(text=f"    {AXIS}", style="quiet")
    yield Row()


def _settings(found: SideBySide) -> Iterator[Row]:
    if not found.settings:
        yield Row(text="All settings are the same.", style="quiet")
        return
    yield _heading("Settings that differ")
    studies = [Column(letter(at), 14, right=False, most=30) for at in range(len(found.studies))]
    columns = (Column("setting", 16, right=False, most=24), *studies)
    rows = [[Cell(row.name, "quiet"), *(Cell(visible(value)) for value in row.values)] for row in found.settings]
    yield from _table(columns, [(None, row) for row in rows])


def _table(columns: Sequence[Column], rows: Sequence[tuple[int | None, Sequence[Cell]]]) -> Iterator[Row]:
    """Titles, and a line for each (study, cells)."""
    fitting = sized(columns, [cells for _, cells in rows])
    if rows:
        yield Row(fitting)
    for study, cells in rows:
        yield Row(fitting, cells, study=study)


def on_axis(mean: float | None, interval: Interval | None) -> str:
    """A mean and its interval drawn on 0 to 1; ┊ is chance, where nothing covers it."""
    cells = [" "] * AXIS_CELLS
    cells[AXIS_CELLS // 2] = "┊"
    for at in range(_cell_of(interval.low), _cell_of(interval.high) + 1) if interval is not None else ():
        cells[at] = "─"
    if mean is not None:
        cells[_cell_of(mean)] = "●"
    return "".join(cells)


def _cell_of(value: float) -> int:
    return round(min(1.0, max(0.0, value)) * (AXIS_CELLS - 1))


def _heading(text: str) -> Row:
    return Row(text=text, style="bright", bold=True)
