"""Tables of a study as CSV. Text is visible and no cell is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from headtorch.core.records import Record
from headtorch.core.text import visible


def to_csv(kind: type[Record], rows: Sequence[Record]) -> str:
    """A header and one line a row; missing values are empty cells."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(kind.__struct_fields__)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in kind.__struct_fields__])
    return buffer.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = visible(value)
    # Spreadsheets run a cell that begins with one of these.
    return f"'{shown}" if shown.lstrip()[:1] in {"=", "+", "-", "@"} else shown
