"""The documents of a corpus on disk: an Arrow file read through a memory map, with digests, clusters and halves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import overload

import msgspec
import numpy as np
import pyarrow as pa

from headtorch.core.corpus.nearduplicates import VALUES, Signer, find_clusters, split_halves
from headtorch.core.corpus.readers import Pair
from headtorch.core.corpus.sources import Source
from headtorch.core.errors import CorpusError
from headtorch.core.files import create
from headtorch.core.records import Record
from headtorch.core.watch import Watch

FORMAT = 1  # of the folder; part of every key and fingerprint
_BATCH_BYTES = 4 << 20
_TELL_EVERY = 0.1  # seconds
_SCHEMA = pa.schema([("title", pa.string()), ("text", pa.large_string())])

DOCUMENTS, CLUSTERS, HALVES, FACTS = "documents.arrow", "clusters.npy", "halves.npy", "corpus.json"


class StoreFacts(Record, frozen=True, kw_only=True):
    """What is known of a stored corpus without opening its texts."""

    spec: str
    name: str
    fingerprint: str
    documents: int
    blank: int  # documents passed over because they hold no visible text
    characters: int
    clusters: int


class StringColumn(Sequence[str]):
    """A column of the Arrow file; strings are made when they are asked for."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} documents, so no document {index}")
        return str(self._column[index].as_py())


def read_store(folder: Path) -> tuple[StringColumn, StringColumn]:
    """Titles and texts, mapped from disk."""
    table = pa.ipc.open_file(pa.memory_map(str(folder / DOCUMENTS))).read_all()
    return StringColumn(table.column("title")), StringColumn(table.column("text"))


def read_facts(folder: Path) -> StoreFacts:
    """The facts of a stored corpus."""
    return msgspec.json.decode((folder / FACTS).read_bytes(), type=StoreFacts)


class Limits(Record, frozen=True):
    """How much of a source is taken: at most `documents`, and documents until there are `text_bytes` of text."""

    documents: int | None
    text_bytes: int | None

    def reached(self, documents: int, text_bytes: int) -> bool:
        """Whether so many documents with so much text are enough."""
        enough_documents = self.documents is not None and documents >= self.documents
        return enough_documents or (self.text_bytes is not None and text_bytes >= self.text_bytes)


class StoreWriter:
    """Writes documents as they come: text to the Arrow file, a signature and a digest beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = self.blank = self.characters = self.text_bytes = 0
        self._signer = Signer()
        self._arrow_file = create(folder / DOCUMENTS)
        self._arrow = pa.ipc.new_file(self._arrow_file, _SCHEMA)
        self._signatures = create(folder / "signatures.u32")
        self._digests = create(folder / "digests.u8")
        self._batch: list[Pair] = []
        self._batch_bytes = 0
        self._fingerprint = hashlib.sha256(f"headtorch corpus {FORMAT}\0".encode())

    def add(self, title: str, text: str) -> None:
        """Take one document; one without visible text is counted and passed over."""
        if not text.strip():
            self.blank += 1
            return
        data = text.encode()
        digest = hashlib.sha256(data).digest()
        self._fingerprint.update(hashlib.sha256(title.encode()).digest() + digest)
        self._digests.write(digest)
        self._signatures.write(self._signer.signature(text).tobytes())
        self._batch.append((title, text))
        self._batch_bytes += len(data)
        self.documents += 1
        self.characters += len(text)
        self.text_bytes += len(data)
        if self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        titles, texts = [title for title, _ in self._batch], [text for _, text in self._batch]
        arrays = [pa.array(titles, pa.string()), pa.array(texts, pa.large_string())]
        self._arrow.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
        self._batch, self._batch_bytes = [], 0

    def close(self) -> None:
        """Write what is waiting and end the files."""
        if self._batch:
            self._flush()
        self._arrow.close()
        for file in (self._arrow_file, self._signatures, self._digests):
            file.close()

    def abandon(self) -> None:
        """Let go of the files after an error, which the caller raises on."""
        for file in (self._arrow_file, self._signatures, self._digests):
            with suppress(OSError):
                file.close()

    def finish(self, spec: str, name: str, limits: str, watch: Watch) -> StoreFacts:
        """Cluster, split, and write the facts. `limits` is part of the fingerprint."""
        self.close()
        signatures = np.memmap(self.folder / "signatures.u32", np.uint32, "r", shape=(self.documents, VALUES))
        clusters = find_clusters(signatures, watch)
        digests = np.memmap(self.folder / "digests.u8", np.uint8, "r", shape=(self.documents, 32))
        np.save(self.folder / CLUSTERS, clusters)
        np.save(self.folder / HALVES, split_halves(clusters, digests))
        del signatures, digests
        for scratch in ("signatures.u32", "digests.u8"):
            (self.folder / scratch).unlink()
        self._fingerprint.update(limits.encode())
        facts = StoreFacts(
            spec=spec,
            name=name,
            fingerprint=self._fingerprint.hexdigest(),
            documents=self.documents,
            blank=self.blank,
            characters=self.characters,
            clusters=int(clusters.max()) + 1,
        )
        (self.folder / FACTS).write_bytes(msgspec.json.encode(facts))
        return facts


def fill(writer: StoreWriter, source: Source, limits: Limits, watch: Watch) -> None:
    """Write documents until the source or a limit ends; raises CorpusError where none holds visible text."""
    total = min(source.total, limits.documents or source.total) or limits.documents or 0
    told = 0.0
    for title, text in source.documents():
        watch.checkpoint()
        writer.add(title, text)
        if time.monotonic() - told >= _TELL_EVERY:
            told = time.monotonic()
            watch.progress("reading the corpus", writer.documents, total, "documents")
        if limits.reached(writer.documents, writer.text_bytes):
            break
    watch.progress("reading the corpus", writer.documents, writer.documents, "documents")
    if writer.documents == 0:
        found = f"{writer.blank} documents, all of them blank" if writer.blank else "no document"
        raise CorpusError(f"The corpus {source.spec} is empty ({found}); give one with text in it.")
