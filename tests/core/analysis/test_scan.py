"""The scan against a naive one that reads windows one at a time, and against itself however the work is cut."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_model import FakeCorpus, FakeModel

from headtorch.core.analysis import scan as scan_module
from headtorch.core.analysis.batching import bucket_length, plan_blocks
from headtorch.core.analysis.index import ActivationIndex, merge
from headtorch.core.analysis.places import WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import N_RANDOM
from headtorch.core.errors import AddressError, DeviceError, Interrupted, StorageError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Half, NeuronId
from headtorch.core.watch import Watch

LENGTHS = [100, 3, 40, 31, 64, 1, 250, 33, 17, 90, 120, 75]
EXACT = ("top_keys", "top_offsets", "count", "bin_counts", "reservoir_hashes", "reservoir_places", "random_places")


def assert_same(a: ActivationIndex, b: ActivationIndex, moments: float = 0.0) -> None:
    for name in (*EXACT, "low", "width", "reservoir_activations", "window_document", "window_start"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("total", "square"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=moments, err_msg=name)
    assert (a.key, a.layers, a.covered, a.blocks_left) == (b.key, b.layers, b.covered, b.blocks_left)


def naive_values(model, corpus, layer: int, half: Half) -> list[tuple[int, int, int, np.ndarray]]:
    """(document, position, window, activations of all neurons) of every counted position, one window at a time."""
    rows = []
    for number, window in enumerate(corpus.windows):
        if corpus.half(window.document) != half:
            continue
        ids = torch.from_numpy(window.ids.astype(np.int64))[None]
        values = model.mlp_activations(ids, [layer])[layer][0].numpy()
        rows += [(window.document, window.start + i - 1, number, values[i]) for i in range(1, len(window.ids))]
    return rows


def naive_top(rows: list, neuron: int, sign: int, k: int) -> list[tuple[float, int, int, int]]:
    best: dict[int, tuple[float, int, int, int]] = {}
    for document, position, window, values in rows:
        value = sign * float(values[neuron])
        if window not in best or value > best[window][0]:
            best[window] = (value, document, position, window)
    ranked = sorted(best.values(), key=lambda entry: (-entry[0], entry[1], entry[2]))[:k]
    return [(sign * value, *place) for value, *place in ranked]


def as_tuples(top) -> list[tuple[float, int, int, int]]:
    columns = (top.activation, top.document, top.position, top.window)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("first_token", [99, None])
@pytest.mark.parametrize("half", ["explain", "score"])
def test_top_places_are_those_of_a_naive_scan_ties_included(half: Half, first_token: int | None) -> None:
    model = FakeModel(gated=True, first_token=first_token)
    corpus = FakeCorpus(LENGTHS, first_token=first_token)
    index = scan(model, corpus, [0, 2], top_k=5)
    for layer in (0, 2):
        rows = naive_values(model, corpus, layer, half)
        for neuron in range(model.facts.d_mlp):
            for sign in (1, -1):
                found = as_tuples(index.top(NeuronId(layer, neuron), half, sign))
                assert found == naive_top(rows, neuron, sign, 5)


def test_a_corpus_with_fewer_windows_than_k_gives_them_all() -> None:
    corpus = FakeCorpus([10, 12, 40])
    index = scan(FakeModel(), corpus, [1])
    assert sorted(index.top(NeuronId(1, 0), "explain").window) == [0, 1]
    assert sorted(index.top(NeuronId(1, 0), "score").window) == [2, 3]


@pytest.mark.parametrize(("family", "sign"), [("gpt2", 1), ("llama", 1), ("llama", -1)])
def test_a_real_model_gives_the_activations_of_rows_read_one_at_a_time(
    tiny_model: Callable[..., LanguageModel], family: str, sign: int
) -> None:
    model, corpus = tiny_model(family), FakeCorpus(LENGTHS)
    index = scan(model, corpus, [1, 2], top_k=6)
    rows = naive_values(model, corpus, 2, "explain")
    values = {(d, p): v for d, p, _, v in rows}
    for neuron in range(0, model.facts.d_mlp, 7):
        found = index.top(NeuronId(2, neuron), "explain", sign)
        expected = [value for value, *_ in naive_top(rows, neuron, sign, 6)]
        np.testing.assert_allclose(found.activation, expected, rtol=1e-4, atol=1e-6)
        there = [values[d, p][neuron] for d, p in zip(found.document, found.position, strict=True)]
        np.testing.assert_allclose(found.activation, there, rtol=1e-4, atol=1e-6)


def test_moments_histogram_and_reservoir_describe_the_sampled_positions() -> None:
    model, corpus = FakeModel(), FakeCorpus([3000, 2000, 2500])
    index = scan(model, corpus, [1])
    everything = naive_values(model, corpus, 1, "explain") + naive_values(model, corpus, 1, "score")
    value = {(d, p): v for d, p, _, v in everything}
    table = WindowTable.of(corpus)
    hashes = table.hashes(np.arange(len(table)), corpus.context, 0)
    sampled = {(d, p) for d, p, w, _ in everything if hashes[w, p - corpus.windows[w].start + 1] % 16 == 0}
    assert len(sampled) == pytest.approx(7500 / 16, rel=0.2)
    for neuron in range(model.facts.d_mlp):
        column = np.array([value[place][neuron] for place in sampled], np.float64)
        moments = index.moments(NeuronId(1, neuron))
        assert moments.count == len(column)
        assert moments.mean == pytest.approx(column.mean(), rel=1e-9)
        assert moments.variance == pytest.approx(column.var(), rel=1e-9)
        edges, counts = index.histogram(NeuronId(1, neuron))
        inner = np.clip(column, edges[0], np.nextafter(edges[-1], -np.inf))
        np.testing.assert_array_equal(counts, np.histogram(inner, edges)[0])
        for bin in range(index.n_bins):
            places = index.reservoir(NeuronId(1, neuron), bin, "explain")
            assert len(places) == min(8, index.histogram(NeuronId(1, neuron), "explain")[1][bin])
            for activation, document, position, _ in as_tuples(places):
                assert (document, position) in sampled
                assert activation == value[document, position][neuron]
                assert (bin == 0 or activation >= edges[bin]) and (bin == 9 or activation < edges[bin + 1])


def test_a_reservoir_holds_the_lowest_hashes_of_its_bin() -> None:
    model, corpus = FakeModel(), FakeCorpus([6000, 10, 10])
    index = scan(model, corpus, [0])
    edges, _ = index.histogram(NeuronId(0, 3))
    table = WindowTable.of(corpus)
    hashes = table.hashes(np.arange(len(table)), corpus.context, 0)
    candidates = []
    for document, position, window, values in naive_values(model, corpus, 0, "explain"):
        hash_ = hashes[window, position - corpus.windows[window].start + 1]
        if hash_ % 16 == 0 and edges[4] <= values[3] < edges[5]:
            candidates.append((hash_, document, position))
    found = index.reservoir(NeuronId(0, 3), 4, "explain")
    assert list(zip(found.document, found.position, strict=True)) == [c[1:] for c in sorted(candidates)[:8]]


def test_random_positions_are_distinct_counted_positions_of_their_half_spread_over_the_corpus() -> None:
    corpus = FakeCorpus([4000, 4000, 4000], first_token=None)
    index = scan(FakeModel(first_token=None), corpus, [0])
    for half in ("explain", "score"):
        places = index.random_positions(half)
        assert len(set(zip(places.document, places.position, strict=True))) == len(places) == N_RANDOM
        assert {corpus.half(d) for d in places.document} == {half}
        assert places.position.min() >= 1  # without a first token, position 0 is row index 0
        starts = np.array([corpus.windows[w].start for w in places.window])
        assert ((places.position - starts >= 0) & (places.position - starts < 31)).all()
        assert abs(places.position.mean() - 2000) < 4 * 4000 / math.sqrt(12 * N_RANDOM)


def test_batch_size_does_not_change_a_bit(tiny_model: Callable[..., LanguageModel]) -> None:
    model, corpus = tiny_model("gpt2"), FakeCorpus(LENGTHS * 10)
    whole = scan(model, corpus, [0, 2], top_k=4)
    for batch_tokens in (1, 2500, 10**9):
        assert_same(scan(model, corpus, [0, 2], top_k=4, batch_tokens=batch_tokens), whole)


def test_order_does_not_change_the_index(
    tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, corpus = tiny_model("llama"), FakeCorpus(LENGTHS * 10)
    whole = scan(model, corpus, [1], top_k=4)
    monkeypatch.setattr(scan_module, "plan_blocks", lambda *arguments: plan_blocks(*arguments)[::-1])
    assert_same(scan(model, corpus, [1], top_k=4), whole, moments=1e-12)


@pytest.mark.parametrize("cut", [1, 37, 200])
def test_two_shards_merge_into_the_index_of_the_whole(tiny_model: Callable[..., LanguageModel], cut: int) -> None:
    model, corpus = tiny_model("llama"), FakeCorpus(LENGTHS * 10)
    n = len(corpus.windows)
    whole = scan(model, corpus, [0, 1], top_k=4)
    first = scan(model, corpus, [0, 1], top_k=4, windows=range(cut))
    second = scan(model, corpus, [0, 1], top_k=4, windows=range(cut, n))
    assert_same(merge(first, second), whole, moments=1e-12)
    assert_same(merge(second, first), whole, moments=1e-12)


class StopAfter(Watch):
    def __init__(self, checkpoints: int) -> None:
        self.left = checkpoints

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted("stopped")


def test_an_interrupted_scan_goes_on_where_it_was(tiny_model: Callable[..., LanguageModel], tmp_path: Path) -> None:
    model, corpus = tiny_model("llama"), FakeCorpus(LENGTHS * 10)
    whole = scan(model, corpus, [2], top_k=4)
    for stop in (0, 1, 2):
        with pytest.raises(Interrupted):
            scan(model, corpus, [2], top_k=4, folder=tmp_path, watch=StopAfter(stop))
    assert_same(scan(model, corpus, [2], top_k=4, folder=tmp_path), whole)


KILLED = """
import os, signal, sys
from pathlib import Path
from fake_model import FakeCorpus, FakeModel
from headtorch.core.analysis import setup
from headtorch.core.analysis.scan import scan

