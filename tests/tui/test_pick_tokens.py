"""The tokens of the pick screen: a line that is read, suggestions as it is typed, and a tokenizer without its model."""

from __future__ import annotations

from pathlib import Path

import pytest
from pick_stage import PickApp, entry, play
from screens import screen_text
from textual.pilot import Pilot

from headtorch.core.errors import ModelError
from headtorch.core.model.sources import DEMO_FOLDER
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.model.vocabulary import Vocabulary
from headtorch.tui.picking.question import last_token, read_tokens, write_tokens
from headtorch.tui.screens.pick import PickResult

pytestmark = pytest.mark.usefixtures("only_the_demo")


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        (" year", (" year",)),
        (" year, years", (" year", " years")),
        ("year,year", ("year",)),
        ("", ()),
        (" , ,", ()),
        (r" a\,b,\,", (" a,b", ",")),
        ("\\\\", ("\\",)),
    ],
)
def test_commas_separate_tokens_and_spaces_stay(line: str, tokens: tuple[str, ...]) -> None:
    assert read_tokens(line) == tokens
    assert read_tokens(write_tokens(tokens)) == tokens


def test_the_token_being_typed_is_the_last_one() -> None:
    assert last_token(" year, yea") == (" year,", " yea")
    assert last_token(r"\,") == ("", ",")


def test_tokens_grow_as_they_are_typed_and_a_suggestion_is_taken_with_enter() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+u", *"yea")
        assert "↓ ·year  ·years" in " ".join(screen_text(app).split(" ")) and "✗ yea" in screen_text(app)
        await pilot.press("down", "down", "enter")
        assert entry(app, "token").value == " years"
        assert app.result == "nothing yet"
        await pilot.press("comma", *"stat", "down", "enter")
        await pilot.press("enter")

    result = play(steps).result
    assert isinstance(result, PickResult) and result.settings is not None
    assert result.settings.token_texts[0] == " years"
    assert result.settings.token_texts[1].strip().lower().startswith("stat")


def test_tokens_at_hand_agree_with_the_loaded_tokenizer() -> None:
    from transformers import AutoTokenizer

    vocabulary = Vocabulary(AutoTokenizer.from_pretrained(DEMO_FOLDER), 5604)
    at_hand = TokensAtHand.open(DEMO_FOLDER)
    for number in range(1, 5604, 7):
        text = vocabulary.text(number)
        if not text.startswith("<0x"):
            assert at_hand.is_single(text), text
            assert vocabulary.single(text) >= 0
    for text in (" yearning", "xyzzy", "", " year year"):
        assert not at_hand.is_single(text)
        assert "".join(at_hand.pieces(text)) == "".join(vocabulary.text(i) for i in vocabulary.encode(text))


def test_a_broken_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="looked up when the study starts"):
        TokensAtHand.open(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        TokensAtHand.open(tmp_path)
