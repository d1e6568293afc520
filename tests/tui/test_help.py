"""The help of the focused pane and of the keys that work there."""

from __future__ import annotations

from typing import ClassVar

import pytest
from stage import HOSTILE, SIZES, Stage, in_terminal, lines_of, text_of
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from headtorch.tui.keymap import bindings, commands_of
from headtorch.tui.keys import key_name, key_names
from headtorch.tui.screens.help import HelpScreen


class HeadsPane(Widget, can_focus=True):
    """Has keys and help, as a pane has."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("heads")]
    help = f"A cell is a head.\n{HOSTILE}"


class Workbench(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("workbench")]

    def compose(self) -> ComposeResult:
        yield HeadsPane()

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen.of(self, self.focused))


async def opened(app: Stage) -> HelpScreen:
    screen = HelpScreen.of(app.screen, app.screen.focused)
    await app.push_screen(screen)
    return screen


def key_lines(app: Stage, what: str) -> list[str]:
    return [line.strip("│ ").split("   ")[0].strip() for line in lines_of(app) if what in line]


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_the_panes_own_help_and_keys_come_first(size: tuple[int, int]) -> None:
    app = Stage(Workbench())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await opened(app)
        await pilot.pause()
        text = text_of(app)
        assert "─ Heads ─" in text and "A cell is a head." in text and "[red]x[/INST] \\x1b]0;pwned" in text
        assert key_lines(app, "to the next strongest head") == ["s"]
        assert key_lines(app, "one head to the left") == ["h ←"]
        assert "esc closes" in text


@in_terminal
async def test_every_command_that_works_there_is_listed() -> None:
    app = Stage(Workbench())
    async with app.run_test(size=(120, 80)) as pilot:
        await pilot.pause()
        await opened(app)
        await pilot.pause()
        text = " ".join(text_of(app).replace("│", " ").split())
        for command in commands_of("heads", "workbench"):
            assert command.help in text


@in_terminal
async def test_keys_are_shown_as_the_user_set_them() -> None:
    app = Stage(Workbench())
    async with app.run_test(size=(120, 80)) as pilot:
        app.set_keymap({"workbench.explain": "E,f5", "heads.strongest": "asterisk"})
        await pilot.pause()
        await opened(app)
        await pilot.pause()
        assert key_lines(app, "explain the selected head") == ["E f5"]
        assert key_lines(app, "to the next strongest head") == ["*"]


@pytest.mark.parametrize("key", ["escape", "q", "question_mark", "backspace"])
@in_terminal
async def test_keys_that_close(key: str) -> None:
    app = Stage(Workbench())
    async with app.run_test() as pilot:
        await pilot.pause()
        await opened(app)
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, Workbench)


@in_terminal
async def test_it_scrolls() -> None:
    app = Stage(Workbench())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await opened(app)
        await pilot.pause()
        top = text_of(app)
        for there, back in (("j", "k"), ("down", "up"), ("ctrl+d", "ctrl+u"), ("G", "g"), ("end", "home")):
            await pilot.press(there)
            await pilot.pause()
            assert text_of(app) != top
            await pilot.press(back)
            await pilot.pause()
            assert text_of(app) == top


def test_names_of_keys() -> None:
    assert key_names("enter,colon,ctrl+d") == "⏎ : ctrl+d"
    assert key_name("shift+tab") == "shift+tab" and key_name("plus") == "+"
