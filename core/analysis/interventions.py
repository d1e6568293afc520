"""Running a model with heads replaced or neurons silenced, and reading what it predicts at the end of each row.

Edits are forward pre-hooks on the plain module: the output projection of attention reads z of all heads, that of the
MLP reads the neurons' activations. An edit at the last position alone leaves everything before it as it was, so the
earlier positions are computed once and all edits of a row share their keys and values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import SILENT, Watch

Where = Literal["last", "all"]
Means = Float[Tensor, "layer head d_head"]

BATCH_TOKENS = 8192
CACHE_BYTES = 512 * 2**20  # of keys and values of all edits of one batch


@dataclass(frozen=True)
class Edit:
    """Heads replaced jointly and neurons set to 0. Without any: the model as it is."""

    heads: tuple[HeadId, ...] = ()
    neurons: tuple[NeuronId, ...] = ()


CLEAN = Edit()


@dataclass(frozen=True)
class Readout:
    """What the model says about token t at the last position of each row, and one neuron's activation there."""

    log_p: Float[np.ndarray, " row"]  # log-softmax in fp32 over the tokenizer's tokens
    logit: Float[np.ndarray, " row"]
    rank: Int[np.ndarray, " row"]  # number of tokens with a higher logit
    activation: Float[np.ndarray, " row"]


def readouts(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    *,
    where: Where = "last",
    means: Means | None = None,
    watch: Watch = SILENT,
) -> list[Readout]:
    """One Readout over all rows for each edit.

    `where` says at which positions heads are replaced; neurons are silenced at the last one. `means` are the vectors
    put in the place of a head's z; without them it is 0.
    """
    found = np.zeros((len(edits), 4, len(rows)))
    means = None if means is None else means.to(model.device)
    batches = _equal_lengths(model, rows) if where == "last" else _similar_lengths(rows)
    done = 0
    for batch in batches:
        watch.checkpoint()
        ids = _padded([rows[i] for i in batch]).to(model.device)
        lengths = torch.tensor([len(rows[i]) for i in batch], device=model.device)
        run = _run_last if where == "last" else _run_all
        with fast_products(model.hf):
            found[:, :, batch] = run(model, ids, lengths, neuron, token_id, edits, means)
        done += len(batch)
        watch.progress("ablate", done, len(rows), "prompts")
    return [
        Readout(log_p=log_p, logit=logit, rank=rank.astype(np.int64), activation=activation)
        for log_p, logit, rank, activation in found
    ]


