"""Files to (title, text) pairs, one document in memory at a time, with errors that name the line.

`datasets` would read these files too, but its errors name neither the line nor the field, and a column whose type
changes on a later line stops it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headtorch.core.errors import CorpusError

Pair = tuple[str, str]
_CHUNK = 1 << 20  # bytes
_TITLE_LENGTH = 120


def read_text(path: Path, title: str, text_field: str) -> Iterator[Pair]:
    """The whole file as one document. Raises CorpusError where it is not UTF-8."""
    del text_field
    yield title, decode(path.read_bytes(), path)


def decode(data: bytes, path: object) -> str:
    """UTF-8 bytes to text, without a byte order mark; raises CorpusError naming byte and line."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.start} (line {line}) is 0x{data[error.start]:02x}. "
            "Convert it first, for example with iconv -f latin1 -t utf-8."
        ) from None


def read_jsonl(path: Path, title: str, text_field: str) -> Iterator[Pair]:
    """One document a line. Blank lines are passed over, broken ones raise CorpusError with their number."""
    del title
    chunks = _zst_chunks(path) if path.suffix == ".zst" else _chunks(path)
    for number, (line, ended) in enumerate(_lines(chunks), start=1):
        if line.strip():
            where = f"line {number} of {path}"
            row = _json_object(line, where, ended)
            yield row_pair(row, text_field, where, f"{path.name}:{number}")


def _json_object(line: bytes, where: str, ended: bool) -> dict[str, object]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{where} is not UTF-8: its byte {error.start} is 0x{line[error.start]:02x}. Convert the file first, "
            "for example with iconv -f latin1 -t utf-8."
        ) from None
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deeply nested"
        hint = "Correct or remove that line." if ended else "The file looks half-written: make or fetch it again."
        raise CorpusError(f"Broken JSON on {where}: {reason}. {hint}") from None
    if not isinstance(row, dict):
        raise CorpusError(f"{where} is not a JSON object; write one object a line, with the text in a field.")
    return row


def row_pair(row: dict[str, object], text_field: str, where: str, title: str) -> Pair:
    """The document in a row: its `title` field, where that is text, names it. A null text counts as blank."""
    if text_field not in row:
        raise missing_field(text_field, row.keys(), where)
    text = row[text_field]
    if text is not None and not isinstance(text, str):
        raise CorpusError(
            f"The field {text_field!r} on {where} holds {type(text).__name__}, not text; "
            "name another with --text-field."
        )
    own_title = row.get("title")
    if text_field != "title" and isinstance(own_title, str) and own_title.strip():
        title = own_title.strip()[:_TITLE_LENGTH]
    return well_formed(title), well_formed(text or "")


def missing_field(text_field: str, fields: Iterable[str], where: str) -> CorpusError:
    """The error for a row without the text field, naming the fields that are there."""
    there = ", ".join(sorted(fields)) or "none"
    return CorpusError(
        f"There is no field {text_field!r} on {where} (fields there: {there}); name one with --text-field."
    )


def well_formed(text: str) -> str:
    """Half surrogates, which JSON and file names can hold and UTF-8 cannot, become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _zst_chunks(path: Path) -> Iterator[bytes]:
    """Decompress frame after frame, a chunk at a time. Arrow notices a cut file; zstandard's file reader does not."""
    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise damaged(path, "zstd", error) from None


def damaged(path: Path, kind: str, error: Exception, where: str = "") -> Exception:
    """The error for a file that Arrow cannot decode; errors of the file system, which have a number, pass."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    reason = str(error).split("\n")[0].rstrip(".")[:200]
    return CorpusError(f"{path} is not a readable {kind} file{where} ({reason}); make or fetch it again.")


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each line with whether a newline ended it."""
    pieces: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        pieces.append(first)
        for piece in others:
            yield b"".join(pieces), True
            pieces = [piece]
    if rest := b"".join(pieces):
        yield rest, False


def read_parquet(path: Path, title: str, text_field: str) -> Iterator[Pair]:
    """One document a row; only the text and title columns are read. Raises CorpusError for a damaged file."""
    del title
    row_number = 0
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            fields = file.schema_arrow.names
            if text_field not in fields:
                raise missing_field(text_field, fields, f"row 1 of {path}")
            columns = [text_field] + ["title"] * ("title" in fields and text_field != "title")
            for batch in file.iter_batches(batch_size=64, columns=columns):
                for row in batch.to_pylist():
                    row_number += 1
                    yield row_pair(row, text_field, f"row {row_number} of {path}", f"{path.name}:{row_number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(path, "parquet", error, f" after row {row_number}") from None


Reader = Callable[[Path, str, str], Iterator[Pair]]
READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".jsonl": read_jsonl,
    ".jsonl.zst": read_jsonl,
    ".parquet": read_parquet,
}


def reader_of(path: Path) -> Reader | None:
    """The reader for a file's ending; None where headtorch reads no such files."""
    name = path.name.lower()
    return next((reader for ending, reader in READERS.items() if name.endswith(ending)), None)
