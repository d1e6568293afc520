"""Token ids on disk are what the tokenizer gave, and windows count every position once."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headtorch.core.corpus import Corpus, TokenizedCorpus, open_corpus, tokenize
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.errors import CorpusError, Interrupted, StorageError
from headtorch.core.files import create
from headtorch.core.watch import SILENT, Watch

FIRST = 99_999


def encode(texts: list[str]) -> list[list[int]]:
    """A tokenizer of sorts: a token a character."""
    return [[ord(character) for character in text] for text in texts]


def refuse(texts: list[str]) -> list[list[int]]:
    raise AssertionError("the corpus was tokenised again")


def corpus_of(folder: Path, lengths: list[int], **limits: int) -> Corpus:
    """Documents of the given lengths, no character of a document equal to another."""
    texts = ["".join(chr(1_000 * (d + 1) + i) for i in range(length)) for d, length in enumerate(lengths)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return open_corpus(str(folder / "corpus.jsonl"), **limits)


def tokenized(
    corpus: Corpus,
    folder: Path,
    *,
    first_token: int | None = FIRST,
    context: int = 5,
    encoder: object = encode,
    fingerprint: str = "characters",
    tokens: int | None = None,
    watch: Watch = SILENT,
) -> TokenizedCorpus:
    return tokenize(
        corpus,
        encoder,  # type: ignore[arg-type]
        tokenizer_fingerprint=fingerprint,
        first_token=first_token,
        context=context,
        folder=folder,
        tokens=tokens,
        watch=watch,
    )


LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 30]


@pytest.mark.parametrize("context", [2, 3, 5, 8, 64])
@pytest.mark.parametrize("first_token", [FIRST, None])
def test_windows_show_every_position_once_behind_its_context(
    tmp_path: Path, context: int, first_token: int | None
) -> None:
    corpus = corpus_of(tmp_path, LENGTHS)
    tokens = tokenized(corpus, tmp_path, first_token=first_token, context=context)
    skipped = 0 if first_token is not None else 1
    seen: Counter[tuple[int, int]] = Counter()
    for index, window in enumerate(tokens.windows):
        document = [ord(character) for character in corpus.document(window.document).text]
        row = window.ids.tolist()
        assert window.ids.dtype == np.int32
        assert 2 <= len(row) <= context
        assert (window.start - skipped) % (context - 1) == 0
        assert row[0] == (first_token if first_token is not None else document[window.start - 1])
        for i in range(1, len(row)):
            position = window.start + i - 1
            assert row[i] == document[position]
            assert tokens.windows.index_of(window.document, position) == index
            seen[window.document, position] += 1
        if window.start + len(row) - 1 < len(document):  # all windows but a document's last are full
            assert len(row) == context
    counted = [(d, p) for d, length in enumerate(LENGTHS) for p in range(skipped, length)]
    assert seen == Counter(counted)


@pytest.mark.parametrize("first_token", [FIRST, None])
def test_windows_are_ordered_and_know_their_lengths(tmp_path: Path, first_token: int | None) -> None:
    tokens = tokenized(corpus_of(tmp_path, LENGTHS), tmp_path, first_token=first_token)
    windows = list(tokens.windows)
    places = [(window.document, window.start) for window in windows]
    assert places == sorted(places)
    assert len(windows) == len(tokens.windows) == len(set(places))
    assert tokens.windows.lengths.tolist() == [len(window.ids) for window in windows]
    for document in range(len(LENGTHS)):
        expected = [i for i, window in enumerate(windows) if window.document == document]
        assert list(tokens.windows.of_document(document)) == expected
    assert tokens.windows[-1].ids.tolist() == windows[-1].ids.tolist()
    assert [w.start for w in tokens.windows[2:5]] == [w.start for w in windows[2:5]]
    for index in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError):
            tokens.windows[index]


def test_positions_counted_in_no_window_have_no_index(tmp_path: Path) -> None:
    tokens = tokenized(corpus_of(tmp_path, [4, 4]), tmp_path, first_token=None)
    for position in (0, 4):
        with pytest.raises(IndexError):
            tokens.windows.index_of(1, position)


def test_ids_and_counts_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(chr(97 + c) for c in rng.integers(26, size=rng.integers(1, 300))) for _ in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    corpus = open_corpus(str(tmp_path / "a.jsonl"))
    tokens = tokenized(corpus, tmp_path)
    assert [tokens.document_ids(i).tolist() for i in range(200)] == encode(texts)
    assert tokens.document_ids(0).dtype == np.int32
    assert tokens.n_tokens == sum(map(len, texts))
    counts = Counter(ord(character) for text in texts for character in text)
    assert {token: int(count) for token, count in enumerate(tokens.token_counts) if count} == counts
    with pytest.raises(ValueError, match="read-only"):
        tokens.document_ids(0)[0] = 1
    for i in range(200):
        assert tokens.cluster(i) == corpus.clusters[i]
        assert tokens.half(i) == ("explain" if corpus.halves[i] else "score")


@pytest.mark.parametrize("limit", [1, 4, 5, 6, 14, 15, 1000])
def test_the_token_limit_cuts_the_document_at_it(tmp_path: Path, limit: int) -> None:
    corpus = corpus_of(tmp_path, [5, 4, 6])
    everything = [token for i in range(3) for token in encode([corpus.document(i).text])[0]]
    tokens = tokenized(corpus, tmp_path, tokens=limit)
    assert [token for i in range(3) for token in tokens.document_ids(i).tolist()] == everything[:limit]
    assert tokens.n_tokens == min(limit, 15)
    assert tokens.token_counts.sum() == min(limit, 15)
    assert sum(len(window.ids) - 1 for window in tokens.windows) == min(limit, 15)


def test_the_limit_given_when_opening_holds_too(tmp_path: Path) -> None:
    assert tokenized(corpus_of(tmp_path, [5, 4, 6], tokens=7), tmp_path).n_tokens == 7
    assert tokenized(corpus_of(tmp_path, [5, 4, 6], tokens=7), tmp_path, tokens=3).n_tokens == 3


def test_tokens_are_reused_for_the_same_question_only(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [9, 4])
    first = tokenized(corpus, tmp_path)
    same = tokenized(corpus, tmp_path, encoder=refuse)
    assert same.fingerprint == first.fingerprint
    assert same.document_ids(0).tolist() == first.document_ids(0).tolist()
    longer = tokenized(corpus, tmp_path, encoder=refuse, context=9)  # other windows over the same ids
    without = tokenized(corpus, tmp_path, encoder=refuse, first_token=None)
    for change in ({"fingerprint": "another"}, {"tokens": 3}):
        with pytest.raises(AssertionError, match="tokenised again"):
            tokenized(corpus, tmp_path, encoder=refuse, **change)  # type: ignore[arg-type]
    cut = tokenized(corpus, tmp_path, tokens=3)
    assert len({item.fingerprint for item in (first, longer, without, cut)}) == 4


@pytest.mark.parametrize("name", ["ids.i32", "offsets.npy", "counts.npy"])
def test_a_damaged_token_file_is_made_again(tmp_path: Path, name: str) -> None:
    corpus = corpus_of(tmp_path, [9, 4])
    first = tokenized(corpus, tmp_path)
    damaged = first.folder / name
    damaged.write_bytes(damaged.read_bytes()[:-4])
    assert tokenized(corpus, tmp_path).document_ids(1).tolist() == encode([corpus.document(1).text])[0]


def test_stopping_leaves_nothing_half_written(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [2] * 200)  # several batches

    class StopAtSecond(Watch):
        calls = 0

        def checkpoint(self) -> None:
            self.calls += 1
            if self.calls == 2:
                raise Interrupted("Stopped.")

    with pytest.raises(Interrupted):
        tokenized(corpus, tmp_path / "tokens", watch=StopAtSecond())
    assert list((tmp_path / "tokens").iterdir()) == []
    assert tokenized(corpus, tmp_path / "tokens").n_tokens == 400


def test_progress_counts_documents(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []

    class Listen(Watch):
        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            told.append((done, total, unit))

    tokenized(corpus_of(tmp_path, [2] * 150), tmp_path, watch=Listen())
    assert told == [(64, 150, "documents"), (128, 150, "documents"), (150, 150, "documents")]


def test_an_opened_corpus_can_be_sent_to_another_process(tmp_path: Path) -> None:
    tokens = tokenized(corpus_of(tmp_path, LENGTHS), tmp_path)
    sent = pickle.dumps(tokens)
    assert len(sent) < 1_000  # paths, not texts
    copy = pickle.loads(sent)
    assert copy.fingerprint == tokens.fingerprint
    assert copy.corpus.document(3) == tokens.corpus.document(3)
    assert [window.ids.tolist() for window in copy.windows] == [window.ids.tolist() for window in tokens.windows]


def test_what_gives_no_window_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [1, 1])
    with pytest.raises(CorpusError, match="too short"):
        tokenized(corpus, tmp_path, first_token=None)
    assert len(tokenized(corpus, tmp_path).windows) == 2
    with pytest.raises(CorpusError, match="at least 2"):
        tokenized(corpus, tmp_path, context=1)
    with pytest.raises(CorpusError, match="no token"):
        tokenized(corpus, tmp_path, encoder=lambda texts: [[] for _ in texts], fingerprint="mute")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path, [5])
    monkeypatch.setattr("headtorch.core.corpus.tokens.create", lambda path: create(Path("/dev/full")))
    with pytest.raises(StorageError, match="disk is full"):
        tokenized(corpus, tmp_path / "tokens")


def test_the_batch_encoder_equals_encoding_one_by_one() -> None:
    words = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "a", "light", "in", "the", "head"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.enable_truncation(2)  # as some tokenizer files have it
    backend.enable_padding(length=8)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]")
    texts = ["a light in the head", "the torch [CLS]", "", "head"]
    one_by_one = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert batch_encoder(tokenizer)(texts) == one_by_one == [[2, 3, 4, 5, 6], [5, 0, 1], [], [6]]
