"""Merging, keeping and reading an activation index."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_model import FakeCorpus, FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.analysis.index import ActivationIndex, merge
from headtorch.core.analysis.places import hash_places
from headtorch.core.analysis.running import EMPTY_KEY, decode_keys, ranking_keys
from headtorch.core.analysis.scan import scan
from headtorch.core.errors import AddressError, StorageError
from headtorch.core.records import NeuronId

CORPUS = FakeCorpus([200, 90, 300, 45, 10, 120])
N = len(CORPUS.windows)


@cache
def shard(start: int, stop: int) -> ActivationIndex:
    return scan(FakeModel(gated=True), CORPUS, [0, 2], top_k=4, windows=range(start, stop))


def assert_same(a: ActivationIndex, b: ActivationIndex) -> None:
    for name, value in a.__dict__.items():
        if name in ("total", "square"):
            np.testing.assert_allclose(value, getattr(b, name), rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, N), min_size=2, max_size=2).map(sorted))
def test_merging_is_associative_and_commutative(cuts: list[int]) -> None:
    a, b, c = shard(0, cuts[0]), shard(cuts[0], cuts[1]), shard(cuts[1], N)
    assert_same(merge(merge(a, b), c), merge(a, merge(b, c)))
    assert_same(merge(merge(c, a), b), merge(merge(a, b), c))
    assert_same(merge(merge(a, b), c), shard(0, N))


def test_merging_refuses_shared_windows_and_other_questions() -> None:
    with pytest.raises(ValueError, match="share windows"):
        merge(shard(0, 10), shard(9, N))
    with pytest.raises(ValueError, match="only indices of one"):
        merge(shard(0, 10), scan(FakeModel(salt=1, gated=True), CORPUS, [0, 2], top_k=4, windows=range(10, N)))


def test_a_saved_index_reads_the_same(tmp_path: Path) -> None:
    merged = merge(shard(0, 5), shard(7, N))
    path = merged.save(tmp_path / "made" / "for it")
    assert merged.covered == ((0, 5), (7, N))
    assert_same(ActivationIndex.load(path), merged)
    assert_same(ActivationIndex.load(path.parent), merged)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_a_killed_process_left_half_written_goes_with_time(tmp_path: Path) -> None:
    path = shard(0, 5).save(tmp_path)
    old, young = (tmp_path / f".{path.name}.partial-{i}" for i in "ab")
    for file in (old, young):
        file.write_text("half")
    os.utime(old, (0, 0))
    shard(0, 5).save(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, young])


def test_a_folder_without_an_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no activation index"):
        ActivationIndex.load(tmp_path)
    (tmp_path / "index-x.safetensors").write_text("no index")
    with pytest.raises(StorageError, match="not a whole activation index"):
        ActivationIndex.load(tmp_path)


@pytest.mark.parametrize("address", ["L1.N0", "L0.N6", "L3.N0"])
def test_neurons_that_are_not_indexed_are_refused(address: str) -> None:
    with pytest.raises(AddressError, match="covers neurons 0-5 of layers 0, 2"):
        shard(0, N).top(NeuronId.parse(address), "explain")


def test_negative_places_are_for_gated_mlps_only() -> None:
    index = scan(FakeModel(), CORPUS, [0], top_k=4)
    with pytest.raises(AddressError, match="not gated"):
        index.top(NeuronId(0, 0), "explain", sign=-1)


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(floats, st.integers(0, 2**31 - 1)), min_size=2, max_size=20))
def test_keys_sort_by_value_then_lower_window_and_read_back(entries: list[tuple[float, int]]) -> None:
    values = torch.tensor([[value] for value, _ in entries], dtype=torch.float32)
    keys = ranking_keys(values, torch.tensor([window for _, window in entries]))[:, 0].numpy()
    assert sorted(range(len(entries)), key=lambda i: (-entries[i][0], entries[i][1])) == sorted(
        range(len(entries)), key=lambda i: -int(keys[i])
    )
    read, windows = decode_keys(keys)
    assert read.tolist() == [value for value, _ in entries]
    assert windows.tolist() == [window for _, window in entries]


def test_keys_of_what_cannot_be_ranked_are_empty() -> None:
    keys = ranking_keys(torch.tensor([[torch.nan, -torch.inf, -3e38, torch.inf]]), torch.tensor([5]))
    assert (keys == EMPTY_KEY).tolist() == [[True, True, False, False]]


@given(st.integers(-(2**63), 2**63 - 1))
def test_places_have_hashes_of_their_own_that_look_even(seed: int) -> None:
    document, position = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(100)))
    hashes = hash_places(seed, document, position)
    assert len(np.unique(hashes)) == 4000
    assert abs((hashes % 16 == 0).sum() - 250) < 6 * np.sqrt(250)
    assert abs((hashes > 0).sum() - 2000) < 6 * np.sqrt(1000)
