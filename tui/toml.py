"""Values as TOML, which the standard library reads and does not write."""

from __future__ import annotations

import unicodedata

from headtorch.core.text import HIDDEN_CATEGORIES


def toml_value(value: str | bool | int | float) -> str:
    """A value as TOML; characters that a terminal would obey are written as escapes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    hidden: dict[str, str | int | None] = {
        c: f"\\U{ord(c):08X}" for c in escaped if unicodedata.category(c) in HIDDEN_CATEGORIES
    }
    return f'"{escaped.translate(str.maketrans(hidden))}"'
