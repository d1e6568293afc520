"""Trying a text of one's own."""

from __future__ import annotations

import msgspec
import pytest
from sample_probe import HEAD, NEURON, sample_probe
from sample_records import AN, sample_row
from stage import HOSTILE, SIZES, Stage, in_terminal, lines_of, text_of
from textual import events
from waiting import until

from headtorch.core.engine.protocol import TextProbed, TokenProbability
from headtorch.tui.palette import CAVE
from headtorch.tui.screens.probe_page import ProbePage
from headtorch.tui.screens.try_text import AnswerView, TextToTry, TryTextScreen

TEXT = " the apple tree and picked"


class Asked:
    """Stands for the workbench: numbers the questions and remembers them."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, int | None]] = []

    def __call__(self, text: str, position: int | None) -> int:
        self.questions.append((text, position))
        return len(self.questions)


def screen(asked: Asked, text: str = TEXT) -> TryTextScreen:
    return TryTextScreen(NEURON, HEAD, asked, text=text, row=sample_row(AN))


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_the_answer_shows_sum_heads_and_next_tokens(size: tuple[int, int]) -> None:
    asked, app = Asked(), None
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert asked.questions == [(TEXT, None)]
        shown.show_probe(sample_probe(TEXT))
        await pilot.pause()
        text = text_of(app)
        answer = sample_probe(TEXT)
        given = sum(value for row in answer.heads for value in row if value is not None)
        assert "Try your own text  on L3.N892 ·an  with and without L2.H7" in text
        assert f"heads +{given:.2f} + other parts +2.00 = pre-activation {given + 2:.2f}" in text
        assert "▸ L2.H7     +4.10" in text and "−0.80" in text
        assert f"activation {given + 2:.2f} at ·picked, token 5 of 5" in text
        if size[0] == 120:
            assert [line for line in lines_of(app) if "·an" in line and "0.451    0.100   −0.35" in line]
            assert "<0.050" in text  # " no" is not among the most probable with the head


@in_terminal
async def test_enter_asks_at_once_and_a_pause_asks_for_a_new_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headtorch.tui.screens.try_text.PAUSE", 0.1)
    asked = Asked()
    shown = screen(asked, text="")
    app = Stage(shown)
    async with app.run_test() as pilot:
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert asked.questions == []
        await pilot.press("a", "b", "enter")
        await pilot.pause(0.2)
        assert asked.questions == [("ab", None)]
        await pilot.press("c")
        await until(pilot, lambda: len(asked.questions) == 2)
        await pilot.press("backspace", "c")
        await pilot.pause(0.2)
        assert asked.questions[1:] == [("abc", None)]
        await pilot.press("enter")
        await pilot.pause()
        assert asked.questions[2:] == [("abc", None)]


@in_terminal
async def test_a_new_line_can_be_typed_and_pasted() -> None:
    asked = Asked()
    shown = screen(asked, text="")
    app = Stage(shown)
    async with app.run_test() as pilot:
        await pilot.press("a", "ctrl+j", "b")
        app.post_message(events.Paste("\r\nc\x1b[2J\u202ed"))
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert asked.questions[-1] == ("a\nb\nc[2Jd", None)


@in_terminal
async def test_moving_the_mark_asks_about_another_token() -> None:
    asked = Asked()
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        shown.show_probe(sample_probe(TEXT))
        await pilot.press("tab", "h", "left", "l")
        await pilot.pause()
        assert "activation 0.60 at ·and, token 4 of 5" in text_of(app)
        await until(pilot, lambda: len(asked.questions) == 2)
        assert asked.questions[-1] == (TEXT, 3)
        for key, position in (("0", 0), ("dollar_sign", 4)):
            await pilot.press(key)
            await until(pilot, lambda wanted=position: asked.questions[-1] == (TEXT, wanted))
        await pilot.press("l")
        assert app.screen.query_one(AnswerView).page.position == 4


@in_terminal
async def test_an_answer_to_an_older_question_is_left_out() -> None:
    asked = Asked()
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test() as pilot:
        await pilot.press("x", "enter")
        await pilot.pause()
        shown.show_probe(sample_probe("old words", request=1))
        await pilot.pause()
        assert "words" not in text_of(app) and "Asking" in text_of(app)
        shown.show_failure(1, "too late")
        await pilot.pause()
        assert "too late" not in text_of(app)


@in_terminal
async def test_a_failure_is_said_in_place_and_the_text_can_be_tried_again() -> None:
    asked = Asked()
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test() as pilot:
        await pilot.pause()
        shown.show_failure(1, HOSTILE)
        await pilot.pause()
        assert "✗ [red]x[/INST] \\x1b]0;pwned" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert asked.questions == [(TEXT, None)] * 2


@in_terminal
async def test_an_edit_is_compared_with_the_text_before_or_the_kept_one() -> None:
    asked = Asked()
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        shown.show_probe(sample_probe("the apple tree", request=1))
        await pilot.pause()
        assert "What changed" not in text_of(app)
        await pilot.press("ctrl+k", "x", "enter")
        shown.show_probe(sample_probe("the pear tree", request=2, strength=0.1))
        await pilot.pause()
        text = text_of(app)
        assert "What changed since the kept text" in text and "the apple tree" in text
        [line] = [line for line in lines_of(app) if " → " in line and "L2.H7" in line and "without" not in line]
        assert "4.10 → 0.10" in line and "−4.00" in line
        assert [line for line in lines_of(app) if "p(·an)" in line and "0.45 → 0.01" in line and "−0.44" in line]
        await pilot.press("y", "enter")
        shown.show_probe(sample_probe("the plum tree", request=3, strength=1.1))
        await pilot.pause()
        assert "4.10 → 1.10" in text_of(app)
        await pilot.press("ctrl+k")
        await pilot.pause()
        assert "0.10 → 1.10" in text_of(app) and "since the text before" in text_of(app)


@in_terminal
async def test_shading_switching_and_leaving() -> None:
    asked = Asked()
    shown = screen(asked)
    app = Stage(shown)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        shown.show_probe(sample_probe(TEXT))
        await pilot.press("tab", "m")
        await pilot.pause()
        assert "shaded by what L2.H7 took from each token, at ·picked" in text_of(app)
        await pilot.press("m")
        await pilot.pause()
        assert "shaded by the attention of L2.H7" in text_of(app)
        await pilot.press("j", "k", "i", "z")
        assert app.screen.query_one(TextToTry).text == f"{TEXT}z"
        await pilot.press("escape")
        assert app.returned == [None]


@in_terminal
async def test_hostile_text_in_answers_is_drawn_as_text() -> None:
    asked = Asked()
    shown = screen(asked, text=HOSTILE)
    app = Stage(shown)
    bad = msgspec.structs.replace(
        sample_probe(TEXT),
        tokens=[HOSTILE, "", "\n", "漢字", "\u2066"],
        next_tokens=[TokenProbability(HOSTILE, 0.5), TokenProbability("", 0.1)],
        next_without=[TokenProbability("\x1b", 0.5)],
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        shown.show_probe(bad)
        await pilot.pause()
        assert "[red]x[/INST] \\x1b]0;pwned\\x07 \\u202eabc" in text_of(app)


def plain(answer: TextProbed, width: int) -> list[str]:
    page = ProbePage(now=answer, position=answer.position, against=sample_probe("the pear"), token=" an")
    return [line.plain for line in page.lines(width, CAVE)]


@pytest.mark.parametrize("width", [20, 38, 76, 116, 196])
@pytest.mark.parametrize("text", ["a", TEXT, TEXT * 40])
def test_no_line_is_wider_than_the_screen(width: int, text: str) -> None:
    page = ProbePage(now=sample_probe(text), position=0, against=sample_probe("the pear"), token=" an")
    assert all(line.cell_len <= width for line in page.lines(width, CAVE))


def test_a_gated_neuron_has_parts_of_its_activation_and_no_sum() -> None:
    text = "\n".join(plain(sample_probe(gated=True), 76))
    assert "of the activation at ·picked (5), by the half rule" in text and "pre-activation" not in text


def test_without_a_head_nothing_is_taken_away() -> None:
    text = "\n".join(plain(sample_probe(head=None), 76))
    assert "without" not in text and "Next token after ·picked (5)" in text
