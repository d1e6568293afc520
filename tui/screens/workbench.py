"""The workbench: four panes over one session, from a neuron down to what a head took from a token."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer

from headtorch.core.engine.protocol import (
    AblateHead,
    DocumentText,
    ExplainHead,
    OpenStudy,
    ProbeText,
    ReadDocument,
    TextProbed,
)
from headtorch.core.errors import HeadtorchError
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.clipboard import copy
from headtorch.tui.feeding import why_not
from headtorch.tui.keymap import bindings
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.panes.neurons import NeuronsPane
from headtorch.tui.panes.prompts import PromptsPane
from headtorch.tui.requests import UNNUMBERED
from headtorch.tui.screens.document import DocumentScreen
from headtorch.tui.screens.go_to import GoToScreen, Target
from headtorch.tui.screens.note import NoteScreen
from headtorch.tui.screens.prompt_line import PromptLine
from headtorch.tui.screens.try_text import TryTextScreen
from headtorch.tui.session import SHADING_MODES, Session
from headtorch.tui.topics import EVERYTHING, Topic
from headtorch.tui.widgets.breadcrumb import Breadcrumb
from headtorch.tui.widgets.lines import Lines
from headtorch.tui.widgets.progress_line import ProgressLine

REDRAW_SECONDS = 0.1  # events of the engine are drawn together
FOLLOW_SECONDS = 0.05  # then the other panes follow the cursor
REST_SECONDS = 0.2  # a selection that rests this long is worth shading
WIDE, TALL = 100, 30  # columns and rows from which on all panes fit side by side

AnyPane = NeuronsPane | PromptsPane | HeadsPane | DetailPane


class Workbench(Screen[None]):
    """Panes 1 to 4. Enter leads to the next, escape back."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("workbench")]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.neurons = NeuronsPane()
        self.prompts = PromptsPane()
        self.heads = HeadsPane()
        self.detail = DetailPane()
        self.panes: tuple[AnyPane, ...] = (self.neurons, self.prompts, self.heads, self.detail)
        self.alarm: str | None = None
        self._current = 1
        self._zoomed = False
        self._dirty: set[Topic] = set()
        self._drawing = False
        self._resting: tuple[Timer, ...] = ()

    def compose(self) -> ComposeResult:
        yield Breadcrumb()
        with Horizontal(id="upper"):
            yield self.neurons
            yield self.prompts
            yield self.heads
        yield self.detail
        yield ProgressLine()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Everything is drawn once; the first pane has the focus."""
        for pane in self.panes:
            pane.add_class("pane")
        self.arrange_panes()
        self.focus_pane(self._current)
        self.draw_all()

    # drawing

    def changed(self, topics: frozenset[Topic], *, now: bool = False) -> None:
        """Draw the panes of these topics: at once after a key, soon and together after events of the engine."""
        self._dirty |= topics
        if now:
            self._draw()
        elif self._dirty and not self._drawing:
            self._drawing = True
            self.set_timer(REDRAW_SECONDS, self._draw)

    def draw_all(self) -> None:
        """Draw everything at once."""
        self.changed(EVERYTHING, now=True)

    def selected(self, topics: frozenset[Topic]) -> None:
        """Follow a new selection when the cursor rests: a held key moves the cursor alone, whatever hangs on it."""
        self._dirty |= topics
        for timer in self._resting:
            timer.stop()
        self._resting = (
            self.set_timer(FOLLOW_SECONDS, self._draw),
            self.set_timer(REST_SECONDS, self.session.ask_shading),
        )

    def _draw(self) -> None:
        dirty, self._dirty, self._drawing = self._dirty, set(), False
        if not self.is_mounted:
            return
        for pane in self.panes:
            if dirty & pane.topics:
                pane.show(self.session)
        self.query_one(Breadcrumb).show(self.session)
        self.query_one(ProgressLine).show(self.session, self.alarm)

    def on_resize(self, event: events.Resize) -> None:
        """Narrow terminals show one pane at a time."""
        self.arrange_panes()

    def arrange_panes(self) -> None:
        """Show all panes, or the present one alone where there is no room or it is zoomed."""
        alone = self._zoomed or self.size.width < WIDE or self.size.height < TALL
        for pane in self.panes:
            pane.display = not alone or pane.number == self._current
        self.query_one("#upper").display = not alone or self._current < 4
        self.set_class(alone, "-alone")

    # moving

    def focus_pane(self, number: int) -> None:
        """Give a pane the focus, and the screen where only one fits."""
        self._current = number
        self.session.selection.deepest = number
        self.arrange_panes()
        self.panes[number - 1].focus()
        if number == 3 and self.session.ready:
            self.session.ask_roles()
        self.changed(frozenset({"study", "detail"}), now=True)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click into a pane makes it the present one."""
        for pane in self.panes:
            if event.widget is pane and pane.number != self._current:
                self.focus_pane(pane.number)

    def action_pane(self, number: int) -> None:
        """To a pane by its number."""
        self.focus_pane(number)

    def action_next_pane(self, step: int) -> None:
        """Round the panes."""
        self.focus_pane((self._current - 1 + step) % len(self.panes) + 1)

    def action_back(self) -> None:
        """Back up: from zoom, from a filter, then pane by pane."""
        if self._zoomed:
            self.action_zoom()
        elif self._current > 1:
            self.focus_pane(self._current - 1)
        elif self.neurons.filter_text:
            self.neurons.set_filter("")

    def action_zoom(self) -> None:
        """The present pane alone, or all again."""
        self._zoomed = not self._zoomed
        self.arrange_panes()

    @on(Lines.Moved)
    def _line_moved(self, message: Lines.Moved) -> None:
        if message.lines is self.neurons:
            neuron = self.neurons.selected_neuron
            if neuron is not None and self.session.row(neuron) is not None:
                self.selected(self.session.select_neuron(neuron))
        elif message.lines is self.prompts:
            self.changed(self.session.select_prompt(message.index), now=True)

    @on(Lines.Chosen)
    def _line_chosen(self, message: Lines.Chosen) -> None:
        if message.lines is self.neurons:
            neuron = self.neurons.selected_neuron
            if neuron is not None and self.go_to_neuron(neuron):
                self.focus_pane(2)
        elif message.lines is self.prompts:
            self.focus_pane(3)

    @on(HeadsPane.HeadMoved)
    def _head_moved(self, message: HeadsPane.HeadMoved) -> None:
        self.selected(self.session.select_head(message.head))

    @on(HeadsPane.HeadChosen)
    def _head_chosen(self, message: HeadsPane.HeadChosen) -> None:
        self.selected(self.session.select_head(message.head))
        self.focus_pane(4)

    def action_go_to(self) -> None:
        """To an address or a token."""
        self.app.push_screen(GoToScreen(self.session), self._went_to)

    def _went_to(self, target: Target | None) -> None:
        if isinstance(target, NeuronId):
            if self.go_to_neuron(target):
                self.focus_pane(max(self._current, 1))
        elif isinstance(target, HeadId):
            self.selected(self.session.select_head(target))
            self.focus_pane(3)
        elif target is not None:
            self.neurons.set_filter(f'"{target}"')
            self.focus_pane(1)

    def go_to_neuron(self, neuron: NeuronId) -> bool:
        """Select a neuron, looking it up where the study does not have it; False where that cannot be."""
        if self.session.needs_visit(neuron):
            if self._refuses(self._no_engine()) and self.session.row(neuron) is None:
                return False
            if not self._no_engine():
                self.session.visit(neuron)
        self.neurons.reveal(neuron)
        self.selected(self.session.select_neuron(neuron))
        return True

    # what is shown

    def action_cycle_shading(self) -> None:
        """The next way to shade tokens."""
        modes = SHADING_MODES
        self.session.selection.shading = modes[(modes.index(self.session.selection.shading) + 1) % len(modes)]
        self.session.ask_shading()
        self.changed(frozenset({"prompts"}), now=True)

    def action_toggle_full(self) -> None:
        """Trimmed prompts or whole contexts."""
        self.session.selection.full = not self.session.selection.full
        self.session.ask_shading()
        self.changed(frozenset({"prompts", "detail"}), now=True)

    @on(HeadsPane.ScopeToggled)
    def _scope_toggled(self) -> None:
        self.session.selection.one_prompt = not self.session.selection.one_prompt
        self.changed(frozenset({"heads"}), now=True)

    @on(NeuronsPane.FilterWanted)
    def _filter_wanted(self) -> None:
        before = self.neurons.filter_text

        def entered(text: str | None) -> None:
            self.neurons.set_filter(before if text is None else text)

        line = PromptLine(
            "filter", initial=before, placeholder="token, L3, kind or L3.N412", on_change=self.neurons.set_filter
        )
        self.app.push_screen(line, entered)

    @on(NeuronsPane.AllWanted)
    def _all_wanted(self) -> None:
        if self._refuses(self._no_engine()):
            self.neurons.show_all = False
        elif self.session.all_neurons is None:
            self.session.ask_all_neurons()
        self.changed(frozenset({"progress", "neurons"}), now=True)

    @on(PromptsPane.SearchWanted)
    def _search_wanted(self) -> None:
        def entered(text: str | None) -> None:
            self.prompts.set_search(text or "")

        self.app.push_screen(PromptLine("search", on_change=self.prompts.set_search), entered)

    # work of the engine

    def action_explain(self) -> None:
        """Explain the selected head."""
        if not self._refuses(self._no_head() or self._no_engine() or self._busy(ExplainHead)):
            self.session.explain()
            self.changed(frozenset({"detail", "progress"}), now=True)
            self.focus_pane(4)

    def action_ablate(self) -> None:
        """Take the selected head away."""
        if not self._refuses(self._no_head() or self._no_engine() or self._busy(AblateHead)):
            self.session.ablate()
            self.changed(frozenset({"detail", "progress"}), now=True)
            self.detail.show_tab("Ablation")
            self.focus_pane(4)

    def action_try_text(self) -> None:
        """A text of the user's own."""
        chosen = self.session.selection
        if chosen.neuron is None or self._refuses(self._no_engine()):
            self._refuses("Select a neuron first." if chosen.neuron is None else None)
            return
        prompt = self.session.prompt()
        text = "".join(prompt.document_tokens) if prompt else ""
        head, row = self.session.feeding_head(), self.session.row()
        probe = partial(self._probe, chosen.neuron, head)
        self.app.push_screen(TryTextScreen(chosen.neuron, head, probe, text=text, row=row))

    def _probe(self, neuron: NeuronId, head: HeadId | None, text: str, position: int | None) -> int:
        return self.session.requests.ask(
            ProbeText(id=UNNUMBERED, text=text, neuron=neuron, head=head, position=position)
        )

    def action_document(self) -> None:
        """The whole document of the selected prompt."""
        prompt = self.session.prompt()
        if self._refuses("Select a prompt first." if prompt is None else self._no_engine()) or prompt is None:
            return
        self.session.read_document(prompt.document, prompt.neuron)
        self.app.push_screen(DocumentScreen(prompt))

    def answer(self, message: DocumentText | TextProbed) -> None:
        """Pass an answer to the screen that waits for it."""
        for screen in self.app.screen_stack:
            if isinstance(screen, DocumentScreen) and isinstance(message, DocumentText):
                screen.show_document(message)
            elif isinstance(screen, TryTextScreen) and isinstance(message, TextProbed):
                screen.show_probe(message)

    def failed(self, request: int, text: str) -> None:
        """Pass the failure of a request to the screen that waits for it."""
        for screen in self.app.screen_stack:
            if isinstance(screen, TryTextScreen):
                screen.show_failure(request, text)
            elif isinstance(screen, DocumentScreen) and not self.session.requests.is_waiting(ReadDocument):
                screen.show_failure(text)

    def action_stop_work(self) -> None:
        """Cancel what runs."""
        if not self.session.requests.stop():
            self._refuses("Nothing is running.")

    # notes, copies, report

    def action_bookmark(self) -> None:
        """Set or take away the neuron's bookmark."""
        if not self._refuses("Select a neuron first." if self.session.selection.neuron is None else None):
            self._save(self.session.toggle_bookmark)

    def action_note(self) -> None:
        """Write about the neuron, or the head of it."""
        if self._refuses("There is no study yet." if self.session.study is None else None):
            return
        subject = self.session.subject()
        before = self.session.notes.notes.get(subject, "")
        self.app.push_screen(NoteScreen(subject, before), partial(self._note_written, subject, before))

    def keep_note(self) -> None:
        """Save a note that is being written. Raises StorageError where that cannot be."""
        for screen in self.app.screen_stack:
            if isinstance(screen, NoteScreen):
                self.session.write_note(screen.subject, screen.text())

    def _note_written(self, subject: str, before: str, text: str | None) -> None:
        if text is not None and text != before:
            self._save(lambda: self.session.write_note(subject, text))

    def _save(self, change: Callable[[], frozenset[Topic]]) -> None:
        try:
            self.changed(change(), now=True)
        except HeadtorchError as error:
            self._refuses(str(error))

    def action_copy(self) -> None:
        """What the present pane has selected, to the clipboard of the terminal."""
        copy(self.app, self.panes[self._current - 1].copy_text())

    def action_export(self) -> None:
        """Write the report."""
        if not self._refuses("There is no study yet." if self.session.study is None else None):
            assert self.session.study is not None
            self.notify("Writing the report …", markup=False, timeout=2)
            self._export(self.session.study.folder)

    @work(thread=True, exclusive=True, group="export")
    def _export(self, folder: Path) -> None:
        from headtorch.core.study.report import write_report
        from headtorch.core.study.study import Study

        try:
            paths = write_report(Study.open(folder))
        except HeadtorchError as error:
            self.app.call_from_thread(self._refuses, str(error))
            return
        place = paths[0].parent
        said = f"The report is in {place}: {', '.join(path.name for path in paths)}."
        self.app.call_from_thread(self.notify, visible(said), markup=False, timeout=8)

    # refusals

    def _refuses(self, reason: str | None) -> bool:
        """Say why something cannot be done; False where nothing speaks against it."""
        if reason:
            self.notify(visible(reason), markup=False, severity="warning")
        return bool(reason)

    def _no_head(self) -> str | None:
        neuron, head, facts = self.session.selection.neuron, self.session.selection.head, self.session.state.model
        if neuron is None or head is None:
            return "Select a head first: 3 leads to the heads."
        return why_not(facts, head, neuron) if facts is not None else None

    def _no_engine(self) -> str | None:
        if self.alarm is not None:
            return "The engine is not running; R starts it again."
        if not self.session.ready and self.session.requests.is_waiting(OpenStudy):
            return "The engine is still loading the model; a moment."
        if not self.session.ready:
            return "The study is not open; R tries again, P picks another."
        return None

    def _busy(self, kind: type[ExplainHead | AblateHead]) -> str | None:
        return "That is being worked on already." if self.session.requests.is_waiting(kind) else None
