"""visible(): any text made inert and one line long. The only way text reaches a screen, a page or a file for readers.

Corpus text, model output and answers of language models may hold escape sequences that drive a terminal, bidirectional
overrides that reorder what is read, or characters that cannot be seen at all. Here all of them become visible escapes.
"""

from __future__ import annotations

import re
import unicodedata

# Control, format, surrogate, private use, unassigned, line and paragraph separator.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Letters and marks by category, yet drawn as nothing: fillers, joiners, and selectors that can smuggle data.
_BLANK = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0, 0x16FE4, 0x1D159}
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
_MARKS = 8  # in a row, more than any script stacks; a longer run is drawn over the lines around it
_POSSIBLE_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MARKS + 1},}}")  # marks are no letters: few runs are looked through
_NAMED = {ord("\n"): "⏎", ord("\t"): "⇥", ord("\r"): "␍"}


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Table(dict[int, str]):
    """Translation table for str.translate, filled on demand; the basic plane only, so that it stays small."""

    def __missing__(self, code: int) -> str:
        hidden = unicodedata.category(chr(code)) in HIDDEN_CATEGORIES or code in _BLANK
        shown = _NAMED.get(code) or _escape(code) if hidden else chr(code)
        if code < 0x10000:
            self[code] = shown
        return shown


_TABLE = _Table()


class _JsonTable(dict[int, str]):
    """As `_Table`, in the escapes of JSON: UTF-16 units of four digits."""

    def __missing__(self, code: int) -> str:
        hidden = unicodedata.category(chr(code)) in HIDDEN_CATEGORIES or code in _BLANK
        units = chr(code).encode("utf-16-be", "surrogatepass").hex()
        shown = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) if hidden else chr(code)
        if code < 0x10000:
            self[code] = shown
        return shown


_JSON_TABLE = _JsonTable({ord("\n"): "\n"})


def visible(text: str) -> str:
    """The text with everything invisible or active written out: newline as ⏎, tab as ⇥, ESC as \\x1b, and so on.

    Of a run of combining marks the first eight stay. All other text is unchanged, backslashes too, so applying it twice
    changes nothing more. Never raises.
    """
    if text.isascii() and text.isprintable():
        return text
    return _POSSIBLE_MARKS.sub(_short_runs, text.translate(_TABLE))


def _short_runs(run: re.Match[str]) -> str:
    shown, marks = [], 0
    for character in run[0]:
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        shown.append(_escape(ord(character)) if marks > _MARKS else character)
    return "".join(shown)


def hidden_escaped(json: str) -> str:
    """JSON text with every hidden character as \\uXXXX: equal to any reader of JSON, inert on a terminal.

    Newlines and blanks between values stay; inside strings JSON has none.
    """
    return json.translate(_JSON_TABLE)


def visible_token(token: str) -> str:
    """A token as readers tell tokens apart: spaces at either end are shown as ·, the empty token as ∅."""
    if not token:
        return "∅"
    inner = token.strip(" ")
    if not inner:
        return "·" * len(token)
    left = len(token) - len(token.lstrip(" "))
    right = len(token) - len(token.rstrip(" "))
    return "·" * left + visible(inner) + "·" * right
