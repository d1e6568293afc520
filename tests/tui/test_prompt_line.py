"""The line to type in at the bottom of the screen."""

from __future__ import annotations

import pytest
from stage import HOSTILE, SIZES, Stage, in_terminal, lines_of, text_of
from textual import events

from headtorch.tui.screens.prompt_line import PromptLine, Suggestion
from headtorch.tui.widgets.entry import Entry, typed


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_the_line_is_the_last_of_the_screen(size: tuple[int, int]) -> None:
    app = Stage(PromptLine("filter /", "L31", placeholder="token, layer or kind"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert lines_of(app)[-1] == " filter / L31" and not any(lines_of(app)[:-1])
        await pilot.press("backspace", "backspace", "backspace")
        assert lines_of(app)[-1] == " filter / token, layer or kind"


@in_terminal
async def test_enter_returns_the_text_and_escape_nothing() -> None:
    for key, returned in (("enter", "ab"), ("escape", None)):
        app = Stage(PromptLine("search"))
        async with app.run_test() as pilot:
            await pilot.press("a", "b", key)
            assert app.returned == [returned]


@in_terminal
async def test_every_change_is_told_while_typing() -> None:
    heard: list[str] = []
    app = Stage(PromptLine("filter", on_change=heard.append))
    async with app.run_test() as pilot:
        await pilot.press("q", "slash", "backspace")
        await pilot.pause()
        assert heard == ["q", "q/", "q"]


@in_terminal
async def test_what_is_wrong_stands_above_the_line_until_the_text_changes() -> None:
    app = Stage(PromptLine("pattern", "(", validate=lambda text: f"{text} has no end" if text == "(" else None))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert app.returned == [] and lines_of(app)[-2] == " ✗ ( has no end"
        await pilot.press(")")
        await pilot.pause()
        assert lines_of(app)[-2] == ""
        await pilot.press("enter")
        assert app.returned == ["()"]


@in_terminal
async def test_hostile_text_is_drawn_as_text() -> None:
    app = Stage(PromptLine(HOSTILE, HOSTILE, HOSTILE, validate=lambda text: HOSTILE))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert text_of(app).count("[red]x[/INST]") == 3


@in_terminal
async def test_a_paste_of_several_lines_becomes_one_line_without_what_cannot_be_seen() -> None:
    app = Stage(PromptLine("text", "<>"))
    async with app.run_test() as pilot:
        entry = app.screen.query_one(Entry)
        entry.cursor_position = 1
        app.post_message(events.Paste("a\r\nb\x1b[31m\u202e\tc"))
        await pilot.pause()
        assert entry.value == "<a b[31m c>"
        await pilot.press("!")
        assert entry.value == "<a b[31m c!>"


@in_terminal
async def test_the_cursor_does_not_blink() -> None:
    app = Stage(PromptLine("text"))
    async with app.run_test() as pilot:
        await pilot.pause()
        entry = app.screen.query_one(Entry)
        assert entry.has_focus and not entry.cursor_blink


def test_what_a_field_holds() -> None:
    assert typed("a\x00b\u200d") == ("ab", 2)
    assert typed("a\nb\tc\r", lines=True) == ("a\nb\tc\n", 0)
    assert typed("·an é 漢") == ("·an é 漢", 0)


@in_terminal
async def test_a_long_suggestion_stays_on_one_line() -> None:
    class Suggesting(PromptLine):
        def suggest(self, text: str) -> list[Suggestion]:
            return [Suggestion("word " * 40, "about"), Suggestion("short", "about")]

    app = Stage(Suggesting("search"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert lines_of(app)[-3].strip().startswith("word word") and lines_of(app)[-2].strip().startswith("short")
        assert not any(lines_of(app)[:-3])
