"""The activation index: for every neuron of some layers, where in a corpus it fires most, and how it is distributed."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headtorch.core.analysis.places import HALVES, Float64s, Int32s, Int64s, Places, Top
from headtorch.core.analysis.running import EMPTY_HASH, EMPTY_KEY, decode_keys
from headtorch.core.corpus.storage import storage_errors
from headtorch.core.errors import AddressError, StorageError
from headtorch.core.files import make_folder, replace_file
from headtorch.core.records import Half, NeuronId

_LOW_32 = 0xFFFFFFFF
SHIPPED = Path(__file__).parents[1] / "model" / "demo" / "index"


@dataclass(frozen=True)
class Moments:
    """Over the sampled positions; the variance divides by `count`."""

    count: int
    mean: float
    variance: float


@dataclass(frozen=True)
class ActivationIndex:
    """What `scan` found. Neurons are stacked layer by layer; halves are (explain, score); signs are (+, −).

    Rankings hold one place per window, the window's best, ties to the lower document and position. Moments, histogram
    and reservoirs come from the sampled positions (a hashed sixteenth). All of it is plain arrays, so that an index
    travels, and two indices of disjoint windows merge into the index of their union.
    """

    key: str  # of model, corpus and settings
    layers: tuple[int, ...]
    top_k: int
    covered: tuple[tuple[int, int], ...]  # ranges of windows
    blocks_left: int  # 0: the scan of the covered windows is complete
    window_document: Int32s  # [window]
    window_start: Int32s  # [window]
    top_keys: Int64s  # [half, sign, neuron, rank], descending; see `running`
    top_offsets: Int32s  # [half, sign, neuron, rank], row index in the window
    low: Float64s  # [neuron], lower edge of the first bin
    width: Float64s  # [neuron], of a bin
    count: Int64s  # [half], sampled positions
    total: Float64s  # [half, neuron], Σ (activation − low)
    square: Float64s  # [half, neuron], Σ (activation − low)²
    bin_counts: Int64s  # [half, neuron, bin]
    reservoir_hashes: Int64s  # [half, neuron, bin, place], ascending
    reservoir_places: Int64s  # [half, neuron, bin, place], window · 2³² + row index
    reservoir_activations: npt.NDArray[np.float32]  # [half, neuron, bin, place]
    random_hashes: Int64s  # [half, place], ascending
    random_places: Int64s  # [half, place]
    shipped: bool = False  # it came with headtorch and was not made on this machine

    @property
    def d_mlp(self) -> int:
        return int(self.top_keys.shape[2]) // len(self.layers)

    @property
    def n_bins(self) -> int:
        return int(self.bin_counts.shape[2])

    def top(self, neuron: NeuronId, half: Half, sign: int = 1, k: int | None = None) -> Top:
        """The windows where the neuron fires most (sign −1: most negatively, gated MLPs only), best first.

        At most `k`, by default the `top_k` asked of the scan. In reduced precision the index holds twice as many, so
        that they can be ranked again in fp32.
        """
        row = self.row(neuron)
        if sign < 0 and self.top_keys.shape[1] == 1:
            raise AddressError(f"{neuron} is not gated: negative activations are indexed for gated MLPs only.")
        which = (HALVES.index(half), 0 if sign > 0 else 1, row)
        return self.decode(self.top_keys[which], self.top_offsets[which], sign, self.top_k if k is None else k)

    def moments(self, neuron: NeuronId, half: Half | None = None) -> Moments:
        """Count, mean and variance over the sampled positions of a half, or of both."""
        row, halves = self.row(neuron), _halves(half)
        count = int(self.count[halves].sum())
        if count == 0:
            return Moments(0, 0.0, 0.0)
        mean = float(self.total[halves, row].sum()) / count
        variance = max(0.0, float(self.square[halves, row].sum()) / count - mean * mean)
        return Moments(count, float(self.low[row]) + mean, variance)

    def histogram(self, neuron: NeuronId, half: Half | None = None) -> tuple[Float64s, Int64s]:
        """(edges [bin + 1], counts [bin]); values beyond the outer edges are in the outer bins."""
        row = self.row(neuron)
        edges = self.low[row] + self.width[row] * np.arange(self.n_bins + 1)
        return edges, self.bin_counts[_halves(half), row].sum(0)

    def reservoir(self, neuron: NeuronId, bin: int, half: Half) -> Top:
        """A random sample of places whose activation is in the bin: those of lowest hash, in that order."""
        which = (HALVES.index(half), self.row(neuron), bin)
        filled = self.reservoir_hashes[which] != EMPTY_HASH
        places = self._places(self.reservoir_places[which][filled])
        activation = self.reservoir_activations[which][filled]
        return Top(activation, places.document, places.position, places.window)

    def random_positions(self, half: Half | None = None) -> Places:
        """Positions drawn evenly from a half, or from both halves, the same for every neuron, for baselines."""
        halves = _halves(half)
        return self._places(self.random_places[halves][self.random_hashes[halves] != EMPTY_HASH])

    def row(self, neuron: NeuronId) -> int:
        """Where a neuron stands in the arrays; raises AddressError for one that is not indexed."""
        if neuron.layer not in self.layers or not 0 <= neuron.index < self.d_mlp:
            layers = ", ".join(map(str, self.layers))
            raise AddressError(
                f"{neuron} is not in this index; it covers neurons 0-{self.d_mlp - 1} of layers {layers}."
            )
        return self.layers.index(neuron.layer) * self.d_mlp + neuron.index

    def decode(self, keys: Int64s, offsets: Int32s, sign: int, k: int) -> Top:
        """The first `k` places of a ranking, best first."""
        filled = keys != EMPTY_KEY
        activation, window = decode_keys(keys[filled][:k])
        position = self.window_start[window] + offsets[filled][:k] - 1
        return Top(activation * np.float32(sign), self.window_document[window], position, window)

    def _places(self, places: Int64s) -> Places:
        window = (places >> 32).astype(np.int32)
        position = self.window_start[window] + (places & _LOW_32).astype(np.int32) - 1
        return Places(self.window_document[window], position, window)

    def save(self, folder: Path) -> Path:
        """Write the index into a folder, whole or not at all; returns the file.

        Raises StorageError when the disk is full or the folder cannot be written.
        """
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        facts = {name: getattr(self, name) for name in _FACTS}
        path = folder / index_file_name(self.key, *(range(start, stop) for start, stop in self.covered))
        with storage_errors(folder):
            make_folder(folder)
            replace_file(path, save(arrays, metadata={"headtorch": json.dumps(facts)}))
        return path

    @classmethod
    def load(cls, path: Path) -> ActivationIndex:
        """Read the file that `save` wrote, or the newest one in a folder.

        Raises StorageError when there is none or it cannot be read.
        """
        if path.is_dir():
            found = sorted(path.glob("index-*.safetensors"), key=lambda file: file.stat().st_mtime)
            if not found:
                raise StorageError(f"There is no activation index in {path}; run `headtorch scan` first.")
            path = found[-1]
        try:
            with safe_open(path, framework="numpy") as file:
                facts = json.loads(file.metadata()["headtorch"])
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{path} is not a whole activation index; remove it and scan again.") from error
        facts["layers"] = tuple(facts["layers"])
        facts["covered"] = tuple((start, stop) for start, stop in facts["covered"])
        return cls(**facts, **arrays)


_FACTS = ("key", "layers", "top_k", "covered", "blocks_left", "shipped")
_ARRAYS = tuple(name for name in ActivationIndex.__dataclass_fields__ if name not in _FACTS)


def could_hold(path: Path, layers: Sequence[int], neurons: int, top_k: int) -> bool:
    """Whether a file is an index of as many `neurons` of these layers; only its header is read."""
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["headtorch"])
            found = (facts["layers"], file.get_slice("top_keys").get_shape()[2], facts["top_k"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return False
    return bool(found == (list(layers), neurons, top_k))


def index_file_name(key: str, *covered: range) -> str:
    """The name of an index's file: one per key and ranges of windows."""
    ranges = "_".join(f"{r.start}-{r.stop}" for r in covered if len(r))
    return f"index-{key[:24]}-{ranges[:80]}.safetensors"


