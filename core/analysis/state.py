"""A scan under way: the running results of both halves on the device, to and from an `ActivationIndex`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.observation import Observation
from headtorch.core.analysis.places import HALVES, Top
from headtorch.core.analysis.running import RunningSample, RunningTop
from headtorch.core.records import Half, NeuronId


class ScanState:
    """Running top and running sample of each half. Starts from an index, empty or partial, and gives one back."""

    def __init__(self, index: ActivationIndex, device: torch.device) -> None:
        self._start = index
        self._device = device
        self._count = index.count.copy()  # [half]
        self._top = [
            [RunningTop(self._tensor(keys), self._tensor(offsets)) for keys, offsets in zip(*half, strict=True)]
            for half in zip(index.top_keys, index.top_offsets, strict=True)
        ]  # [half][sign]
        self._sample = [self._running_sample(half) for half in range(len(HALVES))]

    def _running_sample(self, half: int) -> RunningSample:
        start = self._start
        mine = (start.total, start.square, start.bin_counts, start.reservoir_hashes)
        places = (start.reservoir_places, start.reservoir_activations)
        shared = (self._tensor(start.low), self._tensor(start.width))
        return RunningSample(*shared, *(self._tensor(array[half]) for array in (*mine, *places)))

    def worst(self, half: int) -> list[Int[Tensor, "neuron"]]:
        """For each sign, the key that a peak must exceed to count."""
        return [top.worst for top in self._top[half]]

    def add(self, seen: Observation) -> None:
        """Count an observation; its peaks join the ranking at the next `flush`."""
        for top, peaks in zip(self._top[seen.half], seen.peaks, strict=True):
            top.add(peaks)
        if len(seen.sample.hashes):
            self._sample[seen.half].add(seen.sample)
            self._count[seen.half] += len(seen.sample.hashes)

    def flush(self) -> None:
        """Bring the rankings up to date."""
        for signs in self._top:
            for top in signs:
                top.flush()

    def index(self, blocks_left: int) -> ActivationIndex:
        """Everything so far."""
        self.flush()
        ranked = [[_ranked(top) for top in signs] for signs in self._top]
        samples = self._sample
        shape = self._start.reservoir_hashes.shape[1:]
        return replace(
            self._start,
            blocks_left=blocks_left,
            top_keys=np.stack([np.stack([keys for keys, _ in signs]) for signs in ranked]),
            top_offsets=np.stack([np.stack([offsets for _, offsets in signs]) for signs in ranked]),
            count=self._count.copy(),
            total=_stack([s.total for s in samples]),
            square=_stack([s.square for s in samples]),
            bin_counts=_stack([s.counts for s in samples]),
            reservoir_hashes=_stack([s.hashes.view(shape) for s in samples]),
            reservoir_places=_stack([s.places.view(shape) for s in samples]),
            reservoir_activations=_stack([s.activations.view(shape) for s in samples]),
        )

    def best(self, neuron: NeuronId, half: Half, sign: int = 1) -> Top:
        """The best places so far, as `ActivationIndex.top` would give them."""
        top = self._top[HALVES.index(half)][0 if sign > 0 else 1]
        row = self._start.row(neuron)
        keys, order = top.keys[row].sort(descending=True)
        offsets = top.offsets[row][order]
        return self._start.decode(keys.cpu().numpy(), offsets.cpu().numpy(), sign, self._start.top_k)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.copy()).to(self._device)


def _ranked(top: RunningTop) -> tuple[np.ndarray, np.ndarray]:  # [neuron, rank] each, descending
    keys, order = top.keys.sort(dim=1, descending=True)
    return keys.cpu().numpy(), top.offsets.gather(1, order).cpu().numpy()


def _stack(tensors: list[Tensor]) -> np.ndarray:
    return torch.stack(tensors).cpu().numpy()
