"""What a head looked up, and what stands behind an MLP's part: attributions taken one step further.

A head's attribution is itself a sum over the tokens that it attends to, exactly:

    A(h) = Σ_s pattern[p, s]·⟨v_s W_O, w_in⟩ / σ

and the part of an earlier MLP is a sum over its neurons, up to its output bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.batching import trace_tokens
from headtorch.core.analysis.decomposition import read_weights
from headtorch.core.errors import AddressError, ModelError
from headtorch.core.model.language_model import LanguageModel, Trace
from headtorch.core.records import HeadId, NeuronId, UpstreamNeuron
from headtorch.core.watch import SILENT, Watch

TRACE_BYTES = 128 * 2**20  # of values and patterns held at once


def check_feeds(model: LanguageModel, head: HeadId, neuron: NeuronId) -> None:
    """Raise AddressError, saying why, unless `head` exists and its output reaches the MLP of `neuron`."""
    model.check_neuron(neuron)
    model.check_head(head)
    if model.eligible_heads(neuron.layer)[head.layer, head.index]:
        return
    last = neuron.layer - model.facts.parallel
    advice = f"choose a head of layers 0-{last}" if last >= 0 else "no head feeds the MLP of layer 0"
    why = "it comes after it"
    if head.layer == neuron.layer:
        why = f"the blocks of {model.facts.name} run attention and MLP in parallel, on the same residual stream"
    raise AddressError(f"{head} cannot feed {neuron}, because {why}; {advice}.")


def sources(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neurons: Sequence[NeuronId],
    heads: Sequence[HeadId],
    *,
    watch: Watch = SILENT,
) -> Float[np.ndarray, "prompt read head position"]:
    """What each source token gives to each head's attribution of neuron i at the end of row i; 0 beyond the row's end.

    Over positions it sums to A(h). For a gated neuron `Attribution.without_reads` makes one number of the two reads.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed one of the neurons.
    """
    if len(rows) != len(neurons):
        raise ValueError(f"{len(rows)} rows but {len(neurons)} neurons.")
    for neuron in set(neurons):
        for head in heads:
            check_feeds(model, head, neuron)
    width = max(map(len, rows), default=0)
    found = np.zeros((len(rows), 1 + model.facts.gated, len(heads), width), dtype=np.float32)
    done = 0
    for layer in sorted({neuron.layer for neuron in neurons}):
        for prompts in _row_chunks(model, rows, [i for i, neuron in enumerate(neurons) if neuron.layer == layer]):
            watch.checkpoint()
            part = _sources(model, [rows[i] for i in prompts], [neurons[i] for i in prompts], heads)
            found[prompts, ..., : part.shape[-1]] = part.cpu().numpy()
            done += len(prompts)
            watch.progress("sources", done, len(rows), "prompts")
    return found


@dataclass(frozen=True)
class Lookups:
    """What one head looked up from the end of each row; 0 beyond the row's end."""

    sources: Float[np.ndarray, "prompt read position"]  # as `sources` gives them
    attention: Float[np.ndarray, "prompt position"]  # the head's pattern


def lookups(
    model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId, head: HeadId, *, watch: Watch = SILENT
) -> Lookups:
    """What each token gives to the head's attribution of `neuron` at the end of each row, and the attention it gets.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
    """
    return head_lookups(model, rows, neuron, [head], watch=watch)[head]


def head_lookups(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    heads: Sequence[HeadId],
    *,
    watch: Watch = SILENT,
) -> dict[HeadId, Lookups]:
    """`lookups` of several heads, each row traced once. Raises as `lookups` does."""
    for head in heads:
        check_feeds(model, head, neuron)
    width = max(map(len, rows), default=0)
    found = np.zeros((len(rows), 1 + model.facts.gated, len(heads), width), dtype=np.float32)
    attention = np.zeros((len(rows), len(heads), width), dtype=np.float32)
    layers, indices = [head.layer for head in heads], [head.index for head in heads]
    for prompts in _row_chunks(model, rows, range(len(rows))):
        watch.checkpoint()
        trace = model.trace([rows[i] for i in prompts], neuron.layer)
        part = _sources_in(model, trace, [neuron] * len(prompts), heads)
        found[prompts, ..., : part.shape[-1]] = part.cpu().numpy()
        attention[prompts, :, : part.shape[-1]] = trace.patterns[:, layers, indices].cpu().numpy()
    return {head: Lookups(found[:, :, i], attention[:, i]) for i, head in enumerate(heads)}


