"""Studies side by side: scores, shared neurons, their heads, and whether these agree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher, Footer, Static

from headtorch.core.errors import HeadtorchError
from headtorch.core.text import visible
from headtorch.tui.clipboard import copy
from headtorch.tui.comparing.agreement import AgreementPage
from headtorch.tui.comparing.files import comparison_export
from headtorch.tui.comparing.heads import HeadsPage
from headtorch.tui.comparing.loading import Loading
from headtorch.tui.comparing.neurons import NeuronsPage
from headtorch.tui.comparing.page import ComparisonPage, letter
from headtorch.tui.comparing.scores import ScoresPage
from headtorch.tui.comparing.wanted import OpenAt
from headtorch.tui.exporting import Chosen
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Page
from headtorch.tui.screens.telling import Telling
from headtorch.tui.widgets.cells import fit
from headtorch.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import Pair, SideBySide

HELP = "The studies are being read. Esc stops."


class CompareScreen(Telling, Page["OpenAt | None"]):
    """Reads the studies behind the screen, then shows them. Returns a study to open, or None for back."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]
    DEFAULT_CSS = """
    CompareScreen #plate, CompareScreen #pair { height: 1; }
    CompareScreen ContentSwitcher { height: 1fr; }
    CompareScreen #waiting { height: 1fr; padding: 1 2; }
    """
    help = HELP

    def __init__(self, studies: Sequence[str]) -> None:
        super().__init__()
        self._studies = list(studies)
        self._folders: list[str] = []
        self._found: SideBySide | None = None
        self._failed = False
        self._pair = self._side = self._page = 0
        self.pages: tuple[ComparisonPage, ...] = (
            ScoresPage(id="scores"),
            NeuronsPage(id="neurons"),
            HeadsPage(id="heads"),
            AgreementPage(id="agreement"),
        )
        self._loading = Loading(
            on_progress=lambda said: self.tell(partial(self._wait, said)),
            on_done=lambda found, folders: self.tell(partial(self._loaded, found, folders)),
            on_failure=lambda error: self.tell(partial(self._fail, error)),
        )

    def compose(self) -> ComposeResult:
        """The names of the pages, the pair of studies, and a page."""
        yield Static(id="plate")
        yield Static(id="pair")
        with ContentSwitcher(initial="waiting"):
            yield Static(id="waiting")
            yield from self.pages
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """The studies are read behind the first frame."""
        for page in self.pages:
            page.add_class("pane")
        self._draw()
        self._wait("Reading the studies …")
        self._loading.start(self._studies)

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        self._loading.stop()

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    @property
    def page(self) -> ComparisonPage:
        """The page that is shown."""
        return self.pages[self._page]

    @property
    def pair(self) -> Pair | None:
        """The two studies that are looked at."""
        return self._found.pairs[self._pair] if self._found is not None else None

    # while it loads

    def _wait(self, said: str) -> None:
        stop = f"{key_of('compare.back', self.app._keymap)} stops"
        self._say(
            Text.assemble((visible(said), self.palette.style("text")), ("   " + stop, self.palette.style("quiet")))
        )

    def _fail(self, error: HeadtorchError) -> None:
        self._failed = True
        back = f"{key_of('compare.back', self.app._keymap)} leads back"
        sentence = Text(f"✗ {visible(str(error))}", self.palette.style("warning"))
        self._say(Text("\n\n").join([sentence, Text(back, self.palette.style("quiet"))]))

    def _say(self, text: Text) -> None:
        self.query_one("#waiting", Static).update(text)

    def _loaded(self, found: SideBySide, folders: list[str]) -> None:
        self._found, self._folders = found, folders
        Chosen.of(self.app).compared = folders
        self.action_page(1)

    # drawing

    def _draw(self) -> None:
        plate = Text.assemble((" headtorch ", self.palette.style("background", on="lamp", bold=True)), no_wrap=True)
        for at, page in enumerate(self.pages):
            here = at == self._page and self._found is not None
            style = self.palette.style("bright" if here else "quiet", bold=here, underline=here)
            plate.append("  ").append(f"{at + 1} {page.title}", style)
        self.query_one("#plate", Static).update(plate)
        self.query_one("#pair", Static).update(self._names())
        if self._found is not None and self.pair is not None:
            self.page.show(self._found, self.pair, self._side)

    def _names(self) -> Text:
        """The studies of the pair with their corpora, the one that Enter opens marked."""
        found, pair = self._found, self.pair
        if found is None or pair is None or not self._page:
            return Text(f" {len(self._studies)} studies side by side", self.palette.style("quiet"), no_wrap=True)
        text = Text(no_wrap=True, overflow="ellipsis")
        several = f"   pair {self._pair + 1} of {len(found.pairs)}" if len(found.pairs) > 1 else ""
        room = max(12, (self.size.width - len(several) - 8) // 2)
        for at, study in enumerate((pair.first, pair.second)):
            here = at == self._side
            side = next(one for one in found.studies if one.study == study)
            other = letter(found.studies.index(side))
            own = f"{letter(at)}{'' if other == letter(at) else f' ({other})'} {study}"
            name = f"{visible(own)} · {visible(side.corpus)}"
            text.append(" ▸ " if here else "   ", self.palette.style("bright"))
            style = self.palette.style("bright" if here else "quiet", bold=here, underline=here)
            text.append(fit(name, min(room, len(name))), style)
        return text.append(several, self.palette.style("quiet"))

    def on_resize(self, event: events.Resize) -> None:
        """The names have more room, or less."""
        self._draw()

    # moving

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The footer shows a pair's keys where there is a pair to look at, and another one."""
        if action == "side":
            return self._page > 0
        if action == "next_pair":
            return self._page > 0 and self._found is not None and len(self._found.pairs) > 1
        return True

    def action_page(self, number: int) -> None:
        """To a page by its number."""
        if self._found is None:
            return
        before = self.page.target
        self._page = number - 1
        self.query_one(ContentSwitcher).current = self.page.id
        self.refresh_bindings()
        self._draw()
        if before is not None and before.neuron is not None and before.neuron != getattr(self.page.target, "neuron", 0):
            self.page.go_to(before.neuron)
        self.page.focus()

    def action_next_page(self, step: int) -> None:
        """Round the pages."""
        self.action_page((self._page + step) % len(self.pages) + 1)

    def action_next_pair(self, step: int) -> None:
        """Another two of the studies."""
        if self._found is not None:
            self._pair = (self._pair + step) % len(self._found.pairs)
            self._draw()

    def action_side(self, side: int) -> None:
        """The first or the second of the two."""
        self._side = side
        self._draw()

    @on(Lines.Chosen)
    def _chosen(self, message: Lines.Chosen) -> None:
        target, pair = self.page.target, self.pair
        if target is None or pair is None or self._found is None:
            return
        names = [side.study for side in self._found.studies]
        study = names.index((pair.first, pair.second)[self._side]) if target.study is None else target.study
        self.dismiss(OpenAt(self._folders[study], target.neuron, target.head))

    def action_back(self) -> None:
        """Leave; what is still being read is given up."""
        self._loading.stop()
        self.dismiss(None)

    # taking it along

    def action_copy(self) -> None:
        """The line of the cursor to the clipboard of the terminal."""
        copy(self.app, self.page.copy_text() if self._found is not None else "")

    def action_export(self) -> None:
        """Ask in which formats and where to."""
        if self._found is not None:
            names = [Path(folder).name for folder in self._folders]
            self.app.push_screen(comparison_export(self._found, names, self.app))
