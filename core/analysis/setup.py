"""What a scan starts from: its key, its block size, and an index with nothing in it yet but the random positions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.index_size import N_BINS, N_PLACES
from headtorch.core.analysis.observation import PILOT_WINDOWS, SAMPLED_SHARE, ActivationModel
from headtorch.core.analysis.places import HALVES, Float64s, Int64s, WindowedCorpus, WindowTable
from headtorch.core.analysis.running import EMPTY_HASH, EMPTY_KEY
from headtorch.core.errors import AddressError
from headtorch.core.records import ModelFacts

FORMAT = 2  # of the index file; part of the key
N_RANDOM = 256  # random positions per half

_CPU_TOKENS = 2048  # a block whose activations stay in the cache
_GPU_TOKENS = 32_768  # a block that keeps the device busy
_BLOCK_VALUES = 1 << 29  # activations of a block, over all layers
_WINDOWS_AT_ONCE = 4096


def checked_layers(layers: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """The layers in order, each once; raises AddressError for one that the model does not have, or for none."""
    chosen = tuple(sorted(set(layers)))
    if not chosen:
        raise AddressError("No layer to scan was given; write them like all, last:5, 0-3 or 2,5.")
    if not 0 <= chosen[0] <= chosen[-1] < n_layers:
        wrong = next(layer for layer in chosen if not 0 <= layer < n_layers)
        raise AddressError(f"There is no layer {wrong}; the model has layers 0 to {n_layers - 1}.")
    return chosen


def block_size(model: ActivationModel, n_layers: int) -> int:
    """Tokens that go through the model together; it depends on the model, the layers and the kind of device alone."""
    tokens = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
    while tokens > 1024 and tokens * model.facts.d_mlp * n_layers > _BLOCK_VALUES:
        tokens //= 2
    return tokens


def index_key(model: ActivationModel, corpus: WindowedCorpus, layers: tuple[int, ...], *, top_k: int, seed: int) -> str:
    """A hash of everything that an index depends on."""
    facts = model.facts
    device = model.device.type
    if device == "cuda":
        device = torch.cuda.get_device_name(model.device)
    constants = (FORMAT, N_BINS, N_PLACES, N_RANDOM, SAMPLED_SHARE, PILOT_WINDOWS, block_size(model, len(layers)))
    question = (facts.fingerprint, corpus.fingerprint, layers, corpus.context, top_k, facts.first_token, seed)
    kernels = (facts.dtype, device, _attention(model))
    return hashlib.sha256(json.dumps((constants, question, kernels)).encode()).hexdigest()


def _attention(model: ActivationModel) -> str | None:
    """Which attention a Hugging Face model computes with: fused and eager kernels differ in their last bits."""
    config = getattr(getattr(model, "hf", None), "config", None)
    return getattr(config, "_attn_implementation", None)


def empty_index(
    key: str,
    facts: ModelFacts,
    layers: tuple[int, ...],
    table: WindowTable,
    wanted: range,
    pilot: tuple[Float[Tensor, "neuron"], Float[Tensor, "neuron"]],
    n_blocks: int,
    *,
    top_k: int,
    seed: int,
) -> ActivationIndex:
    """An index of no windows yet. Bins span the pilot's lowest to highest activation in equal steps.

    In reduced precision there is room for twice `top_k` places, to be ranked again in fp32.
    """
    halves, neurons = len(HALVES), facts.d_mlp * len(layers)
    ranks = (halves, 2 if facts.gated else 1, neurons, top_k if facts.dtype == "float32" else 2 * top_k)
    reservoir = (halves, neurons, N_BINS, N_PLACES)
    low, width = _bins(*pilot)
    random_hashes, random_places = random_positions(table, wanted, seed)
    return ActivationIndex(
        key=key,
        layers=layers,
        top_k=top_k,
        covered=((wanted.start, wanted.stop),) if len(wanted) else (),
        blocks_left=n_blocks,
        window_document=table.document,
        window_start=table.start,
        top_keys=np.full(ranks, EMPTY_KEY, np.int64),
        top_offsets=np.zeros(ranks, np.int32),
        low=low,
        width=width,
        count=np.zeros(halves, np.int64),
        total=np.zeros((halves, neurons)),
        square=np.zeros((halves, neurons)),
        bin_counts=np.zeros((halves, neurons, N_BINS), np.int64),
        reservoir_hashes=np.full(reservoir, EMPTY_HASH, np.int64),
        reservoir_places=np.zeros(reservoir, np.int64),
        reservoir_activations=np.zeros(reservoir, np.float32),
        random_hashes=random_hashes,
        random_places=random_places,
    )


def _bins(low: Float[Tensor, "neuron"], high: Float[Tensor, "neuron"]) -> tuple[Float64s, Float64s]:
    """Lower edge and width; a neuron that does not vary in the pilot gets narrow bins above its value."""
    bottom, top = (np.nan_to_num(x.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0) for x in (low, high))
    smallest = 1e-6 * np.maximum(np.abs(bottom), 1.0)
    return bottom, np.maximum(top - bottom, smallest) / N_BINS


def random_positions(table: WindowTable, wanted: range, seed: int) -> tuple[Int64s, Int64s]:
    """Hashes and places, [half, place], of the positions of lowest hash among the wanted windows of each half."""
    hashes = np.full((len(HALVES), N_RANDOM), EMPTY_HASH, np.int64)
    places = np.zeros_like(hashes)
    for start in range(wanted.start, wanted.stop, _WINDOWS_AT_ONCE):
        windows = np.arange(start, min(start + _WINDOWS_AT_ONCE, wanted.stop))
        length = int(table.length[windows].max())
        found = table.hashes(windows, length, ~seed)  # [window, row index]
        inside = np.arange(length) < table.length[windows, None]
        inside[:, 0] = False
        for half in range(len(HALVES)):
            row, offset = np.nonzero(inside & (table.half[windows] == half)[:, None])
            joined = np.concatenate([hashes[half], found[row, offset]])
            order = np.argsort(joined, kind="stable")[:N_RANDOM]
            hashes[half] = joined[order]
            places[half] = np.concatenate([places[half], (windows[row] << 32) | offset])[order]
    return hashes, places