def _sources(
    model: LanguageModel, rows: Sequence[Sequence[int]], neurons: Sequence[NeuronId], heads: Sequence[HeadId]
) -> Float[Tensor, "prompt read head position"]:
    return _sources_in(model, model.trace(rows, neurons[0].layer), neurons, heads)


@torch.no_grad()
def _sources_in(
    model: LanguageModel, trace: Trace, neurons: Sequence[NeuronId], heads: Sequence[HeadId]
) -> Float[Tensor, "prompt read head position"]:
    distinct = sorted({neuron.index for neuron in neurons})
    weights = read_weights(model, trace, distinct).take([distinct.index(neuron.index) for neuron in neurons])
    layers, indices = [head.layer for head in heads], [head.index for head in heads]
    patterns = trace.patterns[:, layers, indices]  # prompt head position
    values = trace.values[:, layers, :, indices]  # head prompt position d_head
    reads = weights.heads[:, :, layers, indices]  # read prompt head d_head
    found = patterns[:, None] * torch.einsum("hrsd,erhd->rehs", values, reads)
    if trace.post_scale is not None:
        found = found / trace.post_scale[:, layers][:, None, :, None]
    return found / trace.scale[:, None, None, None]


def _row_chunks(model: LanguageModel, rows: Sequence[Sequence[int]], prompts: Sequence[int]) -> Iterator[list[int]]:
    """`prompts` by length, cut to the tokens of a trace; its patterns and values stay within TRACE_BYTES."""
    facts = model.facts
    per_token = 4 * facts.n_layers * facts.n_heads * (facts.d_head + 1)
    chunk: list[int] = []
    tokens = min(TRACE_BYTES // per_token, trace_tokens(model.device))
    for i in sorted(prompts, key=lambda i: len(rows[i])):
        if chunk and (len(chunk) + 1) * len(rows[i]) > tokens:
            yield chunk
            chunk = []
        chunk.append(i)
    if chunk:
        yield chunk


@torch.no_grad()
def upstream_contributions(
    model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId
) -> Float[np.ndarray, "row read layer neuron"]:
    """a_j·⟨w_out_j, w_in⟩ / σ at the end of each row, for every neuron j of the layers before `neuron`'s.

    All neurons of a layer and the layer's output bias sum to the layer's MLP part.

    Raises:
        AddressError: the model has no such neuron.
        ModelError: a norm follows the model's MLPs, through which single neurons are not followed.
    """
    model.check_neuron(neuron)
    if model.facts.post_norm:
        raise ModelError(f"The MLPs of {model.facts.name} are followed by a norm: their parts are not taken apart.")
    scale = model.trace(rows, neuron.layer, sources=False).scale.cpu()
    reads = model.read_directions(neuron.layer, [neuron.index])[:, 0]  # read d_model
    found = torch.zeros(len(rows), len(reads), neuron.layer, model.facts.d_mlp)
    for i, row in enumerate(rows):
        activations = model.mlp_activations(torch.tensor([row]), range(neuron.layer))
        for layer, activation in activations.items():
            found[i, :, layer] = activation[0, -1].float().cpu()
    for layer in range(neuron.layer):
        found[:, :, layer] *= (reads @ model.write_directions(layer).T).cpu()
    return (found / scale[:, None, None, None]).numpy()


def top_upstream_neurons(
    model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId, *, n: int = 10
) -> list[list[UpstreamNeuron]]:
    """Per row, the `n` earlier neurons that give most to `neuron`, in size; gated: by the half rule.

    Raises as `upstream_contributions` does.
    """
    attribution = attribute(model, rows, [neuron] * len(rows))
    shares = attribution.without_reads(upstream_contributions(model, rows, neuron))  # row layer neuron
    found = []
    for of_row in shares:
        strongest = np.argsort(-np.abs(of_row), axis=None, kind="stable")[:n]
        places = [divmod(int(flat), of_row.shape[1]) for flat in strongest]
        found.append([UpstreamNeuron(NeuronId(k, j), float(of_row[k, j])) for k, j in places])
    return found
