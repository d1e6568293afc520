"""The application: wires the engine, the session and the screens together. Everything else is elsewhere."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from headtorch.core.engine.client import EngineClient, EngineExit
from headtorch.core.engine.protocol import (
    AnyMessage,
    CallsPlanned,
    DocumentText,
    Request,
    RequestCancelled,
    RequestFailed,
    TextProbed,
)
from headtorch.core.errors import HeadtorchError
from headtorch.core.settings import LlmAccess
from headtorch.core.text import visible
from headtorch.tui.explaining import asks_models, heads_left, heads_unanswered
from headtorch.tui.exporting import Chosen
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.keys import key_name
from headtorch.tui.language_model import LanguageModel
from headtorch.tui.palette import Palette
from headtorch.tui.read_only import WAS_WRITTEN, look_again, read_only_line, why_read_only
from headtorch.tui.screens.pick import PickResult, PickScreen
from headtorch.tui.screens.plate import PlateScreen
from headtorch.tui.session import Session
from headtorch.tui.settings import TuiSettings, load_settings
from headtorch.tui.theming import Themes

if TYPE_CHECKING:
    from textual.command import Provider

    from headtorch.tui.comparing.wanted import StudyWanted
    from headtorch.tui.screens.budget import Leave
    from headtorch.tui.screens.workbench import Workbench


PALETTE_ROWS = 10
FOLLOW_SECONDS = 1.0  # between looks at a study that another process writes
ENDING_SECONDS = 15.0  # that the engine of a workbench which was just left may take to save and end


class Engine(Protocol):
    """What the application needs of an engine; see EngineClient."""

    def next_id(self) -> int: ...
    def send(self, request: Request) -> None: ...
    async def start(self) -> None: ...
    def stop(self) -> None: ...

    @property
    def pid(self) -> int | None: ...


def _commands() -> type[Provider]:
    from headtorch.tui.palette_commands import HeadtorchCommands  # not before the first frame

    return HeadtorchCommands


EngineMaker = Callable[[Callable[[AnyMessage], object], Callable[[EngineExit], object]], Engine]


class HeadtorchApp(App[None], inherit_bindings=False):
    """headtorch in the terminal: the pick screen, then the workbench.

    study: is opened at once
    compare: studies that are put side by side at once
    """

    TITLE = "headtorch"
    CSS_PATH = "headtorch.tcss"
    COMMANDS: ClassVar = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("app"),
        Binding("ctrl+c", "help_quit", show=False, system=True),  # says how to leave, as in every such program
    ]

    def __init__(
        self,
        *,
        study: str | None = None,
        device: str = "auto",
        theme: str | None = None,
        read_only: bool = False,
        compare: Sequence[str] = (),
        engine: EngineMaker | None = None,
        settings: TuiSettings | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        self.themes = Themes.load(self.settings.themes_folder)
        super().__init__()
        self.animation_level = "none"
        for name in self.themes.names:  # before the style sheet is read: it uses their variables
            self.register_theme(self.themes.textual(name))
        wanted = theme or self.settings.theme
        self.theme = wanted if wanted in self.themes.names else self.themes.names[0]
        # What goes wrong in the two is then the app's own failure, and seen, whoever reads the engine's messages.
        hear, engine_ended = partial(self.call_later, self.hear), partial(self.call_later, self.engine_ended)
        self.engine: Engine = (engine or EngineClient)(hear, engine_ended)
        self.model = LanguageModel.of(self.settings)
        self.session = self._session()
        self._picked = None if study is None else PickResult(None, study, device)
        self._read_only = read_only
        self._compare = compare
        self.chosen_exports = Chosen()
        self._engine_runs = self._engine_died = self._engine_asleep = False
        self._opened = 0.0  # when the present study was
        self._workbench: Workbench | None = None
        self._allowed: LlmAccess | None = None  # the caps that the user set last

    def _session(self, since: int = 0) -> Session:
        return Session(self.engine, on_notice=self.say, keymap=self.settings.keymap, model=self.model, since=since)

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return self.themes.palette(self.theme)

    @property
    def workbench(self) -> Workbench | None:
        """The workbench, once there is one."""
        return self._workbench

    def get_default_screen(self) -> Screen[None]:
        """The first frame, where a study is opened at once."""
        return PlateScreen(self._picked.where if self._picked is not None else None)

    def on_mount(self) -> None:
        """The first frame; the study is opened and the engine started behind it."""
        self.set_keymap(self.settings.keymap)
        for problem in (*self.settings.problems, *self.themes.problems):
            self.say(problem, True)
        if self.settings.theme not in self.themes.names:
            self.say(f"There is no theme {self.settings.theme!r}; there are {', '.join(self.themes.names)}.", True)
        with suppress(NotImplementedError, RuntimeError):  # in the main thread of a Unix system
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.leave)
        if self._picked is None:
            self.push_screen(PickScreen(compare=self._compare), self.picked)
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """What the first frame does not wait for."""
        if self._picked is not None:
            self.picked(self._picked)
        self._engine_asleep = self.session.read_only is not None
        if not self._engine_asleep:
            self.call_after_refresh(self.start_engine)
        self.set_interval(FOLLOW_SECONDS, self._follow)

    # the study

    def picked(self, result: PickResult | None) -> None:
        """Begin what was picked: what is on the disk is shown at once, the engine does the rest."""
        if result is None:
            if self.workbench is None:
                self.leave()
            return
        session = self._session(since=self.engine.next_id())
        if result.settings is None and result.where is not None:
            try:
                session.replay(result.where)
            except HeadtorchError as error:
                self.say(str(error), True)
                self.push_screen(PickScreen(back=self.workbench is not None), self.picked)
                return
            if result.neuron is not None:
                session.select_neuron(result.neuron)
            if result.head is not None:
                session.select_head(result.head)
            session.read_only = why_read_only(session, self._read_only, self.engine.pid)
            self._opened = time.monotonic()
        if self.workbench is not None:
            self.pop_screen()
        self.session, self._picked = session, result
        from headtorch.tui.screens.workbench import Workbench  # numpy and the panes: not before the first frame

        self._workbench = Workbench(self.session)
        self.push_screen(self._workbench)
        if session.study is not None and session.study.cut is not None:
            self.say(session.study.cut)
        if session.read_only is not None:
            self._workbench.alarm = read_only_line(session)
        elif self._engine_runs:
            self._open()
        elif self._engine_died or self._engine_asleep:
            self.run_worker(self.start_engine())

    def _follow(self) -> None:
        """Show what another process writes into a study that is only looked at."""
        if self.workbench is None or self.session.read_only is None:
            return
        try:
            topics = look_again(self.session)
        except HeadtorchError as error:
            topics = frozenset()
            self.say(str(error), True)
        self.workbench.alarm = read_only_line(self.session)
        self.workbench.changed(topics)
        if self.session.read_only == WAS_WRITTEN and time.monotonic() - self._opened < ENDING_SECONDS:
            self.run_worker(self.action_restart_engine())

    def action_pick(self) -> None:
        """Let the user pick another study; escape leads back."""
        self.push_screen(PickScreen(back=True), self.picked)

    def on_study_wanted(self, message: StudyWanted) -> None:
        """Another study was chosen in a comparison."""
        device = self._picked.device if self._picked is not None else "auto"
        self.picked(PickResult(None, message.at.where, device, message.at.neuron, message.at.head))

    def _open(self) -> None:
        """Have the engine open the study; first ask where that would spend something."""
        from headtorch.tui.screens.budget import BudgetScreen, Leave

        if self._picked is None:
            return
        state = self.session.state
        settings = self._picked.settings or state.settings
        if settings is None or not asks_models(settings) or self._is_paid():
            self._send_open(Leave(self.model.access, run=True))
        elif not any(isinstance(screen, BudgetScreen) for screen in self.screen_stack):
            access = self._allowed or self.model.access
            self.push_screen(BudgetScreen(settings, access, heads_left(state)), self._send_open)

    def _is_paid(self) -> bool:
        """Whether the study has nothing left to ask."""
        return self.session.state.finished is not None and not heads_unanswered(self.session.state)

    def _send_open(self, leave: Leave | None) -> None:
        if leave is None:
            self.say(f"Nothing is asked; {self.key('workbench.restart-engine')} asks you again.")
        elif self._picked is not None:
            picked, self._allowed = self._picked, leave.access
            self.session.open_study(picked.settings, picked.where, picked.device, leave.run, leave.access)
            self._changed()

    # the engine

    async def start_engine(self) -> None:
        """Start the engine, for the first time or again, and go on with the study."""
        try:
            await self.engine.start()
        except HeadtorchError as error:
            self.say(str(error), True)
            if self.workbench is not None:
                self.workbench.alarm = self._starts_again(error)
            return
        self._engine_runs, self._engine_died, self._engine_asleep = True, False, False
        if self.workbench is not None:
            self.workbench.alarm = None
            self._open()

    async def action_restart_engine(self) -> None:
        """Start the engine again; what it was doing for the study goes on."""
        if self.session.read_only is not None:
            self.session.read_only = why_read_only(self.session, self._read_only, self.engine.pid)
            if self.session.read_only is not None:
                return self.say(read_only_line(self.session) or "")
            if self.workbench is not None:
                self.workbench.alarm = None
        if not self._engine_runs:
            await self.start_engine()
        elif self.session.is_unfinished():
            self._open()
        else:
            self.say("The engine is running.")

    def hear(self, message: AnyMessage) -> None:
        """A message of the engine."""
        if self.session.is_past(message):
            return
        topics = self.session.take(message)
        if self.workbench is None:
            return
        self.workbench.changed(topics)
        if isinstance(message, DocumentText | TextProbed | CallsPlanned):
            self.workbench.answer(message)
        elif isinstance(message, RequestFailed):
            self.workbench.failed(message.request, message.message)
        elif isinstance(message, RequestCancelled):
            self.workbench.failed(message.request, "It was stopped.")

    def engine_ended(self, how: EngineExit) -> None:
        """The engine died: say it and keep everything that was shown."""
        self._engine_runs, self._engine_died = False, True
        unanswered = list(self.session.requests.waiting)
        topics = self.session.engine_ended()
        if self.workbench is not None:
            self.workbench.alarm = self._starts_again(how)
            self.workbench.changed(topics, now=True)
            for number in unanswered:
                self.workbench.failed(number, "The engine ended before it answered.")
        self.say(str(how), True)

    def _starts_again(self, why: object) -> str:
        return visible(f"{self.key('workbench.restart-engine')} starts the engine again. {why}")

    def _changed(self) -> None:
        if self.workbench is not None:
            self.workbench.draw_all()

    # everywhere

    def key(self, command: str) -> str:
        """The key that leads to a command, for a sentence."""
        return key_of(command, self.settings.keymap)

    def get_key_display(self, binding: Binding) -> str:
        """How the footer writes a key: as the documentation does."""
        return binding.key_display or key_name(binding.key)

    def say(self, text: str, is_error: bool = False) -> None:
        """A notice in a corner."""
        self.notify(visible(text), markup=False, severity="error" if is_error else "information", timeout=8)

    def action_command_palette(self) -> None:
        """Every command by name. Textual's palette fails where its list has no row, so a low terminal goes without."""
        from headtorch.tui.palette_commands import CommandScreen

        if self.size.height >= PALETTE_ROWS and not isinstance(self.screen, CommandScreen):
            self.push_screen(CommandScreen(id="--command-palette"))

    def action_help(self) -> None:
        """What the keys and columns mean."""
        from headtorch.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen.of(self.screen, self.focused))

    def action_change_theme(self) -> None:
        """The next theme."""
        names = self.themes.names
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.say(f"theme: {self.theme}")

    async def action_quit(self) -> None:
        """Leave; nothing is lost."""
        self.leave()

    def leave(self) -> None:
        """Let the engine end by itself, saving, and go; a note that is being written is kept."""
        if self.workbench is not None:
            with suppress(HeadtorchError):
                self.workbench.keep_note()
        self.engine.stop()
        self.exit()
