"""What one block of windows shows: the peak of each neuron in each window, and its activation at sampled positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtorch.core.analysis.batching import Block, MemoryGuard, pad_rows, plan_blocks
from headtorch.core.analysis.places import WindowedCorpus, WindowTable, hash_places
from headtorch.core.analysis.running import Peaks, Sample, find_peaks
from headtorch.core.records import ModelFacts
from headtorch.core.watch import Watch

SAMPLED_SHARE = 16  # one position in so many is sampled
PILOT_WINDOWS = 32


class ActivationModel(Protocol):
    """What the scan needs of a language model; `mlp_activations` must return tensors that may be overwritten."""

    @property
    def facts(self) -> ModelFacts: ...
    @property
    def device(self) -> torch.device: ...
    def mlp_activations(
        self, rows: Int[Tensor, "row position"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "row position d_mlp"]]: ...


@dataclass(frozen=True)
class Observation:
    """Of some windows of one half; neurons are stacked layer by layer."""

    half: int
    peaks: list[Peaks]  # for +, and for − where the MLP is gated
    sample: Sample


@dataclass(frozen=True)
class Reading:
    """What is read of a block on the host, before a device has it."""

    block: Block
    ids: Int[Tensor, "row position"]
    counted: np.ndarray  # bool [row, position]: neither the first token nor padding nor a window that is not wanted
    hashes: np.ndarray  # int64 [row, position]


@dataclass(frozen=True)
class Observer:
    """Reads windows of a corpus with a model. Only windows in `wanted` are counted."""

    model: ActivationModel
    corpus: WindowedCorpus
    layers: tuple[int, ...]
    table: WindowTable
    wanted: range
    seed: int

    @property
    def home(self) -> torch.device:
        """Where results are kept: the model's device, but the CPU for a device without fp64 (Apple's)."""
        return torch.device("cpu") if self.model.device.type == "mps" else self.model.device

    def read(self, block: Block) -> Reading:
        """The tokens of a block and which of them count."""
        ids = self._ids(block.windows, block.length)
        hashes = self.table.hashes(block.windows, block.length, self.seed)
        return Reading(block, ids, self._counted(block.windows, block.length), hashes)

    def observe(self, read: Reading, worst: list[Int[Tensor, "neuron"]], rows: slice) -> Observation:
        """Rows of a block; `worst` holds, for each sign, the key that a neuron's peak must exceed."""
        windows, counted = read.block.windows[rows], read.counted[rows]
        activations = self._activations(read.ids[rows])
        sample = self._sample(activations, windows, counted, read.hashes[rows])
        left_out = self._tensor(np.flatnonzero(~counted))  # [row · position]
        numbers = self._tensor(windows)
        peaks = []
        for sign in range(len(worst)):
            found = []
            for layer, keys in zip(activations, worst[sign].chunk(len(activations)), strict=True):
                if sign:
                    layer.neg_()
                layer.flatten(0, 1).index_fill_(0, left_out, -torch.inf)
                found.append(find_peaks(layer, numbers, keys))
            peaks.append(Peaks(torch.cat([p.keys for p in found], 1), torch.cat([p.offsets for p in found], 1)))
        return Observation(read.block.half, peaks, sample)

    def pilot_range(
        self, block_tokens: int, guard: MemoryGuard, watch: Watch
    ) -> tuple[Float[Tensor, "neuron"], Float[Tensor, "neuron"]]:
        """Lowest and highest activation of each neuron over a few windows of the whole corpus, drawn by hash."""
        numbers = np.arange(len(self.table), dtype=np.int64)
        drawn = np.sort(np.argsort(hash_places(self.seed, numbers, np.zeros_like(numbers)))[:PILOT_WINDOWS])
        few = self.table.take(drawn)
        lows, highs = [], []
        for block in plan_blocks(few, self.corpus.context, block_tokens):
            watch.checkpoint()
            for low, high in guard.run(len(block.windows), partial(self._range, drawn, block)):
                lows.append(low)
                highs.append(high)
        return torch.stack(lows).amin(0), torch.stack(highs).amax(0)

    def _range(self, drawn: np.ndarray, block: Block, rows: slice) -> tuple[Tensor, Tensor]:  # [neuron] each
        windows = drawn[block.windows[rows]]
        activations = self._activations(self._ids(windows, block.length))
        inside = np.arange(block.length) < self.table.length[windows, None]
        inside[:, 0] = False
        chosen = self._tensor(np.flatnonzero(inside))
        columns = torch.cat([layer.flatten(0, 1)[chosen] for layer in activations], 1).float()  # [place, neuron]
        if not len(columns):
            return torch.full_like(columns.sum(0), torch.inf), torch.full_like(columns.sum(0), -torch.inf)
        return columns.amin(0), columns.amax(0)

    def _ids(self, windows: np.ndarray, length: int) -> Int[Tensor, "row position"]:
        return pad_rows([self.corpus.windows[int(w)].ids for w in windows], length, torch.device("cpu"))

    def _activations(self, ids: Int[Tensor, "row position"]) -> list[Float[Tensor, "row position d_mlp"]]:
        found = self.model.mlp_activations(ids.to(self.model.device), self.layers)
        return [found[layer].to(self.home).contiguous() for layer in self.layers]

    def _counted(self, windows: np.ndarray, length: int) -> np.ndarray:  # bool [row, position]
        counted = np.arange(length) < self.table.length[windows, None]
        counted[:, 0] = False
        counted[(windows < self.wanted.start) | (windows >= self.wanted.stop)] = False
        return counted

    def _sample(
        self, activations: list[Tensor], windows: np.ndarray, counted: np.ndarray, hashes: np.ndarray
    ) -> Sample:
        row, position = np.nonzero(counted & (hashes % SAMPLED_SHARE == 0))  # [place]
        order = np.argsort(hashes[row, position])
        row, position = row[order], position[order]
        chosen = self._tensor(row * counted.shape[1] + position)
        return Sample(
            torch.cat([layer.flatten(0, 1)[chosen] for layer in activations], 1),
            self._tensor(hashes[row, position]),
            self._tensor((windows[row].astype(np.int64) << 32) | position),
        )

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers, np.int64)).to(self.home)
