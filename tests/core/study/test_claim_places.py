"""Places of a neuron's claims, written as arrays and read again, whatever their texts hold."""

from __future__ import annotations

import numpy as np
import pytest

from headtorch.core.errors import StudyError
from headtorch.core.records import NeuronId
from headtorch.core.study.claim_places import SHOWN, ClaimPlaces

HOSTILE = ("", " the", "\x1b]0;title\x07\x1b[31m", "\ud83d", "a\x00b", "\u202egnirts", "[/INST]<b>", "\n", "🙂", "é")
IDS = (3, 5, 8, 9, 12, 20, 21, 30, 31, 40)
NEURON = NeuronId(1, 4)


def made_places() -> ClaimPlaces:
    """Two rows behind a first token (id 3), two firing places and two that match one of them."""
    rows = [[3, 5, 8, 9, 12, 20], [3, 21, 30, 31, 40]]
    int32 = np.int32
    return ClaimPlaces(
        document=np.array([7, 4, 4, 4], int32),
        position=np.array([10, 3, 2, 1], int32),
        cluster=np.array([1, 2, 2, 2], int32),
        held_out=np.array([False, True, True, False]),
        firing=np.array([True, True, False, False]),
        pair=np.array([-1, 0, 0, -1], int32),
        activation=np.array([1.5, 2.5, -0.5, 0.0], np.float32),
        next_token=np.array([9, -1, 31, 30], int32),
        row=np.array([0, 1, 1, 1], int32),
        length=np.array([6, 5, 4, 3], int32),
        row_ids=np.array([*rows[0], *rows[1]], int32),
        row_starts=np.array([0, 6, 11], int32),
        row_text=np.array([1, 1], int32),
        vocabulary_ids=np.array(IDS, int32),
        vocabulary=HOSTILE,
        titles=("\u202etitle", ""),
    )


def test_what_is_written_is_read_again() -> None:
    places = made_places()
    again = ClaimPlaces.of(places.arrays())
    assert (again.vocabulary, again.titles, len(again)) == (HOSTILE, places.titles, 4)
    for name, array in places.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
        assert again.arrays()[name].dtype == array.dtype


def test_places_without_rows_or_texts_are_read_again() -> None:
    places = made_places()
    empty = {name: array[:0] for name, array in places.arrays().items()} | {"row_starts": np.zeros(1, np.int32)}
    again = ClaimPlaces.of(empty)
    assert len(again) == 0 and again.vocabulary == again.titles == () and again.prompts(NEURON) == []


def test_texts_and_ids_of_a_place_end_with_it() -> None:
    places = ClaimPlaces.of(made_places().arrays())
    assert [places.ids(i).tolist() for i in range(4)] == [
        [3, 5, 8, 9, 12, 20], [3, 21, 30, 31, 40], [3, 21, 30, 31], [3, 21, 30]
    ]  # fmt: skip
    assert places.text(0) == HOSTILE[1:6] and places.text(2) == HOSTILE[6:9]
    assert places.text(0, 2) == HOSTILE[4:6] and places.text(3, 1) == HOSTILE[7:8]
    assert places.texts_of(np.array([40, 3], np.int32)) == ("é", "")


def test_a_row_without_a_first_token_of_the_model_is_text_from_its_beginning() -> None:
    arrays = made_places().arrays() | {"row_text": np.array([1, 0], np.int32)}
    places = ClaimPlaces.of(arrays)
    assert places.text(3) == (HOSTILE[0], *HOSTILE[6:8])
    [_, prompt] = places.prompts(NEURON)
    assert (prompt.window_start, prompt.start, prompt.position, len(prompt.tokens)) == (-1, -1, 3, 5)


def test_firing_places_are_prompts_with_their_texts() -> None:
    first, second = made_places().prompts(NEURON)
    assert (first.document, first.title, first.position, first.half) == (7, "", 10, "explain")
    assert (first.start, first.window_start, first.activation) == (6, 6, 1.5)
    assert (first.tokens, first.token_ids) == (list(HOSTILE[1:6]), [5, 8, 9, 12, 20])
    assert (first.next_token_id, first.next_token) == (9, "\ud83d")
    assert (second.title, second.half, second.next_token_id, second.next_token) == ("\u202etitle", "score", None, None)


def test_a_prompt_shows_the_last_tokens_of_a_long_row() -> None:
    arrays = made_places().arrays() | {
        "row_ids": np.array([3, *[5] * 99, 20, 3, 21, 30, 31, 40], np.int32),
        "row_starts": np.array([0, 101, 106], np.int32),
        "length": np.array([101, 5, 4, 3], np.int32),
        "position": np.array([150, 3, 2, 1], np.int32),
    }
    prompt = ClaimPlaces.of(arrays).prompts(NEURON)[0]
    assert len(prompt.tokens) == len(prompt.token_ids) == SHOWN and prompt.token_ids[-1] == 20
    assert (prompt.position, prompt.start, prompt.window_start) == (150, 151 - SHOWN, 51)


@pytest.mark.parametrize("name", ["titles_ends", "pair", "vocabulary"])
def test_damaged_places_are_refused_with_a_sentence(name: str) -> None:
    arrays = made_places().arrays()
    del arrays[name]
    with pytest.raises(StudyError, match="The places of a neuron are damaged"):
        ClaimPlaces.of(arrays)


def test_texts_that_are_no_texts_are_refused() -> None:
    arrays = made_places().arrays()
    arrays["titles"] = np.full(len(arrays["titles"]), 0xFF, np.uint8)
    with pytest.raises(StudyError, match="The places of a neuron are damaged"):
        ClaimPlaces.of(arrays)
