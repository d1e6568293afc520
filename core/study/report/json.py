"""The report as JSON: the same record as the Markdown, for programs. Reads back to the record it was made from."""

from __future__ import annotations

import re

import msgspec

from headtorch.core.errors import StudyError
from headtorch.core.event_lines import first_not_finite
from headtorch.core.study.report.contents import Report
from headtorch.core.text import visible

_NOT_ASCII = re.compile(r"[^\x20-\x7e\n]")
_PLAIN_LIST = re.compile(r"\[\n[ ]*([-+.0-9a-zE,\s]+?)\n[ ]*\]")  # of numbers, true, false and null


def to_json(report: Report) -> str:
    """Indented JSON. What a screen would hide or obey is written as \\u escapes, which readers of JSON undo.

    Raises ValueError for a NaN or an infinity.
    """
    where = first_not_finite(report)
    if where is not None:
        raise ValueError(f"The report{where} is not a finite number; JSON cannot carry it.")
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
    return _NOT_ASCII.sub(_escaped, _PLAIN_LIST.sub(_on_one_line, text)) + "\n"


def from_json(text: str | bytes) -> Report:
    """Read a report back. Raises StudyError for anything else."""
    try:
        return msgspec.json.decode(text, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"This is not a report of headtorch: {error}.") from None


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if visible(character) == character:
        return character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
