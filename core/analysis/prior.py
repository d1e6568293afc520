"""What the weights alone say about a head and a neuron, before any text is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from headtorch.core.errors import ModelError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId


@torch.no_grad()
def weight_prior(model: LanguageModel, neurons: Sequence[NeuronId]) -> Float[np.ndarray, "neuron read layer head"]:
    """‖W_V W_O ŵ‖ / ‖W_V W_O‖_F for each head: how much of what a head can write the neuron can read, 0 to 1.

    ŵ is the neuron's read direction at length 1; both norms are folded into the weights. Heads that cannot feed the
    neuron are nan.

    Raises:
        AddressError: the model has no such neuron.
        ModelError: a norm follows attention, so that what a head writes depends on the other heads.
    """
    facts = model.facts
    for neuron in neurons:
        model.check_neuron(neuron)
    if facts.post_norm:
        raise ModelError(f"A norm follows attention in {facts.name}: its weights alone do not say what a head writes.")
    shape = (len(neurons), 1 + facts.gated, facts.n_layers, facts.n_heads)
    prior: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
    directions = [model.read_directions(neuron.layer, [neuron.index])[:, 0] for neuron in neurons]  # read d_model
    for layer in range(facts.n_layers):
        mine = [i for i, neuron in enumerate(neurons) if model.eligible_heads(neuron.layer)[layer].any()]
        if mine:
            units = torch.nn.functional.normalize(torch.stack([directions[i] for i in mine]), dim=-1)
            prior[mine, :, layer] = _ratios(model.value_weights(layer), model.head_outputs(layer), units).cpu().numpy()
    return prior


def _ratios(
    values: Float[Tensor, "head d_model d_head"],
    outputs: Float[Tensor, "head d_head d_model"],
    units: Float[Tensor, "neuron read d_model"],
) -> Float[Tensor, "neuron read head"]:
    """Both norms by way of W_VᵀW_V [d_head, d_head], so that W_V W_O [d_model, d_model] is never made."""
    gram = values.mT @ values  # head d_head d_head
    reads = torch.einsum("hdm,nrm->nrhd", outputs, units)
    written = torch.einsum("nrhd,hde,nrhe->nrh", reads, gram, reads)
    whole = torch.einsum("hde,hem,hdm->h", gram, outputs, outputs)
    return (written.clamp(min=0) / whole).sqrt()
