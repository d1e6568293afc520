"""A call of the command line, as tests see it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Left(NamedTuple):
    """What a call left behind."""

    code: int
    out: str
    err: str


class Places(NamedTuple):
    """Where the tests' models, texts and results lie."""

    model: Path
    gated: Path
    corpus: Path
    home: Path
    cache: Path


WORDS = [
    "the",
    "of",
    "and",
    "State",
    "States",
    "United",
    "Union",
    "Congress",
    "people",
    "Government",
    "apple",
    "pear",
    "tree",
    "has",
    "been",
    "just",
    "strong",
]

Call = Callable[..., Left]


def data(left: Left) -> Any:
    """The JSON on standard output, with nothing beside it and nothing on standard error."""
    assert (left.code, left.err) == (0, "")
    return json.loads(left.out)


def refusal(left: Left) -> str:
    """The sentence of a refusal: exit code 2, one line on standard error, nothing on standard output."""
    assert left.code == 2, left
    assert left.out == ""
    assert left.err.startswith("headtorch: ") and left.err.count("\n") == 1 and left.err.endswith("\n"), left.err
    assert "Traceback" not in left.err
    return left.err.removeprefix("headtorch: ").strip()


def write_corpus(folder: Path, documents: int, words: int) -> Path:
    """Documents of random words, so that none is a near-copy of another."""
    folder.mkdir(parents=True)
    draw = random.Random(documents)
    for i in range(documents):
        (folder / f"{i:03}.txt").write_text(" ".join(draw.choices(WORDS, k=words)))
    return folder
