"""A corpus as token ids in a memory-mapped file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headtorch.core.corpus.corpus import Corpus
from headtorch.core.corpus.storage import new_folder, storage_errors
from headtorch.core.corpus.windows import Windows
from headtorch.core.errors import CorpusError
from headtorch.core.files import create
from headtorch.core.records import Half
from headtorch.core.watch import SILENT, Watch

EncodeBatch = Callable[[list[str]], Sequence[Sequence[int]]]

_BATCH_DOCUMENTS = 64
_BATCH_CHARACTERS = 1_000_000
_IDS, _OFFSETS, _COUNTS = "ids.i32", "offsets.npy", "counts.npy"


class TokenizedCorpus:
    """The token ids of every document, and the windows a model reads them in.

    `token_counts[t]` is how often token t occurs; tokens above the highest one that occurs may be missing at the end.
    `fingerprint` covers corpus, tokenizer, token limit, context and first token.
    """

    def __init__(self, corpus: Corpus, folder: Path, context: int, first_token: int | None) -> None:
        self.corpus = corpus
        self.folder = folder
        self.context = context
        self.first_token = first_token
        self.token_counts: NDArray[np.int64] = np.load(folder / _COUNTS)  # [token id]
        self._offsets: NDArray[np.int64] = np.load(folder / _OFFSETS)  # [document + 1]
        self._ids: NDArray[np.int32] = np.memmap(folder / _IDS, np.int32, "r")  # [token of the corpus]
        if len(self._ids) != self._offsets[-1]:
            raise ValueError("token file and offsets disagree")
        self.windows = Windows(self._ids, self._offsets, context, first_token)
        self.fingerprint = hashlib.sha256(f"{folder.name}\0{context}\0{first_token}".encode()).hexdigest()

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents, first tokens not counted."""
        return int(self._offsets[-1])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all documents, [token of the corpus], and where each document begins and ends, [document + 1]."""
        return np.asarray(self._ids), self._offsets

    def document_ids(self, document: int) -> NDArray[np.int32]:
        """The ids of a document, read-only, [position]; empty where the token limit came before it."""
        if not 0 <= document < len(self):
            raise IndexError(f"the corpus has documents 0 to {len(self) - 1}, so no document {document}")
        return self._ids[self._offsets[document] : self._offsets[document + 1]]

    def half(self, document: int) -> Half:
        """The half of the split that a document's cluster is in."""
        return "explain" if self.corpus.halves[document] else "score"

    def cluster(self, document: int) -> int:
        """The near-duplicate cluster of a document."""
        return int(self.corpus.clusters[document])

    def __reduce__(self) -> tuple[type[TokenizedCorpus], tuple[Corpus, Path, int, int | None]]:
        return TokenizedCorpus, (self.corpus, self.folder, self.context, self.first_token)


def tokenize(
    corpus: Corpus,
    encode_batch: EncodeBatch,
    *,
    tokenizer_fingerprint: str,
    first_token: int | None,
    context: int,
    folder: Path,
    tokens: int | None = None,
    watch: Watch = SILENT,
) -> TokenizedCorpus:
    """Encode every document once; a later call with the same corpus, tokenizer and limit reuses the file in `folder`.

    `encode_batch` turns texts into ids without special tokens. At most `tokens` (or the corpus's own limit) ids are
    kept, the document at the limit cut short. `context` is the longest row, first token included.

    Raises:
        CorpusError: `context` < 2, or the corpus gives no window.
        StorageError: `folder` is full or cannot be written.
        Interrupted: through `watch`.
    """
    if context < 2:
        raise CorpusError(f"A context of {context} tokens leaves nothing to look at; give at least 2.")
    limits = [limit for limit in (tokens, corpus.tokens) if limit is not None]
    limit = min(limits) if limits else None
    key = hashlib.sha256(f"{corpus.fingerprint}\0{tokenizer_fingerprint}\0{limit}".encode()).hexdigest()
    target = folder.absolute() / f"tokens-{key[:32]}"
    with storage_errors(folder):
        found = _stored(corpus, target, context, first_token)
        if found is None:
            with new_folder(target) as scratch:
                _write(corpus, encode_batch, scratch, limit, watch)
            found = TokenizedCorpus(corpus, target, context, first_token)
    if not len(found.windows):
        raise CorpusError(f"The texts of {corpus.spec} are too short to look at: none has two tokens.")
    return found


def _stored(corpus: Corpus, target: Path, context: int, first_token: int | None) -> TokenizedCorpus | None:
    """The tokens as they were written before; a damaged copy is removed."""
    if not target.is_dir():
        return None
    try:
        return TokenizedCorpus(corpus, target, context, first_token)
    except (OSError, ValueError):
        shutil.rmtree(target, ignore_errors=True)
        return None


def _write(corpus: Corpus, encode_batch: EncodeBatch, folder: Path, limit: int | None, watch: Watch) -> None:
    offsets = np.zeros(len(corpus) + 1, dtype=np.int64)
    counts = np.zeros(0, dtype=np.int64)
    done = total = 0
    with create(folder / _IDS) as file:
        for texts in _batches(corpus):
            watch.checkpoint()
            for _, encoded in zip(texts, encode_batch(texts), strict=True):
                ids = np.asarray(encoded, dtype=np.int32)[: None if limit is None else limit - total]  # [position]
                file.write(ids.tobytes())
                counts = _add_counts(counts, ids)
                total += len(ids)
                done += 1
                offsets[done] = total
            watch.progress("tokenising", done, len(corpus), "documents")
            if limit is not None and total >= limit:
                break
    if total == 0:
        raise CorpusError(f"The tokenizer makes no token of the texts of {corpus.spec}; give another corpus.")
    offsets[done + 1 :] = total
    np.save(folder / _OFFSETS, offsets)
    np.save(folder / _COUNTS, counts)


def _add_counts(counts: NDArray[np.int64], ids: NDArray[np.int32]) -> NDArray[np.int64]:
    more = np.bincount(ids, minlength=len(counts)).astype(np.int64)  # [token id]
    more[: len(counts)] += counts
    return more


def _batches(corpus: Corpus) -> Iterator[list[str]]:
    """Texts in order, a bounded number of documents and characters at a time."""
    texts: list[str] = []
    characters = 0
    for index in range(len(corpus)):
        text = corpus.document(index).text
        texts.append(text)
        characters += len(text)
        if len(texts) == _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield texts
            texts, characters = [], 0
    if texts:
        yield texts
