"""Cutting a corpus, sending it, and keeping finished shards; no cluster is needed."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headtorch.core.analysis.places import HALVES, WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.errors import ClusterError
from headtorch.core.scale import corpus as corpus_module
from headtorch.core.scale.corpus import ShippedCorpus, opened, shipped
from headtorch.core.scale.job import Noted
from headtorch.core.scale.merging import merged
from headtorch.core.scale.shards import ShardFolder, cut, shard_count, with_table, without_table
from headtorch.core.scale.worker import ShardScanner


@pytest.mark.parametrize(("windows", "shards"), [(1, 1), (10, 3), (100, 7), (64, 64)])
def test_shards_are_neighbours_that_cover_the_corpus_and_differ_by_one_window_at_most(
    windows: int, shards: int
) -> None:
    cuts = cut(windows, shards)
    assert [w for shard in cuts for w in shard] == list(range(windows))
    assert len(cuts) == shards and max(map(len, cuts)) - min(map(len, cuts)) <= 1


def test_the_number_of_shards_follows_from_the_corpus_alone() -> None:
    assert shard_count(None, tokens=2_000_000, windows=8_000) == 16
    assert shard_count(None, tokens=300 * 10**9, windows=10**9) == 1024
    assert shard_count(None, tokens=10 * 2**26, windows=10**6) == 16
    assert shard_count(None, tokens=100 * 2**26, windows=10**7) == 100
    assert shard_count(40, tokens=100, windows=7) == 7
    assert shard_count(3, tokens=10**9, windows=10**6) == 3


def test_the_table_of_windows_takes_three_times_its_size_at_most_while_it_is_made() -> None:
    lengths = np.random.default_rng(0).integers(0, 4000, 30_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = ShippedCorpus(np.empty(0, np.int32), offsets, lengths % 2 == 0, 1024, 0, "")
    windows = len(corpus.windows)
    tracemalloc.start()
    table = WindowTable.of(corpus)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 13 * windows
    document, _ = corpus.windows.places
    np.testing.assert_array_equal(table.half, [HALVES.index(corpus.half(int(one))) for one in document])


def test_what_is_sent_holds_the_same_windows_and_halves(question: Any) -> None:
    sent = shipped(question.corpus)
    assert sent is not None and len(sent.windows) == len(question.corpus.windows)
    for mine, theirs in zip(sent.windows, question.corpus.windows, strict=True):
        assert (mine.document, mine.start) == (theirs.document, theirs.start)
        np.testing.assert_array_equal(mine.ids, theirs.ids)
    assert [sent.half(d) for d in range(6)] == [question.corpus.half(d) for d in range(6)]
    assert type(sent.ids) is np.ndarray  # a memory map would be copied, not shared


def test_a_corpus_too_large_to_send_is_read_from_its_files_or_refused(
    question: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_module, "SHIPPED_BYTES", 1000)
    assert shipped(question.corpus) is None
    assert opened(question.job(tmp_path)).fingerprint == question.corpus.fingerprint
    with pytest.raises(ClusterError, match="storage that all machines share"):
        opened(question.job(tmp_path, tokens_folder=str(tmp_path / "elsewhere")))


def test_shards_without_their_tables_merge_into_the_whole_index(question: Any, assert_same: Any) -> None:
    half = len(question.corpus.windows) // 2
    ranges = (range(half), range(half, len(question.corpus.windows)))
    parts = [scan(question.model, question.corpus, [2], top_k=8, windows=windows) for windows in ranges]
    refused, joined = merged(*map(without_table, parts))
    assert refused is None and joined is not None and not len(joined.window_start)
    table = type("Table", (), {"document": question.whole.window_document, "start": question.whole.window_start})
    assert_same(with_table(joined, table), question.whole)  # type: ignore[arg-type]


def test_parts_of_unlike_processors_are_not_merged(question: Any) -> None:
    refused, joined = merged(question.whole, replace(question.whole, low=question.whole.low + 1e-7))
    assert joined is None and refused is not None and "one kind" in refused.message


def test_a_worker_writes_where_it_sees_what_the_driver_put_there_and_nowhere_else(
    question: Any, tmp_path: Path
) -> None:
    folder = ShardFolder.of(tmp_path, question.whole.key, 1, "driver-1")
    folder.keep(question.whole)
    assert not any(tmp_path.rglob("*.safetensors"))
    folder.open()
    folder.keep(question.whole)
    assert len([*tmp_path.rglob("*.safetensors")]) == 1
    assert not any(tmp_path.glob("*.safetensors"))  # among the indices it would pass for one
    folder.remove_all()
    assert not any(tmp_path.iterdir())


def test_a_finished_shard_is_read_again_and_a_damaged_or_unfinished_one_made_again(
    question: Any, tmp_path: Path
) -> None:
    job = question.job(tmp_path, shards=1)
    windows = range(len(question.corpus.windows))
    folder = ShardFolder.of(tmp_path, job.key, 1, "driver-1")
    folder.open()
    marked = replace(question.whole, count=question.whole.count + 1)
    folder.keep(marked)
    worker = ShardScanner(job, shipped(question.corpus), "driver-1", threads=1)
    _, found = worker.scan(windows.start, windows.stop)
    np.testing.assert_array_equal(found.count, marked.count)  # the file's
    folder.keep(replace(marked, blocks_left=3))
    assert folder.kept(windows) is None
    [file] = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-50])
    assert folder.kept(windows) is None
    _, found = worker.scan(windows.start, windows.stop)
    np.testing.assert_array_equal(found.count, question.whole.count)  # its own


def test_a_finished_shard_of_another_kind_of_processor_is_made_again_and_that_is_told(
    question: Any, tmp_path: Path
) -> None:
    folder = ShardFolder.of(tmp_path, question.whole.key, 1, "driver-1")
    folder.open()
    folder.keep(replace(question.whole, width=question.whole.width * (1 + 1e-15)))
    worker = ShardScanner(question.job(tmp_path, shards=1), shipped(question.corpus), "driver-1", threads=1)
    windows = range(len(question.corpus.windows))
    told, found = worker.scan(windows.start, windows.stop)
    assert isinstance(told, Noted) and "another kind" in told.text
    np.testing.assert_array_equal(found.width, question.whole.width)
    kept = folder.kept(windows)
    assert kept is not None
    np.testing.assert_array_equal(kept.width, question.whole.width)
    told, _ = worker.scan(windows.start, windows.stop)
    assert told is None


def test_a_worker_with_another_model_than_the_one_asked_about_refuses(question: Any, tmp_path: Path) -> None:
    worker = ShardScanner(question.job(tmp_path, key="f" * 64), shipped(question.corpus), "driver-1", threads=1)
    refused, found = worker.scan(0, 1)
    assert found is None and refused is not None
    assert refused.kind == "ClusterError" and "another index" in refused.message


def test_a_worker_tells_what_cannot_be_in_words(question: Any, tmp_path: Path) -> None:
    worker = ShardScanner(question.job(tmp_path, model="/no/such"), shipped(question.corpus), "driver-1", threads=1)
    refused, _ = worker.scan(0, 1)
    assert refused is not None and refused.kind == "ModelError"
