"""Text and token ids."""

from __future__ import annotations

import pytest
from tiny_models import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headtorch.core.errors import TokenError
from headtorch.core.model.vocabulary import Vocabulary


@pytest.fixture
def byte_level() -> Vocabulary:
    tokenizer = tiny_tokenizer()
    return Vocabulary(tokenizer, len(tokenizer))


@pytest.fixture
def sentence_piece() -> Vocabulary:
    """The kind that writes a space as ▁ and puts one in front of every text (Llama 2, Gemma, Mistral)."""
    pieces = ["<unk>", "<s>", "<0xE2>", "\u2581", "\u2581States", "States", "\u2581the", "S", "t", "a", "\u2581a"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(i + 1)) for i, piece in enumerate(pieces)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    return Vocabulary(fast, len(fast))


def test_token_texts_join_to_the_text(byte_level: Vocabulary) -> None:
    text = "The State of the Union, and\n\n  the  pear: a 1 apple."
    assert "".join(byte_level.text(i) for i in byte_level.encode(text)) == text


def test_encoding_adds_no_special_token(byte_level: Vocabulary) -> None:
    assert byte_level.tokenizer.bos_token_id not in byte_level.encode("The State")


def test_a_piece_of_a_character_shows_its_bytes(byte_level: Vocabulary) -> None:
    assert [byte_level.text(i) for i in byte_level.encode("é")] == ["<0xC3>", "<0xA9>"]


def test_a_leading_space_belongs_to_the_token(byte_level: Vocabulary, sentence_piece: Vocabulary) -> None:
    for vocabulary in (byte_level, sentence_piece):
        assert vocabulary.text(vocabulary.single(" States")) == " States"
        assert vocabulary.text(vocabulary.single(" the")) == " the"


def test_a_sentence_piece_word_without_its_space_is_another_token(sentence_piece: Vocabulary) -> None:
    assert sentence_piece.text(sentence_piece.single("States")) == "States"
    assert sentence_piece.single("States") != sentence_piece.single(" States")
    assert sentence_piece.text(2) == "<0xE2>"


def test_text_of_several_tokens_is_refused_with_its_pieces_and_near_tokens(byte_level: Vocabulary) -> None:
    pieces = [byte_level.text(i) for i in byte_level.encode("states")]
    assert len(pieces) > 1
    with pytest.raises(TokenError) as refusal:
        byte_level.single("states")
    message = str(refusal.value)
    assert all(f'"{piece}"' in message for piece in pieces)
    assert '" States"' in message
    assert "\n" not in message


def test_text_outside_the_vocabulary_is_refused(sentence_piece: Vocabulary) -> None:
    with pytest.raises(TokenError):
        sentence_piece.single("qqq")
    with pytest.raises(TokenError, match="empty"):
        sentence_piece.single("")


def test_tokens_that_the_model_has_no_row_for_are_no_tokens() -> None:
    tokenizer = tiny_tokenizer()
    states = Vocabulary(tokenizer, len(tokenizer)).single(" States")
    with pytest.raises(TokenError):
        Vocabulary(tokenizer, states).single(" States")


def test_fingerprint_follows_the_tokenizer_and_not_its_use() -> None:
    one, other = tiny_tokenizer(), tiny_tokenizer(bos=False)
    before = Vocabulary(one, len(one)).fingerprint
    one("some text", truncation=True, max_length=3)  # switches truncation on inside the tokenizer
    assert Vocabulary(one, len(one)).fingerprint == before
    assert Vocabulary(other, len(other)).fingerprint != before
