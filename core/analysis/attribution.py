"""Which heads bring a neuron's pre-activation about, at the position where it fires?

Every prompt's pre-activation is split exactly into parts; for the formula see `headtorch.core.analysis.decomposition`.
Neo, Cohen and Barez (arXiv 2402.15055) rank heads by ⟨o_h, w_in⟩, here `dot`; `direct` divides it by the norm's scale,
so that all parts sum to the pre-activation; `removal` says what taking the head's part away does to the activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.batching import length_batches, trace_tokens
from headtorch.core.analysis.decomposition import Parts, neuron_chunks, parts_of, read_weights, select
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

ROWS_AT_ONCE = 128  # distinct rows of one trace, which holds megabytes a row of a large model
PROMPTS_AT_ONCE = 512

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Attribution:
    """The parts of each prompt's pre-activation; prompt i is row i read by neuron i.

    Arrays are fp32 with prompts first; `layer` and `head` run over the whole model. Heads that cannot feed the neuron
    are nan; attention biases and MLPs that cannot feed it are 0. The read axis is (pre-activation,) or (gate, up).
    """

    neurons: list[NeuronId]
    pre_activation: Float[np.ndarray, "prompt read"]  # as the model computes it
    activation: Float[np.ndarray, " prompt"]
    embed: Float[np.ndarray, "prompt read"]
    position: Float[np.ndarray, "prompt read"]  # 0 in a model without position embeddings
    heads: Float[np.ndarray, "prompt read layer head"]  # A(h) = ⟨o_h, w_in⟩ / σ
    attention_bias: Float[np.ndarray, "prompt read layer"]
    mlps: Float[np.ndarray, "prompt read layer"]
    bias: Float[np.ndarray, "prompt read"]
    dot: Float[np.ndarray, "prompt read layer head"]  # ⟨o_h, w_in⟩, the paper's score
    removal: Float[np.ndarray, "prompt layer head"]  # act(pre) − act(pre − A(h)); gated: a − act(g − g_h)·(u − u_h)
    gate_ratio: Float[np.ndarray, " prompt"]  # κ = act(g) / g of a gated neuron, 1 otherwise

    @property
    def gated(self) -> bool:
        return bool(self.pre_activation.shape[1] == 2)

    @cached_property
    def sum(self) -> Float[np.ndarray, "prompt read"]:
        """All parts together; the pre-activation up to rounding."""
        return self._over_parts(lambda part: part)

    @cached_property
    def error(self) -> Float[np.ndarray, "prompt read"]:
        """Sum of the parts − observed pre-activation."""
        return self.sum - self.pre_activation.astype(np.float64)

    @cached_property
    def relative_error(self) -> Float[np.ndarray, "prompt read"]:
        """|error| / Σ|parts|; at most 1e-4 in fp32."""
        size = self._over_parts(np.abs)
        relative: Array = np.abs(self.error) / np.where(size > 0, size, 1.0)
        return relative

    def _over_parts(self, of: Callable[[Array], Array]) -> Float[np.ndarray, "prompt read"]:
        total = np.zeros(self.pre_activation.shape)
        for part in (self.embed, self.position, self.heads, self.attention_bias, self.mlps, self.bias):
            total += np.nansum(of(part.astype(np.float64)).reshape(*total.shape, -1), axis=2)
        return total

    @cached_property
    def direct(self) -> Float[np.ndarray, "prompt layer head"]:
        """A(h). Gated: the half rule's share of the activation, which is additive but not an effect."""
        return self.without_reads(self.heads)

    @property
    def headline(self) -> Float[np.ndarray, "prompt layer head"]:
        """The number a head is judged by: A(h), or `removal` for a gated neuron: a product has no unique split."""
        return self.removal if self.gated else self.direct

    def without_reads(self, parts: Float[np.ndarray, "prompt read *rest"]) -> Float[np.ndarray, "prompt *rest"]:
        """One number for each part: the part itself, or κ·(g_h u + g u_h)/2 for a gated neuron (half rule)."""
        return half_rule(parts, self.pre_activation, self.gate_ratio)


def half_rule(
    parts: Float[np.ndarray, "prompt read *rest"],
    pre: Float[np.ndarray, "prompt read *neuron"],
    gate_ratio: Float[np.ndarray, "prompt *neuron"],
) -> Float[np.ndarray, "prompt *rest"]:
    """Split a gated activation κ·g·u over parts of g and u: κ·(g_h u + g u_h)/2; over all parts it sums to κ·g·u.

    `parts` has the axes of `pre` first. With one read there is nothing to split and the part itself comes back.
    """
    if parts.shape[1] == 1:
        return parts[:, 0]
    shape = gate_ratio.shape + (1,) * (parts.ndim - 1 - gate_ratio.ndim)
    ratio, gate, up = gate_ratio.reshape(shape), pre[:, 0].reshape(shape), pre[:, 1].reshape(shape)
    split: Float[np.ndarray, "prompt *rest"] = ratio * (parts[:, 0] * up + gate * parts[:, 1]) / 2
    return split


