"""Shared by the tests of kept answers: a question, its answer, and a cache that holds it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from chat_client import question

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.questions import Answer, Usage

URL = "http://localhost:8000/v1"


ASKED = question(URL)


SAID = Answer("Active when the text ends in United.", Usage(prompt_tokens=71, completion_tokens=9))


posix = pytest.mark.skipif(os.name != "posix", reason="needs the file modes of POSIX")


def kept(folder: Path) -> AnswerCache:
    """A cache that holds the answer to ASKED."""
    cache = AnswerCache(folder)
    cache.put(ASKED, SAID)
    assert cache.problem is None
    return cache


def change(folder: Path, statement: str, *values: object) -> None:
    """Change the database behind the cache's back."""
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def is_one_sentence(problem: str | None) -> bool:
    return problem is not None and problem.endswith("are not kept.") and problem.isprintable() and len(problem) < 300
