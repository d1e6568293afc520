"""What heads do to a neuron over all its activations, and not on its strongest prompts alone.

Effects are drawn against the activation, not shares of it: a share of a sum rises with the sum by identity. Places come
from the samples that the index keeps of every bin of the neuron's histogram, negative activations of gated neurons
among them, and from its strongest prompts, a gated neuron's of both signs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from headtorch.core.analysis.effects import Effects
from headtorch.core.analysis.places import HALVES, Top
from headtorch.core.analysis.statistics import clustered_means, percentile_interval
from headtorch.core.analysis.suffixes import Place
from headtorch.core.causes import Spectrum, SpectrumBin, SpectrumCurve
from headtorch.core.records import (
    Half,
    HeadId,
    Interval,
    NeuronId,
)

PER_BIN = 24


class BinSamples(Protocol):
    """What the spectrum needs of an activation index."""

    @property
    def n_bins(self) -> int: ...
    def histogram(self, neuron: NeuronId) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
    def reservoir(self, neuron: NeuronId, bin: int, half: Half) -> Top: ...


@dataclass(frozen=True)
class BinnedPlaces:
    """Places of one neuron and the bin of each: −1 for the most negative ones, `n_bins` for the strongest."""

    places: list[Place]
    bins: Int[np.ndarray, " place"]


def binned_places(
    index: BinSamples,
    cluster: Callable[[int], Hashable],
    neuron: NeuronId,
    strongest: Mapping[int, Sequence[Place]],
    *,
    per_bin: int = PER_BIN,
) -> BinnedPlaces:
    """At most `per_bin` places from each bin, from both halves in turn, and of the strongest by sign; one a cluster.

    A cluster of documents may have places in several bins.
    """
    places: list[Place] = []
    bins: list[int] = []
    for bin in _order(index, strongest):
        if 0 <= bin < index.n_bins:
            candidates = _in_turn([_places(neuron, index.reservoir(neuron, bin, half)) for half in HALVES])
        else:
            candidates = list(strongest[-1 if bin < 0 else 1])
        of_cluster: dict[Hashable, Place] = {}
        for place in candidates:
            of_cluster.setdefault(cluster(place.document), place)
        chosen = list(of_cluster.values())[:per_bin]
        places += chosen
        bins += [bin] * len(chosen)
    return BinnedPlaces(places, np.array(bins, dtype=np.int64))


def _order(index: BinSamples, signs: Iterable[int]) -> list[int]:
    return sorted([*range(index.n_bins), *(-1 if sign < 0 else index.n_bins for sign in signs)])


def _places(neuron: NeuronId, top: Top) -> list[Place]:
    return [
        Place(neuron, int(document), int(position), int(window), float(activation))
        for document, position, window, activation in zip(
            top.document, top.position, top.window, top.activation, strict=True
        )
    ]


def _in_turn(lists: Sequence[Sequence[Place]]) -> list[Place]:
    longest = max(map(len, lists))
    return [one[i] for i in range(longest) for one in lists if i < len(one)]


def spectrum_record(
    index: BinSamples,
    binned: BinnedPlaces,
    effects: Effects,
    heads: Sequence[HeadId],
    cluster: Callable[[int], Hashable],
    signs: Sequence[int] = (1,),
    *,
    seed: int = 0,
) -> Spectrum:
    """Mean effect of each head in every bin, with bootstrap intervals over clusters of documents.

    `effects` are those on `binned.places`, in their order; `signs` are those of the strongest prompts among them.
    """
    neuron = effects.neurons[0]
    order = _order(index, signs)
    clusters = [cluster(place.document) for place in binned.places]
    edges, _ = index.histogram(neuron)
    members = [np.flatnonzero(binned.bins == bin) for bin in order]

    def means(values: Float[np.ndarray, " place"]) -> tuple[list[float | None], list[Interval | None]]:
        return (
            [float(values[some].mean()) if len(some) else None for some in members],
            [_interval(values[some], [clusters[i] for i in some], seed) for some in members],
        )

    curves = []
    for head in heads:
        activation, activation_interval = means(effects.activation[:, head.layer, head.index])
        pre, pre_interval = means(effects.pre_activation[:, head.layer, head.index])
        curves.append(
            SpectrumCurve(
                head=head,
                activation=activation,
                activation_interval=activation_interval,
                pre_activation=pre,
                pre_activation_interval=pre_interval,
            )
        )
    return Spectrum(
        neuron=neuron,
        replacement=effects.replacement,
        position=effects.where,
        donors=effects.donors,
        bins=[
            SpectrumBin(
                low=float(edges[bin]) if 0 <= bin < index.n_bins else None,
                high=float(edges[bin + 1]) if 0 <= bin < index.n_bins else None,
                strongest=-1 if bin < 0 else int(bin == index.n_bins),
                n=len(some),
                activation=float(effects.clean_activation[some].mean()) if len(some) else None,
            )
            for bin, some in zip(order, members, strict=True)
        ],
        curves=curves,
    )


def _interval(values: Float[np.ndarray, " place"], clusters: Sequence[Hashable], seed: int) -> Interval | None:
    if len(set(clusters)) < 2:
        return None
    return percentile_interval(clustered_means(values, clusters, seed=seed))