def _equal_lengths(model: LanguageModel, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    by_length: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(i)
    for length, same in sorted(by_length.items()):
        size = max(1, min(BATCH_TOKENS // length, CACHE_BYTES // _cache_bytes(model, length)))
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _similar_lengths(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and (len(batch) + 1) * len(rows[i]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _cache_bytes(model: LanguageModel, length: int) -> int:
    facts = model.facts
    return 2 * facts.n_layers * facts.n_kv_heads * facts.d_head * length * model.hf.dtype.itemsize


def _padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "row position"]:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def _run_all(
    model: LanguageModel,
    ids: Int[Tensor, "row position"],
    lengths: Int[Tensor, " row"],
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    means: Means | None,
) -> Float[np.ndarray, "edit 4 row"]:
    found = []
    for edit in edits:
        with edited(model, [edit] * len(ids), lengths - 1, "all", means), _watched(model, neuron, lengths - 1) as seen:
            model.hf(input_ids=ids, use_cache=False)
        found.append(_summary(seen, token_id))
    return np.stack(found)


def _run_last(
    model: LanguageModel,
    ids: Int[Tensor, "row position"],
    lengths: Int[Tensor, " row"],
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    means: Means | None,
) -> Float[np.ndarray, "edit 4 row"]:
    """All rows are equally long: the positions before the last once, then the last one for every row × edit."""
    n_rows, length = ids.shape
    base = model.hf.base_model
    with torch.no_grad():
        past = base(input_ids=ids[:, :-1], use_cache=True).past_key_values if length > 1 else None
    at_once = max(1, CACHE_BYTES // (_cache_bytes(model, length) * n_rows))
    found = []
    for start in range(0, len(edits), at_once):
        some = edits[start : start + at_once]
        found.append(_run_last_edits(model, ids[:, -1:], past, neuron, token_id, some, means))
    return np.concatenate(found)


def _run_last_edits(
    model: LanguageModel,
    last: Int[Tensor, "row one"],
    past: Any,
    neuron: NeuronId,
    token_id: int,
    edits: Sequence[Edit],
    means: Means | None,
) -> Float[np.ndarray, "edit 4 row"]:
    if past is not None:
        past = copy.deepcopy(past)
        past.batch_repeat_interleave(len(edits))
    every = [edit for _ in last for edit in edits]  # row·edit
    end = torch.zeros(len(every), dtype=torch.long, device=last.device)
    with edited(model, every, end, "last", means), _watched(model, neuron, end) as seen:
        model.hf(input_ids=last.repeat_interleave(len(edits), dim=0), past_key_values=past, use_cache=past is not None)
    return _summary(seen, token_id).reshape(4, len(last), len(edits)).transpose(2, 0, 1)


@contextmanager
def edited(
    model: LanguageModel, edits: Sequence[Edit], last: Int[Tensor, " row"], where: Where, means: Means | None
) -> Iterator[None]:
    """While this holds, row i of every forward pass runs under edits[i]; `last` is the index of each row's end."""
    with ExitStack() as hooks:
        for layer in range(model.facts.n_layers):
            heads = [(i, h.index) for i, edit in enumerate(edits) for h in edit.heads if h.layer == layer]
            if heads:
                hook = _head_hook(model, layer, heads, last, where, means)
                hooks.callback(model.attention_output_modules[layer].register_forward_pre_hook(hook).remove)
            neurons = [(i, n.index) for i, edit in enumerate(edits) for n in edit.neurons if n.layer == layer]
            if neurons:
                silence = _neuron_hook(neurons, last)
                hooks.callback(model.mlp_output_modules[layer].register_forward_pre_hook(silence).remove)
        with torch.no_grad():
            yield


def _head_hook(
    model: LanguageModel,
    layer: int,
    places: Sequence[tuple[int, int]],
    last: Int[Tensor, " row"],
    where: Where,
    means: Means | None,
) -> Any:
    rows, heads = torch.tensor(places, device=last.device).T
    shape = (model.facts.n_heads, model.facts.d_head)

    def replace(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        z = inputs[0].reshape(len(last), -1, *shape).clone()  # row position head d_head
        new = z.new_zeros(len(heads), shape[1]) if means is None else means[layer, heads].to(z)
        if where == "last":
            z[rows, last[rows], heads] = new
        else:
            z[rows, :, heads] = new[:, None]
        return (z.reshape(inputs[0].shape), *inputs[1:])

    return replace


def _neuron_hook(places: Sequence[tuple[int, int]], last: Int[Tensor, " row"]) -> Any:
    rows, neurons = torch.tensor(places, device=last.device).T

    def silence(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        activations = inputs[0].reshape(len(last), -1, inputs[0].shape[-1]).clone()  # row position d_mlp
        activations[rows, last[rows], neurons] = 0
        return (activations.reshape(inputs[0].shape), *inputs[1:])

    return silence


@dataclass
class _Seen:
    logits: Float[Tensor, "row d_vocab"]
    activation: Float[Tensor, " row"]


@contextmanager
def _watched(model: LanguageModel, neuron: NeuronId, last: Int[Tensor, " row"]) -> Iterator[_Seen]:
    """Keep the logits and the neuron's activation at each row's end. Logits are made for the ends alone."""
    seen = _Seen(torch.empty(0), torch.empty(0))
    rows = torch.arange(len(last), device=last.device)

    def ends_only(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0][rows, last][:, None], *inputs[1:])  # row 1 d_model

    def keep_activation(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.activation = inputs[0].reshape(len(last), -1, inputs[0].shape[-1])[rows, last, neuron.index].float()

    def keep_logits(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.logits = output.logits[:, 0, : model.facts.d_vocab].float()

    with ExitStack() as hooks:
        unembedding = cast(nn.Module, model.hf.get_output_embeddings())  # type: ignore[no-untyped-call]
        for handle in (
            unembedding.register_forward_pre_hook(ends_only),
            model.mlp_output_modules[neuron.layer].register_forward_pre_hook(keep_activation),
            model.hf.register_forward_hook(keep_logits),
        ):
            hooks.callback(handle.remove)
        yield seen


def _summary(seen: _Seen, token_id: int) -> Float[np.ndarray, "4 row"]:
    logit = seen.logits[:, token_id]
    log_p = seen.logits.log_softmax(-1)[:, token_id]
    rank = (seen.logits > logit[:, None]).sum(-1)
    return np.stack([part.double().cpu().numpy() for part in (log_p, logit, rank, seen.activation)])


def mean_head_outputs(model: LanguageModel, rows: Sequence[Sequence[int]], *, watch: Watch = SILENT) -> Means:
    """The mean of every head's z over the last positions of `rows`, with its value bias, as attention passes it on.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("The mean over no rows is not defined.")
    facts = model.facts
    total = torch.zeros(facts.n_layers, facts.n_heads, facts.d_head, dtype=torch.float64, device=model.device)

    def add(layer: int, last: Tensor, inputs: tuple[Any, ...]) -> None:
        z = inputs[0].reshape(len(last), -1, facts.n_heads, facts.d_head)  # row position head d_head
        total[layer] += z[torch.arange(len(last)), last].double().sum(0)

    done = 0
    for batch in _similar_lengths(rows):
        watch.checkpoint()
        last = torch.tensor([len(rows[i]) - 1 for i in batch], device=model.device)
        with ExitStack() as hooks, torch.no_grad(), fast_products(model.hf):
            for layer, module in enumerate(model.attention_output_modules):
                handle = module.register_forward_pre_hook(lambda m, x, layer=layer, last=last: add(layer, last, x))
                hooks.callback(handle.remove)
            model.hf.base_model(input_ids=_padded([rows[i] for i in batch]).to(model.device), use_cache=False)
        done += len(batch)
        watch.progress("means", done, len(rows), "rows")
    return (total / len(rows)).float()