def attribute(
    model: LanguageModel, rows: Sequence[Sequence[int]], neurons: Sequence[NeuronId], *, watch: Watch = SILENT
) -> Attribution:
    """Attribute neuron i's pre-activation at the last position of row i, for every i.

    Rows are token ids with the model's first token in front; neurons may be of any layers. Each distinct row of a layer
    is read once.

    Raises:
        AddressError: the model has no such neuron.
    """
    if len(rows) != len(neurons):
        raise ValueError(f"{len(rows)} rows but {len(neurons)} neurons.")
    for neuron in set(neurons):
        model.check_neuron(neuron)
    found = _empty(model, neurons)
    done = 0
    for layer in sorted({neuron.layer for neuron in neurons}):
        wanted = [i for i, neuron in enumerate(neurons) if neuron.layer == layer]
        for prompts in _prompt_chunks(rows, wanted, trace_tokens(model.device)):
            watch.checkpoint()
            _fill(model, found, rows, neurons, prompts)
            done += len(prompts)
            watch.progress("attribute", done, len(rows), "prompts")
    return found


def attribute_all(
    model: LanguageModel, rows: Sequence[Sequence[int]], neurons: Sequence[NeuronId], *, watch: Watch = SILENT
) -> list[Attribution]:
    """Every row for every neuron: one Attribution over all rows for each neuron, in the order given."""
    pairs = attribute(model, [*rows] * len(neurons), [n for n in neurons for _ in rows], watch=watch)
    return [take(pairs, range(n * len(rows), (n + 1) * len(rows))) for n in range(len(neurons))]


def take(attribution: Attribution, prompts: Sequence[int]) -> Attribution:
    """These prompts of an attribution, in this order."""
    index = np.asarray(prompts, dtype=np.int64)
    arrays = {f.name: getattr(attribution, f.name)[index] for f in fields(Attribution) if f.name != "neurons"}
    return Attribution(neurons=[attribution.neurons[i] for i in prompts], **arrays)


def _empty(model: LanguageModel, neurons: Sequence[NeuronId]) -> Attribution:
    facts = model.facts
    n, reads, layers, heads = len(neurons), 1 + facts.gated, facts.n_layers, facts.n_heads

    def array(*shape: int, fill: float = 0.0) -> NDArray[np.float32]:
        return np.full((n, *shape), fill, dtype=np.float32)

    return Attribution(
        neurons=list(neurons),
        pre_activation=array(reads),
        activation=array(),
        embed=array(reads),
        position=array(reads),
        heads=array(reads, layers, heads, fill=np.nan),
        attention_bias=array(reads, layers),
        mlps=array(reads, layers),
        bias=array(reads),
        dot=array(reads, layers, heads, fill=np.nan),
        removal=array(layers, heads, fill=np.nan),
        gate_ratio=array(),
    )


def _prompt_chunks(rows: Sequence[Sequence[int]], prompts: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """`prompts` cut to `tokens` and ROWS_AT_ONCE of like length and PROMPTS_AT_ONCE; equal rows stay together."""
    of_row: dict[tuple[int, ...], list[int]] = {}
    for i in prompts:
        of_row.setdefault(tuple(rows[i]), []).append(i)
    distinct = list(of_row)
    for batch in length_batches([len(row) for row in distinct], tokens):
        for some in _cut(batch.tolist(), ROWS_AT_ONCE):
            yield from _cut([i for r in some for i in of_row[distinct[r]]], PROMPTS_AT_ONCE)


def _cut(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _fill(
    model: LanguageModel,
    found: Attribution,
    rows: Sequence[Sequence[int]],
    neurons: Sequence[NeuronId],
    prompts: Sequence[int],
) -> None:
    """Attribute `prompts`, all of one layer, and write them into `found`."""
    distinct = list(dict.fromkeys(tuple(rows[i]) for i in prompts))
    place = {row: r for r, row in enumerate(distinct)}
    trace = model.trace(distinct, neurons[prompts[0]].layer, sources=False)
    indices = sorted({neurons[i].index for i in prompts})
    for chunk in neuron_chunks(model, trace.layer, indices):
        weights = read_weights(model, trace, chunk)
        column = {index: n for n, index in enumerate(chunk)}
        mine = [i for i in prompts if neurons[i].index in column]
        parts = parts_of(
            model,
            select(trace, [place[tuple(rows[i])] for i in mine]),
            weights.take([column[neurons[i].index] for i in mine]),
            paired=True,
        )
        for field in fields(Parts):
            values = getattr(parts, field.name).cpu().numpy()
            target = getattr(found, field.name)
            if field.name in ("heads", "dot", "removal"):
                target[mine, ..., : values.shape[-2], :] = values
            elif field.name in ("attention_bias", "mlps"):
                target[mine, ..., : values.shape[-1]] = values
            else:
                target[mine] = values
