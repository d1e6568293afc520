"""Going to a neuron, a head or a token by name."""

from __future__ import annotations

import pytest
from sample_records import sample_facts, sample_row
from sample_study import sample_session, sample_state
from stage import HOSTILE, SIZES, Stage, in_terminal, lines_of, text_of

from headtorch.core.errors import InputError
from headtorch.core.records import HeadId, NeuronId
from headtorch.tui.screens.go_to import GoToScreen, read_target, token_text
from headtorch.tui.session import Session


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("L3.N892", NeuronId(3, 892)),
        (" l3n1535 ", NeuronId(3, 1535)),
        ("L0.H7", HeadId(0, 7)),
        ("·an", " an"),
        ("an", "an"),
        ('" an"', " an"),
        ("“an ”", "an "),
        ('"L3"', "L3"),
        ("L3.X5", "L3.X5"),
        ("··", "  "),
    ],
)
def test_what_a_name_stands_for(text: str, target: object) -> None:
    assert read_target(text, sample_facts()) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L4.N0", "no layer 4; its layers are 0 to 3"),
        ("L3.N1536", "no neuron 1536 in a layer; they are 0 to 1535"),
        ("L3.H8", "no head 8 in a layer; they are 0 to 7"),
        ("L9.H0", "its layers are 0 to 3"),
        ("L3", "L3.N0 for a neuron"),
        ("L3.", '"L3." in quotes'),
        ("", "a token (·an)"),
        ('""', "a token (·an)"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_target(text, sample_facts())
    assert said in str(error.value)


def test_addresses_are_taken_as_they_are_while_the_model_is_unknown() -> None:
    assert read_target("L99.N12345", None) == NeuronId(99, 12345)


@pytest.mark.parametrize("token", [" an", "an", " an ", "  ", "a·b"])
def test_a_shown_token_can_be_written_back(token: str) -> None:
    from headtorch.core.text import visible_token

    assert token_text(visible_token(token)) == token


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_neurons_heads_and_tokens_of_the_study_are_suggested(size: tuple[int, int]) -> None:
    app = Stage(GoToScreen(sample_session()))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        lines = [line for line in lines_of(app) if line]
        assert lines[-1].startswith(" go to : a neuron (L3.N412), a head (L2.H4) or a token (·an)")
        assert lines[0].split() == ["L3.N892", "·an", "prediction"]
        assert any("L2.H7" in line and "gives +" in line for line in lines)
        assert any(line.split()[:3] == ["·an", "promoted", "by"] for line in lines)
        await pilot.press(*"l2.h7")
        await pilot.pause()
        assert not any("gives" in line for line in lines_of(app))  # it is written out: nothing to suggest
        await pilot.press("enter")
        assert app.returned == [HeadId(2, 7)]


@in_terminal
async def test_suggestions_are_walked_through_and_completed() -> None:
    app = Stage(GoToScreen(sample_session()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"sta", "down")
        await pilot.pause()
        assert any(line.strip().startswith("▸ L2.N364") for line in lines_of(app))
        await pilot.press("down", "down", "up", "enter")
        assert app.returned == [" States"]

    app = Stage(GoToScreen(sample_session()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"L3.N8", "tab")
        await pilot.pause()
        assert lines_of(app)[-1] == " go to : L3.N892"
        await pilot.press("escape")
        assert app.returned == [None]


@in_terminal
async def test_a_place_that_is_not_there_keeps_the_line_open() -> None:
    app = Stage(GoToScreen(sample_session()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"L7.N1", "enter")
        await pilot.pause()
        assert app.returned == [] and "✗ demo has no layer 7; its layers are 0 to 3." in text_of(app)


@in_terminal
async def test_hostile_tokens_are_drawn_as_text() -> None:
    import msgspec

    state = sample_state()
    row = sample_row(NeuronId(3, 892))
    state.neurons[row.neuron] = msgspec.structs.replace(row, token=HOSTILE)
    app = Stage(GoToScreen(sample_session(state)))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert "[red]x[/INST] \\x1b]0;pwned" in text_of(app)


@in_terminal
async def test_a_study_without_anything_suggests_nothing() -> None:
    app = Stage(GoToScreen(Session(sample_session().engine)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "up", "tab", "x", "enter")
        assert app.returned == ["x"]
