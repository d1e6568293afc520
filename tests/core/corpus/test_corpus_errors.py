"""Whatever a user can get wrong about a corpus is one sentence that says what happened and what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from headtorch.core.corpus import open_corpus
from headtorch.core.errors import CorpusError, Interrupted, StorageError
from headtorch.core.files import create
from headtorch.core.watch import Watch

GOOD = b'{"text": "a good line"}\n'


def message(spec: object, **options: object) -> str:
    """What the user reads; one line, ending in a full stop."""
    with pytest.raises(CorpusError) as caught:
        open_corpus(str(spec), **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_an_unknown_name_lists_what_can_be_given() -> None:
    text = message("the-pile")
    assert "'the-pile'" in text
    assert all(choice in text for choice in ("sotu", "a file", "a folder", "glob", "hf:NAME"))
    assert "sotu" in message("  ")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert str(tmp_path / "no.txt") in message(tmp_path / "no.txt")
    assert "No file" in message(tmp_path / "*.txt")
    (tmp_path / "notes.md").write_text("# notes")
    assert ".jsonl.zst" in message(tmp_path)
    assert "rename or convert" in message(tmp_path / "notes.md")


@pytest.mark.parametrize("spec", ["x" * 5_000, "~nobody-of-that-name/corpus.txt", "a\0b"])
def test_a_name_that_no_file_can_have_is_reported(spec: str) -> None:
    assert len(message(spec)) < 6_000


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_file_is_an_empty_corpus(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert "is empty" in message(tmp_path / name)


def test_rows_without_visible_text_are_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"text": "  "}\n')
    assert "2 documents, all of them blank" in message(tmp_path / "a.jsonl")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert "is empty" in message(tmp_path / "a.parquet")


def test_limits_below_one_are_refused(tmp_path: Path) -> None:
    assert "--docs 0" in message("sotu", docs=0)
    assert "--tokens -5" in message("sotu", tokens=-5)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 2 + b"\n" + b'{"text": "broken}\n' + GOOD)
    assert f"line 4 of {path}" in message(path)
    path.write_bytes(GOOD + b'["a", "list"]\n')
    assert f"line 2 of {path} is not a JSON object" in message(path)
    path.write_bytes(b"[" * 100_000 + b"\n")
    assert f"line 1 of {path}" in message(path)


def test_a_half_written_last_line_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 3 + GOOD[:15])
    text = message(path)
    assert f"line 4 of {path}" in text
    assert "half-written" in text


def test_a_broken_line_in_a_compressed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    long_line = b'{"text": "' + b"word " * 6_000 + b'"}\n'
    path.write_bytes(zstandard.compress(long_line * 70 + b"{]\n"))  # beyond the first chunk
    assert f"line 71 of {path}" in message(path)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_a_truncated_zst_is_called_so(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.jsonl.zst"
    lines = "".join(json.dumps({"text": f"{i * 7919 % 10007} {i * 104729 % 10009}"}) + "\n" for i in range(3_000))
    data = zstandard.compress(lines.encode())
    path.write_bytes(data[: int(len(data) * keep)])
    text = message(path)
    assert str(path) in text
    assert "Truncated" in text
    assert "fetch it again" in text


def test_a_zst_that_is_none_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(GOOD)
    assert "not a readable zstd file" in message(path)


def test_a_corrupt_parquet_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not really")
    assert f"{path} is not a readable parquet file" in message(path)
    table = pa.table({"text": [f"text number {i * 7919 % 10007}" for i in range(5_000)]})
    pq.write_table(table, path, row_group_size=500, compression="zstd")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    assert "is not a readable parquet file" in message(path)
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(data)
    found = re.search(r"after row (\d+)", message(path))
    assert found
    assert 0 < int(found[1]) < 5_000


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_missing_field_names_those_that_are_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_bytes(GOOD + b'{"body": "x", "year": 1}\n')
        where = "line 2"
    else:
        pq.write_table(pa.table({"body": ["x"], "year": [1]}), path)
        where = "row 1"
    text = message(path)
    assert f"no field 'text' on {where} of {path} (fields there: body, year)" in text
    assert "--text-field" in text


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_field_that_is_not_text_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_bytes(b'{"text": 12}\n')
    else:
        pq.write_table(pa.table({"text": [12]}), path)
    assert "holds int, not text" in message(path)


def test_text_that_is_not_utf_8_is_named_by_byte_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\ntwo\nthr\xe9e".encode("latin-1"))
    assert f"{path} is not UTF-8: byte 11 (line 3) is 0xe9" in message(path)
    rows = tmp_path / "a.jsonl"
    rows.write_bytes(GOOD + '{"text": "\xe9"}\n'.encode("latin-1"))
    assert f"line 2 of {rows} is not UTF-8" in message(rows)


def test_a_file_that_vanishes_while_it_is_read_is_named(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("words")

    class Remove(Watch):
        def checkpoint(self) -> None:
            (tmp_path / "b.txt").unlink(missing_ok=True)

    assert f"{tmp_path / 'b.txt'} cannot be read" in message(tmp_path, watch=Remove())


def test_an_error_leaves_nothing_in_the_cache(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"{")
    message(tmp_path / "a.jsonl")
    assert [path for path in cache.rglob("*") if path.name != "corpora"] == []


def test_stopping_leaves_nothing_and_the_next_run_goes_through(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD * 5)

    class StopAtThird(Watch):
        calls = 0

        def checkpoint(self) -> None:
            self.calls += 1
            if self.calls == 3:
                raise Interrupted("Stopped.")

    with pytest.raises(Interrupted):
        open_corpus(str(tmp_path / "a.jsonl"), watch=StopAtThird())
    assert [path for path in cache.rglob("*") if path.name != "corpora"] == []
    assert len(open_corpus(str(tmp_path / "a.jsonl"))) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD * 5)
    monkeypatch.setattr("headtorch.core.corpus.store.create", lambda path: create(Path("/dev/full")))
    with pytest.raises(StorageError, match="disk is full"):
        open_corpus(str(tmp_path / "a.jsonl"))


def test_a_cache_that_cannot_be_written_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="HEADTORCH_CACHE"):
        open_corpus("sotu", docs=1)