def unpack_shipped(name: str, folder: Path) -> bool:
    """Put the index that ships with headtorch under this name where a scan would leave it; whether there is one.

    It is that of the default question: the demo model on the annual messages, on a CPU. Raises StorageError when the
    folder cannot be written.
    """
    packed = SHIPPED / f"{name}.xz"
    if not packed.is_file():
        return False
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / name, lzma.decompress(packed.read_bytes()))
    return True


def merge(a: ActivationIndex, b: ActivationIndex) -> ActivationIndex:
    """The index of all windows of `a` and `b`. Associative and commutative, since entries have a total order.

    (Moments are fp64 sums: their last bits may depend on the grouping.)

    Raises:
        ValueError: the two are of different models, corpora or settings, or share windows.
    """
    if a.key != b.key:
        raise ValueError("only indices of one model, corpus and setting can be merged")
    top_keys, top_offsets = _best(a.top_keys, b.top_keys, (a.top_offsets, b.top_offsets), descending=True)
    hashes, places, activations = _best(
        a.reservoir_hashes,
        b.reservoir_hashes,
        (a.reservoir_places, b.reservoir_places),
        (a.reservoir_activations, b.reservoir_activations),
    )
    random_hashes, random_places = _best(a.random_hashes, b.random_hashes, (a.random_places, b.random_places))
    return replace(
        a,
        covered=_union(a.covered, b.covered),
        blocks_left=a.blocks_left + b.blocks_left,
        top_keys=top_keys,
        top_offsets=top_offsets,
        count=a.count + b.count,
        total=a.total + b.total,
        square=a.square + b.square,
        bin_counts=a.bin_counts + b.bin_counts,
        reservoir_hashes=hashes,
        reservoir_places=places,
        reservoir_activations=activations,
        random_hashes=random_hashes,
        random_places=random_places,
    )


def _best(a: Int64s, b: Int64s, *others: tuple[np.ndarray, np.ndarray], descending: bool = False) -> list[np.ndarray]:
    """The best of two sorted lists along the last axis, as long as the first, with the parallel arrays."""
    both = np.concatenate([a, b], -1)
    order = np.argsort(~both if descending else both, axis=-1, kind="stable")[
        ..., : a.shape[-1]
    ]  # ~ reverses the order
    joined = [both, *(np.concatenate(pair, -1) for pair in others)]
    return [np.take_along_axis(array, order, -1) for array in joined]


def _union(a: Iterable[tuple[int, int]], b: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Two sets of disjoint ranges as one, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(r for r in (*a, *b) if r[0] < r[1]):
        if joined and start < joined[-1][1]:
            raise ValueError("the two indices share windows")
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


def _halves(half: Half | None) -> slice:
    if half is None:
        return slice(None)
    return slice(HALVES.index(half), HALVES.index(half) + 1)
