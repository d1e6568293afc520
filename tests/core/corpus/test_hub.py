"""Datasets of the hub: real requests to addresses that answer as a hub would, or not at all."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest

from headtorch.core.corpus import open_corpus
from headtorch.core.corpus.hub import HubName, open_rows, parse_hub_name, row_documents
from headtorch.core.errors import CorpusError


class FakeHub(BaseHTTPRequestHandler):
    """Knows a gated dataset and no other."""

    def do_GET(self) -> None:
        code = "GatedRepo" if "gated" in self.path else "RepoNotFound"
        self.send_response(403 if code == "GatedRepo" else 404)
        self.send_header("X-Error-Code", code)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def message(spec: str) -> str:
    with pytest.raises(CorpusError) as caught:
        open_corpus(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_have_up_to_three_parts() -> None:
    assert parse_hub_name("hf:imdb") == HubName("imdb", None, "train")
    assert parse_hub_name("hf:allenai/c4:en") == HubName("allenai/c4", "en", "train")
    assert parse_hub_name("hf:allenai/c4:en:validation") == HubName("allenai/c4", "en", "validation")
    assert parse_hub_name("hf:imdb::test") == HubName("imdb", None, "test")
    for spec in ("hf:", "hf::en", "hf:a:b:c:d"):
        assert "hf:NAME:config:split" in message(spec)


def test_a_hub_that_does_not_answer_is_reported_within_seconds(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    begin = time.monotonic()
    text = message("hf:allenai/c4:en")
    assert time.monotonic() - begin < 30
    assert "cannot be reached for allenai/c4" in text
    assert "local file or folder" in text
    assert capfd.readouterr() == ("", "")


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in message("hf:allenai/c4:en")


@pytest.mark.usefixtures("fake_hub")
def test_what_the_hub_does_not_have_or_give_is_told_apart() -> None:
    assert "has no dataset no/such" in message("hf:no/such")
    assert "is gated" in message("hf:some/gated")
    assert "cannot be the name of a dataset" in message("hf:not a name!")


def streamed(folder: Path, lines: list[str]) -> datasets.IterableDataset:
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return datasets.load_dataset("json", data_files=str(folder / "rows.jsonl"), split="train", streaming=True)


def test_rows_of_a_stream_are_documents(tmp_path: Path) -> None:
    rows = streamed(tmp_path, [json.dumps({"text": text, "n": 1}) for text in ("one", "two")])
    assert list(row_documents(rows, HubName("someone/letters", None, "train"), "text")) == [
        ("letters:1", "one"),
        ("letters:2", "two"),
    ]


def test_datasets_opens_what_is_named_and_says_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    there = HubName(str(tmp_path), None, "train")  # a folder stands for a repository of the hub
    assert [row["text"] for row in open_rows(there)] == ["one", "two"]
    for config, split in ((None, "exam"), ("english", "train")):
        with pytest.raises(CorpusError) as caught:
            list(open_rows(HubName(str(tmp_path), config, split)))
        assert (config or split) in str(caught.value)
        assert ":config:split" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_stream_without_the_field_names_those_there(tmp_path: Path) -> None:
    rows = streamed(tmp_path, [json.dumps({"body": "one", "n": 1})])
    with pytest.raises(CorpusError, match="fields there: body, n"):
        list(row_documents(rows, HubName("letters", None, "train"), "text"))


def test_a_stream_that_breaks_off_says_after_how_many_rows() -> None:
    def rows() -> Iterator[dict[str, object]]:
        yield {"text": "one"}
        raise ConnectionResetError("reset by peer")

    documents = row_documents(rows(), HubName("letters", None, "train"), "text")
    assert next(documents) == ("letters:1", "one")
    with pytest.raises(CorpusError, match=r"broke off after 1 rows \(reset by peer\)"):
        next(documents)


def test_a_dataset_is_streamed_once_and_then_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[HubName] = []

    def rows(name: HubName) -> Iterator[dict[str, object]]:
        calls.append(name)
        yield from ({"text": f"document {i}"} for i in range(20_000))

    monkeypatch.setattr("headtorch.core.corpus.hub._ask_hub", lambda name: None)
    monkeypatch.setattr("headtorch.core.corpus.hub.open_rows", rows)
    corpus = open_corpus("hf:someone/letters", docs=12)
    assert (len(corpus), corpus.document(11).text, corpus.titles[11]) == (12, "document 11", "letters:12")
    assert open_corpus("hf:someone/letters", docs=12).fingerprint == corpus.fingerprint
    assert len(calls) == 1
    open_corpus("hf:someone/letters", docs=13)
    assert len(calls) == 2


def test_the_libraries_are_as_loud_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    before = (datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled())
    assert before[0] < logging.ERROR
    message("hf:allenai/c4:en")
    assert (datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()) == before
