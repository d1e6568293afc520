"""The effects of all heads from two backward passes: exact to first order in what is replaced.

    effect(h, n) ≈ ⟨∂quantity/∂z_h, z_h − replacement⟩

The derivative takes in what head h does through later heads, norms and MLPs; averaged over donors it is that of the
mean donor. At all positions it is summed over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtorch.core.analysis.batching import length_batches, pad_rows
from headtorch.core.analysis.effects import Effects, no_effects
from headtorch.core.analysis.replacements import Replacements, check_replacement
from headtorch.core.analysis.replay import run_until
from headtorch.core.causes import EstimateError, Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

BATCH_TOKENS = 1024  # all activations of the pass are held for the way back


def gradient_estimate(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neurons: Sequence[NeuronId],
    by: Replacements,
    *,
    where: Where = "last",
    watch: Watch = SILENT,
) -> Effects:
    """An estimate of what `effects` computes, for the price of one forward and two backward passes a row.

    Raises as `effects` does.
    """
    check_replacement(by.kind, where)
    found = no_effects(model, rows, neurons, by, where)
    done = 0
    for layer in sorted({neuron.layer for neuron in neurons}):
        prompts = [i for i, neuron in enumerate(neurons) if neuron.layer == layer]
        for batch in length_batches([len(rows[i]) for i in prompts], BATCH_TOKENS):
            watch.checkpoint()
            chosen = [prompts[i] for i in batch]
            _fill(model, found, [rows[i] for i in chosen], chosen, layer, by)
            done += len(batch)
            watch.progress("gradient", done, len(rows), "prompts")
    return found


def _fill(
    model: LanguageModel,
    found: Effects,
    rows: Sequence[Sequence[int]],
    prompts: Sequence[int],
    layer: int,
    by: Replacements,
) -> None:
    lengths = torch.tensor([len(row) for row in rows], device=model.device)
    ids = pad_rows(rows, int(lengths.max()), model.device)
    feeding = np.flatnonzero(model.eligible_heads(layer).any(1)).tolist()
    every, last = torch.arange(len(rows), device=model.device), lengths - 1
    index = torch.tensor([found.neurons[i].index for i in prompts], device=model.device)
    with torch.enable_grad(), _nudged(model, feeding, ids) as (z, nudges):
        pre, activation = run_until(model, layer, ids)
        quantities = activation[every, last, index].float(), pre[every, last, index].float()
    found.clean_activation[prompts], found.clean_pre_activation[prompts] = (
        q.detach().cpu().numpy() for q in quantities
    )
    if not feeding:
        return
    here = torch.stack([one[every, last] for one in z], dim=1)  # row layer head d_head
    vectors = torch.stack([by.vectors(row, here[r]).mean(0) for r, row in enumerate(rows)])
    for target, quantity in zip((found.activation, found.pre_activation), quantities, strict=True):
        slopes = torch.autograd.grad(quantity.sum(), nudges, retain_graph=True)
        for k, slope in zip(feeding, slopes, strict=True):
            if found.where == "last":
                change = (slope[every, last] * (here[:, k] - vectors[:, k])).sum(-1)
            else:
                change = (slope * (z[k] - vectors[:, None, k])).sum((1, -1))  # behind a row's end the slope is 0
            target[prompts, k] = change.double().cpu().numpy()


@contextmanager
def _nudged(
    model: LanguageModel, layers: Sequence[int], ids: Int[Tensor, "row position"]
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Keep z of `layers` [row, position, head, d_head], and add a nudge of 0 to it that gradients are taken for."""
    facts = model.facts
    shape = (*ids.shape, facts.n_heads, facts.d_head)
    z: list[Tensor] = []
    nudges = [torch.zeros(shape, dtype=model.hf.dtype, device=ids.device, requires_grad=True) for _ in layers]

    def nudge(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        here = inputs[0].reshape(shape)
        z.append(here.detach().float())
        return ((here + nudges[len(z) - 1]).reshape(inputs[0].shape), *inputs[1:])

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(model.attention_output_modules[layer].register_forward_pre_hook(nudge).remove)
        yield z, nudges


def estimate_error(estimate: Float[np.ndarray, "*place"], exact: Float[np.ndarray, "*place"]) -> EstimateError:
    """How far an estimate is from the exact effects, over all that are numbers; None where none of these is not 0."""
    known = np.isfinite(exact)
    off, size = estimate[known] - exact[known], np.sqrt(np.mean(exact[known] ** 2)) if known.any() else 0.0
    return EstimateError(
        max=float(np.abs(off).max()) if known.any() else None,
        rms_relative=float(np.sqrt(np.mean(off**2)) / size) if size > 0 else None,
    )
