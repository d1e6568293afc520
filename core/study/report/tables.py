"""Tables of a study: CSV, where text is visible and no cell is taken for a formula, and Parquet with text as it is."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from headtorch.core.records import Record
from headtorch.core.study.columns import columns
from headtorch.core.text import visible

ROWS = 20_000  # written at once


def to_csv(kind: type[Record], rows: Iterable[Record]) -> str:
    """A header and one line a row; missing values are empty cells, lists of numbers are written as in JSON."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    made = columns(kind)
    writer.writerow([column.name for column in made])
    cells = [(column.value, _CELLS.get(column.kind)) for column in made]
    for row in rows:
        writer.writerow([value(row) if cell is None else cell(value(row)) for value, cell in cells])
    return buffer.getvalue()


def to_parquet(kind: type[Record], rows: Iterable[Record]) -> bytes:
    """A column for each field, typed as the record is, so that an empty table has its columns too."""
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    types[list] = pyarrow.list_(pyarrow.int32())
    made = columns(kind)
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in made])
    buffer = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(buffer, schema) as writer:
        for batch in batched(rows, ROWS):
            data = [pyarrow.array([column.value(row) for row in batch], types[column.kind]) for column in made]
            writer.write_table(pyarrow.table(data, schema=schema))
    return buffer.getvalue()


def batched(rows: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """The rows in lists of `size`, the last one shorter."""
    rest = iter(rows)
    while batch := list(islice(rest, size)):
        yield batch


# What a spreadsheet may take for the start of a cell, whatever separator it splits at: a quoted cell is whole
# for commas alone. Blanks and quotes before a sign are dropped by some.
_CELL_START = re.compile(r"""(^|[,;|])(?=[\s"']*(\S))""")


def _text(value: str | None) -> str | None:
    return None if value is None else _CELL_START.sub(_guarded, visible(value))


def _guarded(start: re.Match[str]) -> str:
    """The start of a cell, with a quote mark behind it where a sign of a formula follows, full-width ones too."""
    sign = unicodedata.normalize("NFKC", start[2])[0]
    return f"{start[1]}'" if sign in "=+-@" else start[1]


def _list(value: list[int] | None) -> str | None:
    return None if value is None else f"[{','.join(map(str, value))}]"


_CELLS: dict[type, Callable[[Any], str | None]] = {str: _text, list: _list}  # other values stay what they are
