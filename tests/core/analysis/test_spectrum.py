"""Effects over activation bins: which places are taken, and that every curve is the mean over its bin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.effects import Effects, effects
from headtorch.core.analysis.places import Top
from headtorch.core.analysis.replacements import replacements
from headtorch.core.analysis.spectrum import binned_places, spectrum_record
from headtorch.core.analysis.suffixes import Place
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Half, HeadId, NeuronId

NEURON, HEADS = NeuronId(1, 4), [HeadId(0, 1), HeadId(1, 3)]


@dataclass(frozen=True)
class Samples:
    """An index of three bins; each sample is a list of (document, activation)."""

    found: dict[tuple[int, Half], list[tuple[int, float]]]
    n_bins: int = 3

    def histogram(self, _neuron: NeuronId) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return np.array([-2.0, -1.0, 0.0, 1.0]), np.array([1, 2, 3])

    def reservoir(self, _neuron: NeuronId, bin: int, half: Half) -> Top:
        sample = self.found.get((bin, half), [])
        documents = np.array([document for document, _ in sample], dtype=np.int32)
        activations = np.array([activation for _, activation in sample], dtype=np.float32)
        return Top(activations, documents, 5 * documents, documents)


SAMPLES = Samples(
    {
        (0, "explain"): [(0, -1.5), (1, -1.2)],
        (0, "score"): [(10, -1.1), (11, -1.9)],
        (2, "explain"): [(2, 0.5), (3, 0.6), (12, 0.9)],
    }
)


def cluster(document: int) -> int:
    return document // 2  # neighbours are near-copies


def strongest(*documents: int) -> list[Place]:
    return [Place(NEURON, document, 7, document, 3.0) for document in documents]


def test_places_come_from_every_bin_one_a_cluster_both_halves_in_turn() -> None:
    found = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20, 21, 30)})
    documents = [place.document for place in found.places]
    assert documents == [0, 10, 2, 12, 20, 30]  # 1, 11, 3 and 21 are near-copies of the ones before
    assert found.bins.tolist() == [0, 0, 2, 2, 3, 3]
    assert found.places[1][2:] == (50, 10, pytest.approx(-1.1))
    few = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20, 30)}, per_bin=1)
    assert [place.document for place in few.places] == [0, 2, 20]


def effects_of(values: Sequence[float]) -> Effects:
    grid = np.full((len(values), 3, 4), np.nan)
    for head in HEADS:
        grid[:, head.layer, head.index] = np.array(values) * (1 + head.layer)
    clean = np.arange(len(values), dtype=np.float64)
    return Effects([NEURON] * len(values), "resample", "last", 4, grid, 10 * grid, clean, clean)


def test_a_curve_is_the_mean_over_each_bin_with_an_interval_over_clusters() -> None:
    binned = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20)})
    found = spectrum_record(SAMPLES, binned, effects_of([1.0, 2.0, 4.0, 8.0, 16.0]), HEADS, cluster)
    assert [(one.low, one.high, one.n) for one in found.bins] == [(-2, -1, 2), (-1, 0, 0), (0, 1, 2), (None, None, 1)]
    assert [one.activation for one in found.bins] == [0.5, None, 2.5, 4.0]
    first, second = found.curves
    assert (first.head, first.activation) == (HEADS[0], [1.5, None, 6.0, 16.0])
    assert (second.activation, second.pre_activation) == ([3.0, None, 12.0, 32.0], [30.0, None, 120.0, 320.0])
    assert [one is None for one in first.activation_interval] == [False, True, False, True]
    interval = first.activation_interval[2]
    assert interval is not None and (interval.low, interval.high) == (4.0, 8.0)
    assert (found.replacement, found.position, found.donors) == ("resample", "last", 4)


def test_a_gated_neuron_has_strongest_prompts_of_both_signs() -> None:
    binned = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20), -1: strongest(40, 50)})
    assert binned.bins.tolist() == [-1, -1, 0, 0, 2, 2, 3]
    measured = effects_of([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    found = spectrum_record(SAMPLES, binned, measured, HEADS, cluster, (1, -1))
    assert [(one.strongest, one.n) for one in found.bins] == [(-1, 2), (0, 2), (0, 0), (0, 2), (1, 1)]
    assert found.curves[0].activation == [1.5, 6.0, None, 24.0, 64.0]
    empty = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20), -1: []})
    assert spectrum_record(SAMPLES, empty, measured, HEADS, cluster, (1, -1)).bins[0].n == 0


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_curves_hold_the_exact_effects(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    binned = binned_places(SAMPLES, cluster, NEURON, {1: strongest(20)})
    rows = [model.with_first_token([5 + place.document, 9, 3 + i]) for i, place in enumerate(binned.places)]
    by = replacements(model, "zero")
    measured = effects(model, rows, [NEURON] * len(rows), by)
    found = spectrum_record(SAMPLES, binned, measured, HEADS, cluster)
    for bin, members in ((0, [0, 1]), (2, [2, 3]), (3, [4])):
        alone = [effects(model, [rows[i]], [NEURON], by).activation[0] for i in members]
        for head, curve in zip(HEADS, found.curves, strict=True):
            expected = np.mean([one[head.layer, head.index] for one in alone])
            assert curve.activation[bin] == pytest.approx(expected, abs=1e-5)
