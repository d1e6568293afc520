"""The corpora at hand: what comes with headtorch and what was opened before on this machine."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import msgspec

from headtorch.core.corpus.storage import corpora_folder
from headtorch.core.records import Record


class CorpusEntry(Record, frozen=True, kw_only=True):
    """A corpus that can be opened without asking the network."""

    spec: str
    name: str
    description: str
    documents: int | None  # None: not counted yet
    characters: int | None
    folder: str | None  # its copy in the cache


class _StoredFacts(msgspec.Struct):
    spec: str
    name: str
    documents: int
    characters: int
    clusters: int


def catalog() -> list[CorpusEntry]:
    """`sotu` first, then the corpora in the cache by name."""
    return [*_included(), *sorted(_opened_before(), key=lambda entry: (entry.spec, entry.documents or 0))]


def _included() -> list[CorpusEntry]:
    try:
        version = metadata.version("sotu")
    except metadata.PackageNotFoundError:
        return []
    description = f"annual messages of US presidents to Congress, 1790-2026 (package sotu {version}, public domain)"
    return [CorpusEntry(spec="sotu", name="sotu", description=description, documents=249, characters=None, folder=None)]


def _opened_before() -> list[CorpusEntry]:
    entries = []
    for facts_file in corpora_folder().glob("*/corpus.json"):
        if ".partial-" in facts_file.parent.name:
            continue
        try:
            facts = msgspec.json.decode(facts_file.read_bytes(), type=_StoredFacts)
        except (OSError, msgspec.MsgspecError):
            continue
        if facts.spec != "sotu":
            entries.append(_entry(facts, facts_file.parent))
    return entries


def _entry(facts: _StoredFacts, folder: Path) -> CorpusEntry:
    return CorpusEntry(
        spec=facts.spec,
        name=facts.name,
        description=f"opened before; {facts.clusters} clusters of near-duplicates",
        documents=facts.documents,
        characters=facts.characters,
        folder=str(folder),
    )
