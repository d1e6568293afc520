"""Corpus text as data: JSON strings that no text can close, with nothing in them that is hidden or steers a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from headtorch.core.text import visible

MARK = ("⟦", "⟧")  # around the token that a head looked up; a text's own are escaped
TEXT_LIMIT = 1200  # characters of a text as it is sent, counted from its end
TOKEN_LIMIT = 100  # characters of one token

# Chat templates speak in <|im_end|>, </s>, <start_of_turn> or [INST], and many servers read them inside a message too.
_STEERING = re.compile(r"<|\[(?=/?\w+\])")
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")


def quoted(text: str) -> str:
    """The text as a JSON string: json.loads gives it back, and it reads the same on every screen."""
    return f'"{_inert(text)}"'


def quoted_tokens(tokens: Sequence[str], marked: int | None = None) -> str:
    """The end of a text as a JSON string, as many whole tokens as TEXT_LIMIT allows, at least the last.

    The token at index `marked` stands in ⟦⟧ where it is not cut away. An ellipsis in front of the quotation mark says
    that the beginning was left out.
    """
    if marked is None and max(map(len, tokens), default=0) <= TOKEN_LIMIT:
        text = _inert("".join(tokens))
        if len(text) <= TEXT_LIMIT:
            return f'"{text}"'
    pieces: list[str] = []
    room, cut = TEXT_LIMIT, False
    for index in range(len(tokens) - 1, -1, -1):
        cut = len(tokens[index]) > TOKEN_LIMIT
        piece = _inert(tokens[index][-TOKEN_LIMIT:])
        if pieces and len(piece) > room:
            cut = True
            break
        room -= len(piece)
        pieces.append(piece.join(MARK) if index == marked else piece)
        if cut:
            break
    return ("…" if cut else "") + '"' + "".join(reversed(pieces)) + '"'


def _inert(text: str) -> str:
    inside = _STEERING.sub(_escape, _ENCODER.encode(text)[1:-1])
    return inside if inside.isascii() and "\x7f" not in inside else _NOT_PLAIN.sub(_shown, inside)


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    return character if visible(character) == character and character not in MARK else _escape(found)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\u{ord(character):04x}" if character.isascii() else json.dumps(character)[1:-1]
