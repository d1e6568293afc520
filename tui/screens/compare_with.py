"""Which studies to put beside the one that is open."""

from __future__ import annotations

from functools import partial
from threading import Thread
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content

from headtorch.core.errors import HeadtorchError
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.picking import gather
from headtorch.tui.picking.lists import Row, study_rows
from headtorch.tui.picking.marks import StudyList
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.screens.telling import Telling
from headtorch.tui.widgets.lines import Lines

MOST_ROWS = 16


class CompareWithScreen(Telling, Dialog["list[str] | None"]):
    """Returns the folders of the open study and of those marked; `folder` is the open one, `marked` those of before."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare-with")]
    DEFAULT_CSS = """
    CompareWithScreen { align: center middle; background: transparent; }
    CompareWithScreen > Vertical {
        width: 92%; max-width: 100; height: auto; max-height: 92%;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface;
    }
    CompareWithScreen StudyList { height: 3; background: $ht-surface; }
    """
    help = (
        "Space marks studies, Enter or c puts them beside the open one. Without a mark the one of the cursor is taken."
    )

    def __init__(self, folder: str, marked: list[str]) -> None:
        super().__init__()
        self._folder, self._marked = folder, marked

    def compose(self) -> ComposeResult:
        """The other studies."""
        with Vertical():
            yield StudyList("Looking for studies …", id="others")

    def on_mount(self) -> None:
        """The list fills when its thread is done."""
        keys = {name: key_of(name, self.app._keymap) for name in ("studies.mark", "list.choose", "compare-with.back")}
        box = self.query_one(Vertical)
        box.border_title = Content("Compare this study with")
        mark, choose, back = keys.values()
        box.border_subtitle = Content(f"{mark} mark · {choose} compare · {back} back")
        self.query_one(StudyList).focus()
        Thread(target=self._gather, daemon=True, name="compare-with").start()

    def _gather(self) -> None:
        try:
            rows = study_rows(gather.studies())
        except HeadtorchError as error:
            self.tell(partial(self._fill, [], visible(str(error))))
            return
        others = [row for row in rows if row.value != self._folder]
        self.tell(partial(self._fill, others, "There is no other study."))

    def _fill(self, rows: list[Row], empty: str) -> None:
        studies = self.query_one(StudyList)
        studies.empty = empty
        studies.marks = {row.value for row in rows if row.value in self._marked and not row.wrong}
        studies.styles.height = min(MOST_ROWS, max(1, len(rows)))
        studies.fill(rows)

    @on(Lines.Chosen)
    def _chosen(self) -> None:
        self._compare()

    @on(StudyList.Compare)
    def _wanted(self) -> None:
        self._compare()

    def _compare(self) -> None:
        studies = self.query_one(StudyList)
        here = studies.chosen
        marked = [row.value for row in studies.marked] or ([here.value] if here is not None else [])
        if here is not None and not studies.marked and here.wrong:
            studies.action_mark()  # says what is wrong with it
        elif marked:
            self.dismiss([self._folder, *marked])

    def action_back(self) -> None:
        """Compare nothing."""
        self.dismiss(None)
