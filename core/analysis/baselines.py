"""What a head gives a neuron on random positions, and its share of what makes the neuron vary.

On rows that end at random positions of the corpus:

    Ā(h), sd(h) = mean and standard deviation of the head's headline attribution
    β(h)        = Cov(A(h), pre) / Var(pre)

The covariance is linear, so over all parts β sums to 1 however the parts depend on each other. Prompts that were chosen
for a large sum would not do: choosing makes their parts anticorrelated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from headtorch.core.analysis.attribution import half_rule
from headtorch.core.analysis.batching import length_batches, trace_tokens
from headtorch.core.analysis.decomposition import neuron_chunks, parts_of, read_weights
from headtorch.core.model.language_model import LanguageModel, Trace
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

ROWS_AT_ONCE = 16
ROUNDING = 1e-6  # standard deviation / |mean| below which a neuron does not vary
PARTS_BYTES = 128 * 2**20  # of the parts of one batch of rows × neurons, in fp64
KEPT_BYTES = 512 * 2**20  # of traces

Array = NDArray[np.float64]
Rows = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Baselines:
    """Per neuron, over random positions.

    A head that cannot feed the neuron is nan, and so is every β of a neuron that never varies.
    A gated neuron's `mean` and `sd` are of `removal`; its β is that of the half rule's shares of the activation.
    """

    neurons: list[NeuronId]
    n: int  # rows
    mean: Float[np.ndarray, "neuron layer head"]  # Ā(h)
    sd: Float[np.ndarray, "neuron layer head"]
    beta: Float[np.ndarray, "neuron layer head"]
    beta_embed: Float[np.ndarray, " neuron"]
    beta_position: Float[np.ndarray, " neuron"]
    beta_attention_bias: Float[np.ndarray, "neuron layer"]
    beta_mlps: Float[np.ndarray, "neuron layer"]
    beta_bias: Float[np.ndarray, " neuron"]  # 0 unless gated: the bias does not vary

    def of(self, neuron: NeuronId) -> int:
        """The place of `neuron` on the first axis; raises ValueError if it was not asked for."""
        return self.neurons.index(neuron)

    @property
    def beta_total(self) -> Float[np.ndarray, " neuron"]:
        """β over all parts; 1 up to rounding."""
        total: Array = self.beta_embed + self.beta_position + self.beta_bias
        total = total + self.beta_attention_bias.sum(1) + self.beta_mlps.sum(1) + np.nansum(self.beta, axis=(1, 2))
        return total


class KeptTraces:
    """Traces of a model that are kept for the next time, within KEPT_BYTES; those used longest ago go first."""

    def __init__(self, model: LanguageModel, limit: int = KEPT_BYTES) -> None:
        self._model, self._limit = model, limit
        self._kept: dict[tuple[int, tuple[tuple[int, ...], ...]], Trace] = {}
        self._bytes = 0

    def __call__(self, rows: Rows, layer: int) -> Trace:
        key = (layer, tuple(map(tuple, rows)))
        trace = self._kept.pop(key, None)
        if trace is None:
            trace = self._model.trace(rows, layer, sources=False)
            self._bytes += _bytes(trace)
        self._kept[key] = trace
        while self._bytes > self._limit:
            self._bytes -= _bytes(self._kept.pop(next(iter(self._kept))))
        return trace


def _bytes(trace: Trace) -> int:
    tensors = [getattr(trace, field.name) for field in fields(Trace)]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


def baselines(
    model: LanguageModel,
    rows: Rows,
    neurons: Sequence[NeuronId],
    *,
    trace: Callable[[Rows, int], Trace] | None = None,
    watch: Watch = SILENT,
) -> Baselines:
    """Baselines of `neurons`, of any layers, over rows of token ids that each end at a random position.

    Rows are traced once for each layer (once more for every chunk of neurons that does not fit in memory). `trace`, a
    `KeptTraces` of the model, makes that once for several calls.

    Raises:
        AddressError: the model has no such neuron.
        ValueError: fewer than two rows.
    """
    if len(rows) < 2:
        raise ValueError(f"Baselines need at least two rows, not {len(rows)}.")
    for neuron in neurons:
        model.check_neuron(neuron)
    traced = trace or partial(model.trace, sources=False)
    found = _empty(model, neurons, len(rows))
    layers = sorted({neuron.layer for neuron in neurons})
    batches = [
        some[start : start + ROWS_AT_ONCE].tolist()
        for some in length_batches([len(row) for row in rows], trace_tokens(model.device))
        for start in range(0, len(some), ROWS_AT_ONCE)
    ]
    done = 0
    for layer in layers:
        chunks = list(_chunks(model, layer, sorted({neuron.index for neuron in neurons if neuron.layer == layer})))
        for number, chunk in enumerate(chunks):
            headline, shares = _Comoments(), _Comoments()
            for batch in batches:
                watch.checkpoint()
                _measure(model, traced([rows[i] for i in batch], layer), chunk, headline, shares)
                if number == 0:
                    done += len(batch)
                    watch.progress("baselines", done, len(layers) * len(rows), "rows")
            _store(model, found, layer, chunk, headline, shares)
    return found


def _chunks(model: LanguageModel, layer: int, neurons: Sequence[int]) -> Iterator[list[int]]:
    """`neurons` in chunks whose parts on one batch of rows stay within PARTS_BYTES."""
    parts = (layer + 1) * (model.facts.n_heads + 2) + 3
    size = max(1, PARTS_BYTES // (8 * ROWS_AT_ONCE * parts * (1 + model.facts.gated)))
    for chunk in neuron_chunks(model, layer, neurons):
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


class _Comoments:
    """Running moments of x [row, neuron, part] and y [row, neuron], merged batch by batch without cancellation."""

    n = 0
    mean_x: Array  # neuron part
    mean_y: Array  # neuron
    square_x: Array  # Σ (x − mean)²
    square_y: Array
    product: Array  # Σ (x − mean)(y − mean), neuron part

    def add(self, x: Array, y: Array) -> None:
        mean_x, mean_y = x.mean(0), y.mean(0)
        x, y = x - mean_x, y - mean_y
        square_x, square_y, product = (x**2).sum(0), (y**2).sum(0), np.einsum("rnp,rn->np", x, y)
        if self.n == 0:
            self.n, self.mean_x, self.mean_y = len(x), mean_x, mean_y
            self.square_x, self.square_y, self.product = square_x, square_y, product
            return
        total = self.n + len(x)
        weight, step_x, step_y = self.n * len(x) / total, mean_x - self.mean_x, mean_y - self.mean_y
        self.square_x += square_x + weight * step_x**2
        self.square_y += square_y + weight * step_y**2
        self.product += product + weight * step_x * step_y[:, None]
        self.mean_x += step_x * len(x) / total
        self.mean_y += step_y * len(x) / total
        self.n = total


def _measure(
    model: LanguageModel, trace: Trace, neurons: Sequence[int], headline: _Comoments, shares: _Comoments
) -> None:
    parts = parts_of(model, trace, read_weights(model, trace, neurons), paired=False)
    pre = _numpy(parts.pre_activation)  # row read neuron
    every = np.concatenate(
        [
            _numpy(parts.heads).reshape(*pre.shape, -1),
            _numpy(parts.attention_bias),
            _numpy(parts.mlps),
            _numpy(torch.stack([parts.embed, parts.position, parts.bias], dim=-1)),
        ],
        axis=-1,
    )  # row read neuron part
    every = half_rule(every, pre, _numpy(parts.gate_ratio))  # row neuron part
    varying = _numpy(parts.activation) if model.facts.gated else pre[:, 0]
    shares.add(every, varying)
    if model.facts.gated:
        headline.add(_numpy(parts.removal).reshape(*varying.shape, -1), varying)
    else:
        headline.add(every[..., : parts.heads.shape[-2] * parts.heads.shape[-1]], varying)


def _numpy(tensor: Tensor) -> Array:
    found: Array = tensor.double().cpu().numpy()
    return found


def _empty(model: LanguageModel, neurons: Sequence[NeuronId], n: int) -> Baselines:
    layers, heads = model.facts.n_layers, model.facts.n_heads

    def array(*shape: int, fill: float = 0.0) -> Array:
        return np.full((len(neurons), *shape), fill)

    return Baselines(
        neurons=list(neurons),
        n=n,
        mean=array(layers, heads, fill=np.nan),
        sd=array(layers, heads, fill=np.nan),
        beta=array(layers, heads, fill=np.nan),
        beta_embed=array(),
        beta_position=array(),
        beta_attention_bias=array(layers),
        beta_mlps=array(layers),
        beta_bias=array(),
    )


def _store(
    model: LanguageModel,
    found: Baselines,
    layer: int,
    chunk: Sequence[int],
    headline: _Comoments,
    shares: _Comoments,
) -> None:
    """Write the moments of one chunk of neurons into `found`."""
    attention, n_heads = layer + (not model.facts.parallel), model.facts.n_heads
    places = {index: n for n, index in enumerate(chunk)}
    mine = [i for i, neuron in enumerate(found.neurons) if neuron.layer == layer and neuron.index in places]
    rows = [places[found.neurons[i].index] for i in mine]
    by_head = (len(mine), attention, n_heads)
    varies = shares.square_y / shares.n > (ROUNDING * np.abs(shares.mean_y)) ** 2
    beta = np.where(varies[:, None], shares.product / np.where(varies, shares.square_y, 1.0)[:, None], np.nan)[rows]
    heads, biases, mlps, rest = np.split(beta, np.cumsum([attention * n_heads, attention, layer]), axis=1)
    found.mean[mine, :attention] = headline.mean_x[rows].reshape(by_head)
    found.sd[mine, :attention] = np.sqrt(headline.square_x[rows] / max(headline.n - 1, 1)).reshape(by_head)
    found.beta[mine, :attention] = heads.reshape(by_head)
    found.beta_attention_bias[mine, :attention] = biases
    found.beta_mlps[mine, :layer] = mlps
    found.beta_embed[mine], found.beta_position[mine], found.beta_bias[mine] = rest.T
