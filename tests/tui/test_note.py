"""Writing a note, and copying."""

from __future__ import annotations

from typing import Any

import pytest
from stage import HOSTILE, SIZES, Stage, in_terminal, text_of

from headtorch.tui.clipboard import MOST_BYTES, copy
from headtorch.tui.screens.note import NoteScreen
from headtorch.tui.screens.prompt_line import PromptLine


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_the_note_shows_its_subject_and_text(size: tuple[int, int]) -> None:
    app = Stage(NoteScreen("L3.N892 L2.H7", "first line\nsecond"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = text_of(app)
        assert "Note on L3.N892 L2.H7" in text and "first line" in text and "esc saves and closes" in text


@pytest.mark.parametrize("key", ["escape", "ctrl+s", "ctrl+enter"])
@in_terminal
async def test_every_way_out_keeps_the_text(key: str) -> None:
    app = Stage(NoteScreen("study", "seen"))
    async with app.run_test() as pilot:
        await pilot.press("enter", "o", "k", "q", key)
        assert app.returned == ["seen\nokq"]


@in_terminal
async def test_a_note_that_was_emptied_comes_back_empty() -> None:
    app = Stage(NoteScreen("study", "ab"))
    async with app.run_test() as pilot:
        await pilot.press("backspace", "backspace", "space", "escape")
        assert app.returned == [""]


@in_terminal
async def test_a_note_that_was_not_changed_comes_back_as_it_was() -> None:
    app = Stage(NoteScreen(HOSTILE, HOSTILE))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "[red]x[/INST]" in text_of(app)
        await pilot.press("escape")
        assert app.returned == [HOSTILE]


class Copying(Stage):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(PromptLine("x"))
        self.said: list[str] = []

    def notify(self, message: str, **options: Any) -> None:
        assert options["markup"] is False
        self.said.append(message)


@in_terminal
async def test_copying_says_how_much_and_copies_nothing_that_drives_a_terminal() -> None:
    app = Copying()
    async with app.run_test():
        assert copy(app, "a\tb\n\x1b[201~rm\u202e")
        assert app.clipboard == "a\tb\n\\x1b[201~rm\\u202e"
        assert app.said == [f"Copied {len(app.clipboard)} characters; your terminal must allow OSC 52."]
        assert copy(app, "a") and app.said[-1].startswith("Copied 1 character;")


@in_terminal
async def test_what_is_too_much_or_nothing_is_not_copied() -> None:
    app = Copying()
    async with app.run_test():
        assert copy(app, "é" * (MOST_BYTES // 2)) and not copy(app, "é" * (MOST_BYTES // 2 + 1)) and not copy(app, "")
        assert app.clipboard == "é" * (MOST_BYTES // 2)
        assert "100 kB" in app.said[1] and app.said[2] == "There is nothing to copy here."
