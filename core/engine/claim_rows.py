"""The rows that the places of several neurons end, each once: what passes over the model share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from headtorch.core.analysis.matched_patching import Pairs
from headtorch.core.analysis.position_replay import Queries
from headtorch.core.records import NeuronId
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.study import Study

Ints = Int[np.ndarray, " place"]


class ClaimRows:
    """The places of neurons' firing sets, and the rows of the corpus that hold them."""

    def __init__(self, study: Study, neurons: Sequence[NeuronId]) -> None:
        state = study.state
        self._signs = {n: state.firing[n].firing.sign for n in neurons}
        self.places = {n: ClaimPlaces.of(study.load_arrays(state.firing[n].artefact)) for n in neurons}
        self._number: dict[NeuronId, Ints] = {}  # of each place, in `rows`
        numbers: dict[tuple[int, int], int] = {}
        longest: list[Int[np.ndarray, " token"]] = []
        for neuron, places in self.places.items():
            starts = places.position - places.length  # of the row in its document, but for a constant
            keys = list(zip(places.document.tolist(), starts.tolist(), strict=True))
            for place, key in enumerate(keys):
                number, ids = numbers.setdefault(key, len(numbers)), places.ids(place)
                if number == len(longest):
                    longest.append(ids)
                elif len(ids) > len(longest[number]):
                    longest[number] = ids
            self._number[neuron] = np.array([numbers[key] for key in keys], np.int64)
        self.rows: list[list[int]] = [ids.tolist() for ids in longest]

    def firing(self, neuron: NeuronId, *, held_out: bool | None = None) -> Ints:
        """The neuron's firing places, of one split or of both, by index into its places."""
        places = self.places[neuron]
        chosen = places.firing if held_out is None else places.firing & (places.held_out == held_out)
        return np.flatnonzero(chosen)

    def queries(self, neuron: NeuronId, chosen: Ints) -> Queries:
        """The neuron read at these of its places."""
        places = self.places[neuron]
        return Queries.of(neuron, self._number[neuron][chosen], places.length[chosen].astype(np.int64) - 1)

    def pairs(self, neuron: NeuronId, *, held_out: bool) -> tuple[Ints, Ints]:
        """Matched pairs of a split: firing places, and where the neuron is off, by index into its places."""
        places = self.places[neuron]
        mine = (places.pair >= 0) & (places.held_out == held_out)
        on, off = np.flatnonzero(mine & places.firing), np.flatnonzero(mine & ~places.firing)
        return on[np.argsort(places.pair[on])], off[np.argsort(places.pair[off])]

    def matched(self, neuron: NeuronId, *, held_out: bool) -> Pairs:
        """The same as queries."""
        on, off = self.pairs(neuron, held_out=held_out)
        return Pairs(neuron, self.queries(neuron, on), self.queries(neuron, off), self._signs[neuron])
