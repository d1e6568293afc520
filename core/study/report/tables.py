"""Tables of a study: CSV, where text is visible and no cell is taken for a formula, and Parquet with text as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import get_args, get_type_hints

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


def to_parquet(kind: type[Record], rows: Sequence[Record]) -> bytes:
    """A column for each field, typed as the record is, so that an empty table has its columns too."""
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    hints = get_type_hints(kind)
    columns = {
        name: pyarrow.array([getattr(row, name) for row in rows], types[_plain(hints[name])])
        for name in kind.__struct_fields__
    }
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def _plain(hint: object) -> type:
    """`float` of `float | None`."""
    parts = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    return parts[0] if isinstance(parts[0], type) else str


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = visible(value)
    # Spreadsheets run a cell that begins with one of these.
    return f"'{shown}" if shown.lstrip()[:1] in {"=", "+", "-", "@"} else shown
