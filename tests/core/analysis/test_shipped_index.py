"""The index that ships with headtorch is the one that a scan makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.running import EMPTY_KEY, decode_keys
from headtorch.core.analysis.scan import scan
from headtorch.core.engine.presets import DEFAULT_LAYERS
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings

WINDOWS = range(4000, 4096)  # no more than top_k, so that a scan of them keeps the best place of each
TOLERANCE = 1e-3  # of an activation: kinds of CPU differ in the last digits


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def workspace(cache: Path) -> Workspace:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_CACHE", str(cache))
        opened = Workspace(Settings(layers=DEFAULT_LAYERS), device="cpu")
        assert opened.index.shipped and opened.index.blocks_left == 0
        return opened


def best_per_window(index: ActivationIndex, half: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Activations [neuron, window of WINDOWS], −inf where the ranking has none, and the last one of full rankings."""
    keys = index.top_keys[half, 0]
    activation, window = decode_keys(keys)
    ranked = np.where(keys == EMPTY_KEY, -np.inf, activation)
    dense = np.full((len(keys), len(WINDOWS)), -np.inf)
    inside = (keys != EMPTY_KEY) & (window >= WINDOWS.start) & (window < WINDOWS.stop)
    neuron, rank = np.nonzero(inside)
    dense[neuron, window[neuron, rank] - WINDOWS.start] = ranked[neuron, rank]
    return dense, ranked[:, -1]


def test_a_scan_of_some_windows_finds_what_the_shipped_index_has_of_them(workspace: Workspace) -> None:
    again = scan(workspace.model, workspace.corpus, workspace.layers, windows=WINDOWS)
    for half in (0, 1):
        shipped, last = best_per_window(workspace.index, half)
        scanned, _ = best_per_window(again, half)
        listed = np.isfinite(shipped)
        assert listed.sum() > 1000
        assert np.abs(shipped[listed] - scanned[listed]).max() < TOLERANCE
        beyond = np.where(listed, -np.inf, scanned)
        assert (beyond <= last[:, None] + TOLERANCE).all()


def test_another_question_is_not_answered_by_it(workspace: Workspace) -> None:
    other = Workspace(Settings(layers=DEFAULT_LAYERS, top_k=64), device="cpu", model=workspace.model)
    assert other.index_at_hand() is None


def test_without_it_the_corpus_is_scanned_here(
    workspace: Workspace, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[Path] = []

    def noted(*_: object, folder: Path, **__: object) -> ActivationIndex:
        scanned.append(folder)
        assert not list(folder.glob("*.safetensors"))  # the unpacked one is gone
        return workspace.index

    monkeypatch.setattr("headtorch.core.engine.workspace.scan", noted)
    monkeypatch.setenv("HEADTORCH_CACHE", str(cache))
    other = Workspace(workspace.settings, device="cpu", model=workspace.model)
    other.shipped_index = False
    assert other.index is workspace.index
    assert len(scanned) == 1
