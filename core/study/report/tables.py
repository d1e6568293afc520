"""Tables of a study: CSV, where text is visible and no cell is taken for a formula, and Parquet with text as it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice

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
    for row in rows:
        writer.writerow([_cell(column.value(row)) for column in made])
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


def _cell(value: object) -> object:
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":"))
    if not isinstance(value, str):
        return value
    shown = visible(value)
    # Spreadsheets run a cell that begins with one of these.
    return f"'{shown}" if shown.lstrip()[:1] in {"=", "+", "-", "@"} else shown
