"""Writing files beside the screen: formats, neurons and folder are chosen, then where the files lie is said."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Thread
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Label, Static

from headtorch.core.errors import HeadtorchError, InputError, Interrupted
from headtorch.core.study.places import expanded
from headtorch.core.text import visible
from headtorch.tui.clipboard import copy
from headtorch.tui.exporting import Chosen, Export, Writing
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.picking.choice import Choice
from headtorch.tui.picking.lists import Row
from headtorch.tui.picking.marks import FormatList, MarkedList
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.screens.telling import Telling
from headtorch.tui.widgets.entry import Entry
from headtorch.tui.widgets.lines import Lines

HELP = (
    "Space chooses a format or leaves it out; Tab leads on to the neurons and the folder, where there are such "
    "fields.\n"
    "neurons: what the report is about. Comparisons of scores stay those of the whole study, for neurons chosen "
    "by hand are no sample.\n"
    "folder: where the files go; it is made where it is not there, and files of the same names in it are "
    "replaced.\n"
    "Enter writes. What was chosen is offered again until you leave headtorch."
)


class ExportScreen(Telling, Dialog[None]):
    """Writes behind the screen. What was chosen is remembered in `chosen`."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("export")]
    DEFAULT_CSS = """
    ExportScreen { align: center middle; background: transparent; }
    ExportScreen > Vertical {
        width: 92%; max-width: 90; height: auto; max-height: 92%; padding: 0 1;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface;
    }
    ExportScreen #form { height: auto; }
    ExportScreen FormatList { background: $ht-surface; margin-bottom: 1; }
    ExportScreen Horizontal { height: 1; }
    ExportScreen Label { width: 10; color: $ht-quiet; }
    ExportScreen Horizontal:focus-within Label { color: $ht-bright; }
    ExportScreen Entry, ExportScreen Choice { width: 1fr; }
    ExportScreen VerticalScroll { height: auto; max-height: 16; scrollbar-size-vertical: 1; }
    ExportScreen Static { height: auto; color: $ht-text; }
    """
    help = HELP

    def __init__(self, export: Export, chosen: Chosen) -> None:
        super().__init__()
        self._export, self._chosen = export, chosen
        self._about = next(
            (one.value for one in export.about if one.value == chosen.about.get(export.what)),
            export.about[0].value if export.about else "",
        )
        self._writing: Writing | None = None
        self._paths: list[Path] = []

    def compose(self) -> ComposeResult:
        """The form, and below it what is being done."""
        names = {one.value: one.name for one in self._export.about}
        with Vertical():
            with Vertical(id="form"):
                yield FormatList("", id="formats")
                if len(names) > 1:
                    with Horizontal():
                        yield Label("neurons")
                        yield Choice(list(names.values()), names[self._about], id="about")
                with Horizontal():
                    yield Label("folder")
                    yield Entry(self._folder(), placeholder="where the files go", id="folder")
            with VerticalScroll(can_focus=False):
                yield Static(id="said")

    def on_mount(self) -> None:
        """The formats of the last time, or the usual ones."""
        offers, formats = self._export.offers, self.query_one(FormatList)
        formats.styles.height = len(offers)
        formats.fill(
            [Row(one.name, one.name, visible(one.problem or one.about), wrong=bool(one.problem)) for one in offers]
        )
        usual = self._chosen.formats.get(self._export.what, tuple(self._export.usual))
        formats.marks = {one.name for one in offers if one.name in usual and not one.problem}
        formats.redraw()
        self.query_one(Vertical).border_title = Content(visible(self._export.title))
        self._keys("write", "mark", "next", "back")
        formats.focus()

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return self._paths

    def _folder(self) -> str:
        offered = str(self._export.folder(self._about))
        return self._chosen.folders.get(offered, offered)

    def _keys(self, *names: str) -> None:
        words = {"write": "export", "mark": "choose", "next": "next", "back": "back", "copy": "copy the paths"}
        parts = [f"{key_of(f'export.{name}', self.app._keymap)} {words[name]}" for name in names]
        self.query_one(Vertical).border_subtitle = Content(" · ".join(parts))

    # the form

    @on(Choice.Changed)
    def _other_neurons(self) -> None:
        """Each choice of neurons has a folder of its own, so that none replaces the report of all."""
        self._remember_folder()
        name = self.query_one(Choice).value
        self._about = next(one.value for one in self._export.about if one.name == name)
        field = self.query_one(Entry)
        field.value = self._folder()
        field.cursor_position = len(field.value)

    @on(MarkedList.Marked)
    def _marked(self) -> None:
        self._say("")

    @on(Input.Submitted)
    @on(Lines.Chosen)
    def _entered(self) -> None:
        self.action_write()

    def action_mark(self) -> None:
        """Choose a format from wherever the focus is in the form."""
        if self.query_one("#form").display:
            self.query_one(FormatList).action_mark()

    def action_next_field(self, step: int) -> None:
        """Round the fields."""
        fields = [self.query_one(FormatList), *self.query(Choice), self.query_one(Entry)]
        at = fields.index(self.focused) if self.focused in fields else -step
        fields[(at + step) % len(fields)].focus()

    # writing

    def action_write(self) -> None:
        """Write the files; once that is done, leave."""
        if self._paths:
            self.dismiss(None)
        elif self._writing is None:
            try:
                formats, folder = self._asked()
            except InputError as error:
                self._say(f"✗ {error}", "warning")
                return
            self._remember(formats)
            self._begin(formats, folder)

    def _asked(self) -> tuple[list[str], Path]:
        formats = [row.value for row in self.query_one(FormatList).marked]
        if not formats:
            raise InputError(f"Choose a format with {key_of('export.mark', self.app._keymap)} first.")
        text = self.query_one(Entry).value.strip()
        if not text:
            raise InputError("Name a folder for the files.")
        return formats, expanded(text).absolute()

    def _remember(self, formats: list[str]) -> None:
        self._chosen.formats[self._export.what] = tuple(formats)
        self._chosen.about[self._export.what] = self._about
        self._remember_folder()

    def _remember_folder(self) -> None:
        offered, text = str(self._export.folder(self._about)), self.query_one(Entry).value.strip()
        if text:
            self._chosen.folders[offered] = text

    def _begin(self, formats: list[str], folder: Path) -> None:
        self.query_one("#form").display = False
        self.set_focus(None)
        self._keys("back")
        self._say("Reading the study …")
        writing = self._writing = Writing(self._progressed, lambda: Interrupted("Nothing was written."))
        about = self._about

        def run() -> None:
            try:
                paths = self._export.write(formats, about, folder, writing)
            except HeadtorchError as error:
                self.tell(partial(self._failed, str(error)))
            except Exception as error:  # said in a sentence: a thread's traceback would land on the screen
                self.tell(partial(self._failed, f"The files cannot be made: {error or type(error).__name__}."))
            else:
                self.tell(partial(self._written, paths))

        Thread(target=run, daemon=True, name="export").start()

    def _progressed(self, name: str, done: int, total: int) -> None:
        bar = "━" * done + "─" * (total - done)
        self.tell(partial(self._say, f"{bar}  writing {name}, {done + 1} of {total}"))

    def _written(self, paths: list[Path]) -> None:
        self._writing, self._paths = None, paths
        count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        names = "  ".join(str(path.relative_to(folder)) for path in paths)
        shown = Text.assemble(
            (f"✓ {count} written into\n", self.palette.style("text")),
            (f"{visible(str(folder))}\n\n", self.palette.style("bright", bold=True)),
            (visible(names), self.palette.style("text")),
        )
        self.query_one("#said", Static).update(shown)
        self._keys("copy", "back")

    def _failed(self, sentence: str) -> None:
        self._writing = None
        self.query_one("#form").display = True
        self.query_one(FormatList).focus()
        self._say(f"✗ {sentence}", "warning")
        self._keys("write", "mark", "next", "back")

    def _say(self, sentence: str, style: str = "text") -> None:
        self.query_one("#said", Static).update(Text(visible(sentence), self.palette.style(style)))

    # leaving

    def action_copy(self) -> None:
        """The paths to the clipboard of the terminal."""
        if self._paths:
            copy(self.app, "\n".join(map(str, self._paths)))

    def action_back(self) -> None:
        """Stop what is being made, or leave."""
        if self._writing is not None:
            self._writing.stop()
            self._say("Stopping …")
        else:
            self.dismiss(None)
