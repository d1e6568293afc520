"""How keys are written for a reader: ⏎ and not enter, : and not colon."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = {
    "enter": "⏎",
    "escape": "esc",
    "colon": ":",
    "slash": "/",
    "question_mark": "?",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "space": "space",
    "dollar_sign": "$",
    "comma": ",",
    "full_stop": ".",
    "semicolon": ";",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "number_sign": "#",
    "asterisk": "*",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


def key_name(key: str) -> str:
    """One of Textual's keys, such as "shift+enter" → "shift+⏎"."""
    *with_, last = key.strip().split("+")
    return "+".join([*with_, _NAMES.get(last, last)])


def key_names(keys: str | Iterable[str]) -> str:
    """Several keys that do the same, in the order given."""
    return " ".join(key_name(key) for key in (keys.split(",") if isinstance(keys, str) else keys))
