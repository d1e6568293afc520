"""visible(): any text made inert and one line long. The only way text reaches a screen, a page or a file for readers.

Corpus text, model output and answers of language models may hold escape sequences that drive a terminal, bidirectional
overrides that reorder what is read, or characters that cannot be seen at all. Here all of them become visible escapes.
"""

from __future__ import annotations

import unicodedata

# Control, format, surrogate, private use, unassigned, line and paragraph separator.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Letters and marks by category, yet drawn as nothing: fillers, joiners, and selectors that can smuggle data.
_BLANK = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}
    | set(range(0xE0100, 0xE01F0))
)
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


def visible(text: str) -> str:
    """The text with everything invisible or active written out: newline as ⏎, tab as ⇥, ESC as \\x1b, and so on.

    All other text is unchanged, backslashes too, so applying it twice changes nothing more. Never raises.
    """
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_TABLE)


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
