"""JSON in an answer: alone, in a fence, or among words, and not always quite well-formed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from headtorch.core.explain.llm.reasoning import without_reasoning

BEGINNINGS = 200  # places in an answer where JSON may begin

_OPENING = re.compile(r"[{\[]")
_TRAILING_COMMA = re.compile(r",\s{0,100}(?=[}\]])")


def answer_in(text: str) -> str:
    """The text without reasoning; one that is a JSON object as a whole may speak of tags, and is left alone."""
    stripped = text.strip()
    return stripped if stripped.startswith("{") and whole(stripped) else without_reasoning(stripped)


def whole(text: str) -> list[Any]:
    """The one value that the text is, in a list; an empty list where it is more, or no JSON."""
    for candidate in (text, _TRAILING_COMMA.sub("", text)):
        try:
            return [json.loads(candidate)]
        except (ValueError, RecursionError):
            continue
    return []


def embedded(text: str) -> list[Any]:
    """Every JSON object or list in the text, in order; those inside others only as parts of them."""
    return list(_embedded(text)) or list(_embedded(_TRAILING_COMMA.sub("", text)))


def _embedded(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    for _ in range(BEGINNINGS):
        begin = _OPENING.search(text, at)
        if begin is None:
            return
        try:
            value, at = decoder.raw_decode(text, begin.start())
            yield value
        except (ValueError, RecursionError):
            at = begin.end()
