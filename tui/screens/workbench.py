"""The workbench: four panes over one session, from a neuron down to what a head took from a token."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import BindingType

from headtorch.core.engine.protocol import (
    CallsPlanned,
    DocumentText,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    ProbeText,
    ReadDocument,
    TextProbed,
)
from headtorch.core.errors import HeadtorchError
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.clipboard import copy
from headtorch.tui.comparing.wanted import OpenAt, StudyWanted
from headtorch.tui.exporting import Chosen
from headtorch.tui.keymap import bindings
from headtorch.tui.noting import present_subject, toggle_bookmark, write_note
from headtorch.tui.pairs import matched_pairs, rewriting_tests
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.panes.neurons import NeuronsPane
from headtorch.tui.panes.prompts import PromptsPane
from headtorch.tui.read_only import read_only_line
from headtorch.tui.refusals import no_engine, no_neuron, no_study
from headtorch.tui.reporting import report_export
from headtorch.tui.requests import UNNUMBERED
from headtorch.tui.screens.calls import CallsScreen
from headtorch.tui.screens.causing import Causing
from headtorch.tui.screens.compare_with import CompareWithScreen
from headtorch.tui.screens.document import DocumentScreen
from headtorch.tui.screens.explaining import Explaining
from headtorch.tui.screens.export import ExportScreen
from headtorch.tui.screens.four_panes import FourPanes
from headtorch.tui.screens.go_to import GoToScreen, Target
from headtorch.tui.screens.note import NoteScreen
from headtorch.tui.screens.pairs import PairsScreen
from headtorch.tui.screens.prompt_line import PromptLine
from headtorch.tui.screens.try_text import TryTextScreen
from headtorch.tui.selection import SHADING_MODES
from headtorch.tui.session import Session
from headtorch.tui.topics import Topic
from headtorch.tui.visiting import needs_visit, visit
from headtorch.tui.widgets.lines import Lines


class Workbench(FourPanes):
    """What the keys do and the panes ask for. Enter leads to the next pane, escape back."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("workbench")]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.explaining = Explaining(self)
        self.causing = Causing(self)

    # choosing

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
        self.detail.show_head()

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
        if needs_visit(self.session, neuron):
            if self.refuses(self.no_engine()) and self.session.row(neuron) is None:
                return False
            if not self.no_engine():
                visit(self.session, neuron)
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
        if self.refuses(self.no_engine()):
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
        """Explain the selected head, one way or another."""
        self.explaining.menu()

    def action_hypothesis(self) -> None:
        """Explain it in the user's own words."""
        self.explaining.hypothesis()

    def action_next_explainer(self) -> None:
        """What another says of it."""
        self.explaining.next_explainer()

    def action_ablate(self) -> None:
        """Take the selected head away."""
        self.causing.ablate()

    def action_ablate_jointly(self) -> None:
        """Take it away with the next strongest."""
        self.causing.ablate(jointly=True)

    def action_mediation(self) -> None:
        """Take it away, and see which way its effect goes."""
        self.causing.ablate(mediation=True)

    def action_effects(self) -> None:
        """Measure what every head does to the neuron."""
        self.causing.measure(MeasureEffects)

    def action_cooperation(self) -> None:
        """Take the strongest heads away together."""
        self.causing.measure(MeasureCooperation)

    def action_spectrum(self) -> None:
        """Measure the strongest heads over all activations."""
        self.causing.measure(MeasureSpectrum)

    def action_cycle_measure(self) -> None:
        """The next number of the heads."""
        self.causing.cycle()

    def action_toggle_grid(self) -> None:
        """The list of heads, or the grid of all."""
        self.causing.toggle_grid()

    def action_try_text(self) -> None:
        """A text of the user's own."""
        chosen = self.session.selection
        if self.refuses(no_neuron(self.session) or self.no_engine()) or chosen.neuron is None:
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
        if self.refuses("Select a prompt first." if prompt is None else self.no_engine()) or prompt is None:
            return
        self.session.read_document(prompt.document, prompt.neuron)
        self.app.push_screen(DocumentScreen(prompt))

    def answer(self, message: DocumentText | TextProbed | CallsPlanned) -> None:
        """Pass an answer to the screen that waits for it."""
        for screen in self.app.screen_stack:
            if isinstance(screen, DocumentScreen) and isinstance(message, DocumentText):
                screen.show_document(message)
            elif isinstance(screen, TryTextScreen) and isinstance(message, TextProbed):
                screen.show_probe(message)
            elif isinstance(screen, CallsScreen) and isinstance(message, CallsPlanned):
                screen.show_plan(message)

    def failed(self, request: int, text: str) -> None:
        """Pass the failure of a request to the screen that waits for it."""
        for screen in self.app.screen_stack:
            if isinstance(screen, TryTextScreen | CallsScreen):
                screen.show_failure(request, text)
            elif isinstance(screen, DocumentScreen) and not self.session.requests.is_waiting(ReadDocument):
                screen.show_failure(text)

    def action_pairs(self) -> None:
        """Matched pairs of the neuron, and rewritten texts."""
        session, neuron = self.session, self.session.selection.neuron
        if self.refuses(no_neuron(session)) or neuron is None:
            return
        found = matched_pairs(session, neuron)
        if isinstance(found, str):
            self.refuses(found)
            return
        row = session.row()
        self.app.push_screen(PairsScreen(found, row.token if row else "", rewriting_tests(session, found)))

    def action_stop_work(self) -> None:
        """Cancel what runs."""
        if not self.session.requests.stop():
            self.refuses("Nothing is running.")

    # notes, copies, report

    def action_bookmark(self) -> None:
        """Set or take away the neuron's bookmark."""
        if not self.refuses(no_neuron(self.session) or read_only_line(self.session)):
            self._save(partial(toggle_bookmark, self.session))

    def action_note(self) -> None:
        """Write about the neuron, or the head of it."""
        if self.refuses(no_study(self.session) or read_only_line(self.session)):
            return
        about = present_subject(self.session)
        before = self.session.notes.notes.get(about, "")
        self.app.push_screen(NoteScreen(about, before), partial(self._note_written, about, before))

    def keep_note(self) -> None:
        """Save a note that is being written. Raises StorageError where that cannot be."""
        for screen in self.app.screen_stack:
            if isinstance(screen, NoteScreen):
                write_note(self.session, screen.subject, screen.text())

    def _note_written(self, about: str, before: str, text: str | None) -> None:
        if text is not None and text != before:
            self._save(partial(write_note, self.session, about, text))

    def _save(self, change: Callable[[], frozenset[Topic]]) -> None:
        try:
            self.changed(change(), now=True)
        except HeadtorchError as error:
            self.refuses(str(error))

    def action_copy(self) -> None:
        """What the present pane has selected, to the clipboard of the terminal."""
        copy(self.app, self.panes[self._current - 1].copy_text())

    def action_export(self) -> None:
        """Write the report, in the formats and about the neurons that the user chooses."""
        if not self.refuses(no_study(self.session)):
            self.app.push_screen(ExportScreen(report_export(self.session), Chosen.of(self.app)))

    def action_compare(self) -> None:
        """Put the study beside others."""
        if self.refuses(no_study(self.session)) or self.session.study is None:
            return
        marked = Chosen.of(self.app).compared
        self.app.push_screen(CompareWithScreen(str(self.session.study.folder), marked), self._compare)

    def _compare(self, studies: list[str] | None) -> None:
        from headtorch.tui.screens.compare import CompareScreen  # what computes it: not before it is wanted

        if studies:
            self.app.push_screen(CompareScreen(studies), self._open_at)

    def _open_at(self, at: OpenAt | None) -> None:
        """In this workbench where it is the same study, else in a new one."""
        study = self.session.study
        if at is None or study is None:
            return
        if Path(at.where) != study.folder:
            self.post_message(StudyWanted(at))
        elif at.neuron is not None and self.go_to_neuron(at.neuron) and at.head is not None:
            self.selected(self.session.select_head(at.head))

    # refusals

    def refuses(self, reason: str | None) -> bool:
        """Say why something cannot be done; False where nothing speaks against it."""
        if reason:
            self.notify(visible(reason), markup=False, severity="warning")
        return bool(reason)

    def no_engine(self) -> str | None:
        """Why the engine cannot be asked anything now."""
        return no_engine(self.session, dead=self.alarm is not None)
