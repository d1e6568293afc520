"""Running top-K, moments, histograms and samples of every neuron at once, kept on the device of the model.

A ranked entry is one 64-bit key: the activation's bits, made monotone, above the window's index, counted down.
Comparing keys compares (activation, then lower window), no two windows share a key, and so every result is the same
whatever the order in which windows arrive. Windows are numbered by document and position: ties go to the lower place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtorch.core.analysis.places import Int32s, Int64s

EMPTY_KEY = torch.iinfo(torch.int64).min
EMPTY_HASH = torch.iinfo(torch.int64).max
_LOW_32 = 0xFFFFFFFF
_SIGN_OFF = 0x7FFFFFFF
_SEGMENTS = (32, 16, 8, 4, 2, 1)


def ranking_keys(values: Float[Tensor, "row neuron"], windows: Int[Tensor, "row"]) -> Int[Tensor, "row neuron"]:
    """Keys that sort by value, then by lower window. NaN and −inf become EMPTY_KEY."""
    bits = (values.float() + 0.0).view(torch.int32)  # + 0.0 turns −0 into +0
    monotone = (bits ^ ((bits >> 31) & _SIGN_OFF)).long()
    keys = (monotone << 32) | (_LOW_32 - windows)[:, None]
    return keys.masked_fill(~(values > -torch.inf), EMPTY_KEY)


def decode_keys(keys: Int64s) -> tuple[npt.NDArray[np.float32], Int32s]:
    """The values and windows of `ranking_keys`."""
    monotone = (keys >> 32).astype(np.int32)
    values = (monotone ^ ((monotone >> 31) & np.int32(_SIGN_OFF))).view(np.float32)
    return values, (_LOW_32 - (keys & _LOW_32)).astype(np.int32)


@dataclass(frozen=True)
class Peaks:
    """The highest activation of each neuron in each row, and where it stands first."""

    keys: Int[Tensor, "row neuron"]  # EMPTY_KEY where the neuron has better ones already
    offsets: Int[Tensor, "row neuron"]  # row index of the peak; 0 where the key is empty


def find_peaks(
    activations: Float[Tensor, "row position neuron"], windows: Int[Tensor, "row"], worst: Int[Tensor, "neuron"]
) -> Peaks:
    """Peaks that beat `worst`, the key a neuron must exceed. Positions not to be counted hold −inf.

    Maxima are taken over segments of positions first, so that the place of a peak is looked for in one segment only.
    """
    rows, positions, neurons = activations.shape
    size = next(size for size in _SEGMENTS if positions % size == 0)
    segments = activations.view(rows, positions // size, size, neurons)
    maxima = segments.amax(2)  # [row, segment, neuron]
    keys = ranking_keys(maxima.amax(1), windows)  # [row, neuron]
    better = keys > worst
    row, neuron = better.nonzero(as_tuple=True)  # [peak]
    segment = maxima[row, :, neuron].argmax(1)  # [peak], the first of equals
    inside = segments[row, segment, :, neuron].argmax(1)  # [peak], the first of equals
    offsets = torch.zeros_like(keys, dtype=torch.int32)
    offsets[row, neuron] = (segment * size + inside).int()
    return Peaks(keys.masked_fill_(~better, EMPTY_KEY), offsets)


class RunningTop:
    """The `capacity` highest keys of each neuron."""

    def __init__(self, keys: Int[Tensor, "neuron rank"], offsets: Int[Tensor, "neuron rank"]) -> None:
        self.keys = keys
        self.offsets = offsets
        self.worst = keys.amin(1)  # [neuron] the key to beat
        self._pending: list[Peaks] = []

    def add(self, peaks: Peaks) -> None:
        """Keep peaks for the next `flush`."""
        self._pending.append(peaks)

    def flush(self) -> None:
        """Bring the highest keys up to date with all added peaks."""
        if not self._pending:
            return
        keys = torch.cat([self.keys, *(peaks.keys.T for peaks in self._pending)], 1)  # [neuron, rank + row]
        offsets = torch.cat([self.offsets, *(peaks.offsets.T for peaks in self._pending)], 1)
        self.keys, order = keys.topk(self.keys.shape[1], dim=1, sorted=False)
        self.offsets = offsets.gather(1, order)
        self.worst = self.keys.amin(1)
        self._pending.clear()


@dataclass(frozen=True)
class Sample:
    """Activations at hashed positions, in the order of their hashes."""

    activations: Float[Tensor, "place neuron"]
    hashes: Int[Tensor, "place"]
    places: Int[Tensor, "place"]  # window · 2³² + row index


class RunningSample:
    """Moments and histogram of each neuron, and per histogram bin the places of lowest hash.

    Bin b holds low + b·width ≤ activation < low + (b+1)·width; the first and the last bin are open outwards. Moments
    are fp64 sums of (activation − low) and its square.
    """

    def __init__(
        self,
        low: Float[Tensor, "neuron"],
        width: Float[Tensor, "neuron"],
        total: Float[Tensor, "neuron"],
        square: Float[Tensor, "neuron"],
        counts: Int[Tensor, "neuron bin"],
        hashes: Int[Tensor, "neuron bin place"],
        places: Int[Tensor, "neuron bin place"],
        activations: Float[Tensor, "neuron bin place"],
    ) -> None:
        self.low, self.width = low, width
        self.total, self.square = total, square
        self.counts = counts
        self.n_bins, self.n_places = hashes.shape[1:]
        self.hashes = hashes.flatten(0, 1)  # [neuron·bin, place], ascending
        self.places = places.flatten(0, 1)
        self.activations = activations.flatten(0, 1)
        self._first_bin = torch.arange(len(low), device=low.device) * self.n_bins  # [neuron]

    def add(self, sample: Sample) -> None:
        """Count the sample, and keep its places where their hash is low enough."""
        above = sample.activations.double() - self.low  # [place, neuron]
        self.total += above.sum(0)
        self.square += above.square().sum(0)
        above.div_(self.width).nan_to_num_(nan=0.0).clamp_(0, self.n_bins - 1)  # never negative: truncation is floor
        bins = above.long().add_(self._first_bin)  # [place, neuron]
        self.counts += torch.bincount(bins.flatten(), minlength=self.counts.numel()).view_as(self.counts)
        low_enough = sample.hashes[:, None] < self.hashes[:, -1][bins]  # [place, neuron]
        place, neuron = low_enough.nonzero(as_tuple=True)  # [kept], hashes ascending
        if len(place):
            self._keep(bins[place, neuron], sample, place, neuron)

    def _keep(
        self, bins: Int[Tensor, "kept"], sample: Sample, place: Int[Tensor, "kept"], neuron: Int[Tensor, "kept"]
    ) -> None:
        """Merge places, by ascending hash, into the lists of their bins."""
        bins, order = bins.sort(stable=True)
        place, neuron = place[order], neuron[order]
        starts = torch.cat([bins.new_zeros(1), (bins.diff() != 0).nonzero()[:, 0] + 1])  # [touched]
        touched = bins[starts]
        sizes = torch.cat([starts[1:], starts.new_tensor([len(bins)])]) - starts  # [touched]
        group = torch.arange(len(touched), device=bins.device).repeat_interleave(sizes)  # [kept]
        rank = torch.arange(len(bins), device=bins.device) - starts[group]
        lowest = rank < self.n_places
        group, rank, place, neuron = group[lowest], rank[lowest] + self.n_places, place[lowest], neuron[lowest]

        def joined(kept: Tensor, new: Tensor, empty: int) -> Tensor:  # [touched, 2 · place]
            both = torch.cat([kept[touched], torch.full_like(kept[touched], empty)], 1)
            both[group, rank] = new
            return both

        hashes, order = joined(self.hashes, sample.hashes[place], EMPTY_HASH).sort(1)
        order = order[:, : self.n_places]
        self.hashes[touched] = hashes[:, : self.n_places]
        self.places[touched] = joined(self.places, sample.places[place], 0).gather(1, order)
        kept = sample.activations[place, neuron].float()
        self.activations[touched] = joined(self.activations, kept, 0).gather(1, order)