setup._CPU_TOKENS = 256
class Dying(FakeModel):
    def mlp_activations(self, rows, layers):
        if self.calls == 14:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().mlp_activations(rows, layers)
scan(Dying(gated=True), FakeCorpus([500] * 12), [0, 1], top_k=4, folder=Path(sys.argv[1]), checkpoint_seconds=0)
"""


def test_a_killed_scan_loses_only_the_work_since_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(Path(__file__).parents[2]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("index-*.safetensors")
    assert ActivationIndex.load(left).blocks_left > 0
    monkeypatch.setattr("headtorch.core.analysis.setup._CPU_TOKENS", 256)
    corpus, fresh, resumed = FakeCorpus([500] * 12), FakeModel(gated=True), FakeModel(gated=True)
    whole = scan(fresh, corpus, [0, 1], top_k=4)
    assert_same(scan(resumed, corpus, [0, 1], top_k=4, folder=tmp_path), whole)
    assert fresh.calls - resumed.calls == 14  # what the killed process had finished, pilot included


def test_a_finished_index_is_loaded_and_another_question_gets_its_own_file(tmp_path: Path) -> None:
    corpus, model = FakeCorpus(LENGTHS), FakeModel()
    whole = scan(model, corpus, [1], folder=tmp_path)
    calls = model.calls
    assert_same(scan(model, corpus, [1], folder=tmp_path), whole)
    assert model.calls == calls
    questions = [
        dict(layers=[2]),
        dict(layers=[1], top_k=3),
        dict(layers=[1], seed=1),
        dict(layers=[1], windows=range(5)),
    ]
    for question in questions:
        scan(model, corpus, folder=tmp_path, **question)
    scan(FakeModel(salt=1), corpus, [1], folder=tmp_path)
    scan(model, FakeCorpus(LENGTHS, seed=1), [1], folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 7


def test_a_damaged_checkpoint_is_not_trusted(tmp_path: Path) -> None:
    corpus = FakeCorpus(LENGTHS)
    whole = scan(FakeModel(), corpus, [1], folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StorageError, match="scan again"):
        ActivationIndex.load(file)
    assert_same(scan(FakeModel(), corpus, [1], folder=tmp_path), whole)


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    index = scan(FakeModel(), FakeCorpus(LENGTHS), [1], folder=tmp_path)
    monkeypatch.setattr("headtorch.core.files.create", full)
    with pytest.raises(StorageError, match="disk is full"):
        index.save(tmp_path)
    assert_same(ActivationIndex.load(tmp_path), index)


class SmallMemory(FakeModel):
    most_rows = 3

    def mlp_activations(self, rows, layers):
        if len(rows) > self.most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().mlp_activations(rows, layers)


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    corpus = FakeCorpus(LENGTHS)
    assert_same(scan(SmallMemory(), corpus, [1]), scan(FakeModel(), corpus, [1]), moments=1e-12)


def test_a_device_without_room_for_one_row_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SmallMemory, "most_rows", 0)
    with pytest.raises(DeviceError, match="too little free memory"):
        scan(SmallMemory(), FakeCorpus(LENGTHS), [1])


def test_values_that_are_not_numbers_are_never_ranked() -> None:
    class Overflowing(FakeModel):
        def mlp_activations(self, rows, layers):
            found = super().mlp_activations(rows, layers)
            for values in found.values():
                values[rows % 7 == 1] = torch.nan
                values[..., 0] = -torch.inf
            return found

    index = scan(Overflowing(), FakeCorpus(LENGTHS), [1])
    assert np.isfinite(index.top(NeuronId(1, 1), "explain").activation).all()
    assert len(index.top(NeuronId(1, 0), "explain")) == 0


def test_the_best_so_far_are_shown_while_the_scan_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_BEST_SECONDS", 0.0)
    shown = []
    corpus = FakeCorpus(LENGTHS * 30)
    index = scan(FakeModel(), corpus, [1], top_k=9, on_best=lambda best: shown.append(best(NeuronId(1, 4), "score", 1)))
    bests = [float(top.activation.sum()) for top in shown]
    assert len(bests) > 2 and bests == sorted(bests)
    assert as_tuples(shown[-1]) == as_tuples(index.top(NeuronId(1, 4), "score"))


def test_reduced_precision_keeps_twice_as_many_places() -> None:
    model = FakeModel()
    model.facts = type(model.facts)(
        **{f: getattr(model.facts, f) for f in model.facts.__struct_fields__} | {"dtype": "bfloat16"}
    )
    index = scan(model, FakeCorpus(LENGTHS), [1], top_k=3)
    assert len(index.top(NeuronId(1, 0), "explain")) == 3
    assert len(index.top(NeuronId(1, 0), "explain", k=100)) == 6


@pytest.mark.parametrize(("layers", "said"), [([3], "layers 0 to 2"), ([-1], "layers 0 to 2"), ([], "No layer")])
def test_layers_that_are_not_there_are_refused(layers: list[int], said: str) -> None:
    with pytest.raises(AddressError, match=said):
        scan(FakeModel(), FakeCorpus(LENGTHS), layers)


def test_a_bucket_depends_on_the_length_alone_and_pads_little() -> None:
    for length in range(1, 1025):
        bucket = bucket_length(length, 1024)
        assert 0 <= bucket - length < max(16, length / 4)
    assert bucket_length(50, 50) == 50


def test_every_window_is_in_one_block_with_windows_of_its_half_and_bucket() -> None:
    corpus = FakeCorpus(LENGTHS * 5, context=50)
    table = WindowTable.of(corpus)
    blocks = plan_blocks(table, corpus.context, 200)
    assert sorted(np.concatenate([b.windows for b in blocks])) == list(range(len(table)))
    for block in blocks:
        assert (table.half[block.windows] == block.half).all()
        assert {bucket_length(int(n), 50) for n in table.length[block.windows]} == {block.length}
        assert len(block.windows) * block.length <= 200
