"""A whole document at the place where a neuron fires, and how its text is wrapped."""

from __future__ import annotations

import random
import time

import msgspec
import pytest
from rich.cells import cell_len
from sample_records import AN, HOSTILE, sample_prompt
from screens import drawn, screen_lines
from stage import Stage, in_terminal, text_of

from headtorch.core.engine.protocol import DocumentText
from headtorch.core.text import visible
from headtorch.tui.palette import CAVE
from headtorch.tui.screens.document import DocumentScreen
from headtorch.tui.widgets.wrapping import wrap

PROMPT = sample_prompt(AN, 0)
SIZES = [(80, 24), (120, 36), (200, 50)]


class DocumentApp(Stage):
    """With the frame that the application's style sheet draws."""

    CSS = ".pane { border: round $ht-line; border-subtitle-align: right; }"

    def said(self) -> list[str]:
        """What it was notified of."""
        return [notification.message for notification in self._notifications]


def document(length: int = 3000, places: tuple[int, ...] = (PROMPT.position, 900, 2500)) -> DocumentText:
    """Words by number, a line end after every twentieth; the neuron fires on `places`."""
    tokens = [f" w{at}" + ("\n" if at % 20 == 19 else "") for at in range(length)]
    activation: list[float | None] = [None, *[0.1] * (length - 1)]
    for at in places:
        activation[at] = 9.0 if at != PROMPT.position else 9.81
    return DocumentText(
        request=1, document=PROMPT.document, title="1790 A speech", tokens=tokens, neuron=AN, activation=activation
    )


@pytest.mark.parametrize("size", SIZES)
def test_it_opens_at_the_prompts_place(size: tuple[int, int]) -> None:
    @in_terminal
    async def look() -> None:
        screen = DocumentScreen(PROMPT)
        app = DocumentApp(screen)
        async with app.run_test(size=size) as pilot:
            assert "Reading …" in text_of(app) and "1790 A speech" in text_of(app)
            screen.show_document(document())
            await pilot.pause()
            line = next(line for line in screen_lines(app) if "▸◆" in line)
            assert f" w{PROMPT.position} " in line
            assert "token 211 of 3,000 · activation 9.81 · place 1 of 3" in text_of(app)
            assert {cell_len(line) for line in screen_lines(app)} == {size[0]}
            here = drawn(app, f"w{PROMPT.position}")[0].style
            assert here.bold and here.underline and here.bgcolor.name == CAVE.sequential[-1]
            assert drawn(app, "w212")[0].style.bgcolor.name == CAVE.sequential[0]

    look()


@in_terminal
async def test_keys_walk_from_place_to_place_round_the_ends() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.show_document(document())
        await pilot.pause()
        seen = []
        for key in ("n", "n", "n", "p", "p"):
            await pilot.press(key)
            seen.append(screen.text.at)
            assert f"w{screen.text.at}" in text_of(app)
        assert seen == [900, 2500, 211, 2500, 900]
        assert "▸◇" in text_of(app) and "place 2 of 3" in text_of(app)
        assert drawn(app, "w900")[0].style.underline and not drawn(app, "w900")[0].style.bold
        await pilot.press("g")
        assert screen.text.at == 0 and "3 places" in text_of(app)
        await pilot.press("G", "k", "j", "ctrl+u", "ctrl+d", "home", "end", "up", "down")
        assert screen.text.cursor == screen.text.line_count() - 1
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is not screen


@in_terminal
async def test_a_search_goes_to_the_next_match_and_marks_all() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.show_document(document())
        await pilot.press("slash", *"w100", "enter")
        await pilot.pause()
        assert screen.text.at == 1000  # the first after the prompt's place; 100 lies before it
        assert screen.text.matches == [100, *range(1000, 1010)]
        assert drawn(app, "w1003")[0].style.reverse
        await pilot.press("N")
        assert screen.text.at == 1001
        screen.text.search("W211 W212")
        assert screen.text.matches == [211]
        screen.text.search("nowhere")
        await pilot.press("N")
        await pilot.pause()
        assert app.said() == ["Nothing matches nowhere."]


