"""The command palette: every command of the screen, run where it belongs."""

from __future__ import annotations

from typing import Any, ClassVar

from stage import Stage, in_terminal, lines_of, text_of
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from headtorch.tui.keymap import COMMANDS, bindings
from headtorch.tui.palette import CAVE
from headtorch.tui.palette_commands import HeadtorchCommands, commands_on


class NeuronsPane(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "neurons")]
    sorted_times = 0

    def action_sort(self) -> None:
        self.sorted_times += 1


class HeadsPane(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("heads")]


class Bench(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("workbench")]
    exported = 0

    def compose(self) -> ComposeResult:
        yield HeadsPane()
        yield NeuronsPane()

    def action_export(self) -> None:
        self.exported += 1

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "explain"


class Themes:
    names: ClassVar = ["textual-light", "[red]x[/INST] \x1b]0;t\x07"]

    def palette(self, name: str) -> Any:
        return CAVE


class WithPalette(Stage):
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar = {HeadtorchCommands}
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    themes = Themes()

    def __init__(self) -> None:
        super().__init__(Bench())
        self.said: list[str] = []

    def notify(self, message: str, **options: Any) -> None:
        self.said.append(message)


async def choose(pilot: Pilot[None], text: str) -> None:
    await pilot.press("ctrl+p")
    await pilot.pause()
    await pilot.press(*(("space" if c == " " else c) for c in text))
    await pilot.pause(0.2)
    await pilot.press("enter")
    await pilot.pause(0.2)
    await pilot.pause()


@in_terminal
async def test_every_command_of_screen_panes_and_application_is_there_once() -> None:
    app = WithPalette()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        found = [(command.id, type(target).__name__) for command, target in commands_on(app.screen)]
        places = {"workbench": "Bench", "neurons": "NeuronsPane", "heads": "HeadsPane", "app": "WithPalette"}
        assert found == [(c.id, places[c.place]) for c in COMMANDS if c.palette and c.place in places]


@in_terminal
async def test_a_command_runs_in_its_pane_which_gets_the_focus() -> None:
    app = WithPalette()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        pane = app.screen.query_one(NeuronsPane)
        assert not pane.has_focus
        await choose(pilot, "sort by the next")
        assert pane.sorted_times == 1 and pane.has_focus


@in_terminal
async def test_a_command_of_the_screen_runs_and_one_that_is_off_says_so() -> None:
    app = WithPalette()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await choose(pilot, "write the report")
        assert app.screen.exported == 1 and app.said == []
        await choose(pilot, "explain the selected")
        assert app.said == ["“explain” cannot be done now."]


@in_terminal
async def test_keys_stand_below_as_the_user_set_them_and_nothing_blinks() -> None:
    app = WithPalette()
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_keymap({"workbench.export": "X"})
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"report")
        await pilot.pause(0.2)
        lines = lines_of(app)
        at = next(i for i, line in enumerate(lines) if "write the report: choose formats" in line)
        assert "X  workbench" in lines[at + 1]
        assert not app.screen.query_one(Input).cursor_blink


@in_terminal
async def test_themes_are_switched_and_hostile_names_are_drawn_as_text() -> None:
    app = WithPalette()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await choose(pilot, "theme: textual-li")
        assert app.theme == "textual-light"
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"theme: [red")
        await pilot.pause(0.2)
        assert "theme: [red]x[/INST] \\x1b]0;t\\x07" in text_of(app)
