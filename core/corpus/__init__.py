"""From a corpus name to windows of token ids: documents, near-duplicate clusters, the explain/score split, tokens.

No torch here. Names below load on first use, so that listing corpora stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headtorch.core.corpus.corpus import Corpus, Document, open_corpus
    from headtorch.core.corpus.listing import CorpusEntry, catalog
    from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
    from headtorch.core.corpus.windows import Window, Windows

_HOME = {
    "Corpus": "corpus",
    "CorpusEntry": "listing",
    "Document": "corpus",
    "TokenizedCorpus": "tokens",
    "Window": "windows",
    "Windows": "windows",
    "catalog": "listing",
    "open_corpus": "corpus",
    "tokenize": "tokens",
}

__all__ = [
    "Corpus",
    "CorpusEntry",
    "Document",
    "TokenizedCorpus",
    "Window",
    "Windows",
    "catalog",
    "open_corpus",
    "tokenize",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