@in_terminal
async def test_it_copies_the_paragraph() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("y")
        assert app.said() == ["There is nothing to copy here."]
        screen.show_document(document())
        await pilot.press("y")
        assert app.clipboard == " ".join(f"w{at}" for at in range(200, 220))


@in_terminal
async def test_the_text_of_another_document_is_passed_over_and_a_failure_is_said() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.show_document(msgspec.structs.replace(document(), document=PROMPT.document + 1))
        assert "Reading …" in text_of(app)
        screen.show_failure("The corpus is gone. \x1b[31m")
        await pilot.pause()
        assert "The corpus is gone. \\x1b[31m" in text_of(app)


@in_terminal
async def test_a_neuron_that_fires_negatively_is_shaded_by_how_strongly() -> None:
    prompt = msgspec.structs.replace(PROMPT, activation=-3.0)
    text = document()
    values = [None if value is None else -value for value in text.activation]
    screen = DocumentScreen(prompt)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.show_document(msgspec.structs.replace(text, activation=values))
        await pilot.pause()
        assert screen.text.places == [211, 900, 2500]
        assert drawn(app, "w211")[0].style.bgcolor.name == CAVE.sequential[-1]


@in_terminal
async def test_a_resize_keeps_the_place() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        screen.show_document(document())
        await pilot.press("n")
        for size in ((40, 10), (200, 50), (20, 6), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert screen.text.at == 900 and "w900" in text_of(app)


@in_terminal
async def test_30_000_tokens_open_at_once() -> None:
    screen = DocumentScreen(PROMPT)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        text = document(30_000)
        start = time.process_time()
        screen.show_document(text)
        await pilot.pause()
        assert time.process_time() - start < 1.0
        start = time.process_time()
        await pilot.press("j")
        assert time.process_time() - start < 0.3  # nothing is wrapped again


@in_terminal
async def test_hostile_text_is_shown_and_obeyed_by_nobody() -> None:
    tokens = [HOSTILE, " 漢字" * 60, "\n", "e\u0301", "", *[" a"] * 300]
    prompt = msgspec.structs.replace(PROMPT, title=HOSTILE)
    screen = DocumentScreen(prompt)
    app = DocumentApp(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        text = DocumentText(request=1, document=prompt.document, title=HOSTILE, tokens=tokens)
        screen.show_document(text)
        await pilot.press("g")
        assert "[bold]x[/bold]" in text_of(app)
        assert {cell_len(line) for line in screen_lines(app)} == {80}
        screen.text.search(HOSTILE)
        await pilot.pause()
        text_of(app)


def test_wrapping_keeps_every_character_within_the_width() -> None:
    choose = random.Random(3)
    pieces = [
        " the",
        " apple",
        "ing",
        ",",
        " 漢字",
        "\n",
        "\n\n",
        " e\u0301t",
        "x" * 90,
        "漢" * 50,
        "",
        " ",
        "\t",
        HOSTILE,
    ]
    for width in (2, 3, 10, 40, 77):
        tokens = [choose.choice(pieces) for _ in range(300)]
        wrapped = wrap(tokens, width)
        assert all(sum(cell_len(text) for _, text in line) <= width for line in wrapped.lines)
        drawn_of: dict[int, str] = {}
        for number, line in enumerate(wrapped.lines):
            for at, text in line:
                assert drawn_of.get(at) is not None or wrapped.line_of[at] == number
                drawn_of[at] = drawn_of.get(at, "") + text
        for at, token in enumerate(tokens):
            assert drawn_of[at] in (visible(token), visible(token)[1:]), (width, token)


def test_words_are_kept_whole_where_they_fit_and_line_ends_are_kept() -> None:
    tokens = ["In", " the", " un", "believ", "able", " year", "\n", "we", " met"]
    assert ["".join(text for _, text in line) for line in wrap(tokens, 12).lines] == [
        "In the",
        "unbelievable",
        "year⏎",
        "we met",
    ]
