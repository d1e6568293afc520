"""The direct attribution of heads at many places, from what one plain pass over the rows shows there.

A(h) = ⟨o_h, w_in⟩ / σ as in `headtorch.core.analysis.decomposition`, and for a gated neuron `removal`: the same
numbers, without the other parts of the sum and without the inspection face, whose attention is not fused.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.position_replay import Observed
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId


@torch.no_grad()
def place_attribution(model: LanguageModel, neuron: NeuronId, seen: Observed) -> Float[np.ndarray, "query layer head"]:
    """The headline attribution of every head for one neuron at each query; heads that cannot feed it are nan."""
    facts = model.facts
    n_layers = neuron.layer if facts.parallel else neuron.layer + 1
    directions = model.read_directions(neuron.layer, [neuron.index])[:, 0].cpu()  # read d_model
    reads = np.full((len(seen.activation), len(directions), facts.n_layers, facts.n_heads), np.nan)
    for layer in range(n_layers):
        norm = model.attention_post_norms[layer]
        read = directions if norm is None else norm.passed_back(directions)  # what the stream's read means before it
        weights = torch.einsum("hdm,em->ehd", model.head_outputs(layer).cpu(), read)
        z = seen.heads[:, layer] - model.value_constants(layer).cpu()
        dot = torch.einsum("qhd,ehd->qeh", z, weights).double().numpy()
        if seen.post_scale is not None:
            dot = dot / seen.post_scale[:, layer, None, None]
        reads[:, :, layer] = dot / seen.scale[:, None, None]
    return _removal(model, seen.pre_activation, reads) if facts.gated else reads[:, 0]


def _removal(
    model: LanguageModel, pre: Float[np.ndarray, "query read"], heads: Float[np.ndarray, "query read layer head"]
) -> Float[np.ndarray, "query layer head"]:
    """a − act(g − g_h)·(u − u_h)."""
    full = _tensor(model, np.moveaxis(pre, 1, 0)[..., None, None])
    without = _tensor(model, np.moveaxis(pre[..., None, None] - heads, 1, 0))
    change = model.activate(full) - model.activate(without)
    removed: Float[np.ndarray, "query layer head"] = change.double().cpu().numpy()
    return removed


def _tensor(model: LanguageModel, x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).float().to(model.device)
