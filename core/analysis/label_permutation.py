"""Does a head's label matter for what its ablation does? A permutation test, and control heads beside it.

Prompts of one cluster of documents are not independent, so that those of one cluster and one label count as one, their
mean; the labels of these are permuted within each neuron. Ablating any head may do more on the prompts where this one
is active, for a reason that has nothing to do with it, such as a prediction that is less certain there. So the same
test is made of the change less that of control heads: heads whose output at p is as long, ‖z_h W_O‖.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.analysis.replacements import last_head_outputs
from headtorch.core.analysis.statistics import clustered_permutation_p
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId
from headtorch.core.watch import SILENT, Watch

N_CONTROLS = 4


def label_p(
    values: Float[np.ndarray, " prompt"],
    active: Bool[np.ndarray, " prompt"],
    clusters: Sequence[Hashable] | None = None,
    neurons: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> float | None:
    """Two-sided p of "the label does not matter" for `values`; None where no neuron has prompts of both labels.

    The statistic is that of `clustered_permutation_p`, over the neurons; `clusters` are those of documents.
    """
    clusters = range(len(values)) if clusters is None else clusters
    neurons = [0] * len(values) if neurons is None else neurons
    units: dict[tuple[Hashable, Hashable, bool], list[float]] = {}
    for value, label, cluster, neuron in zip(values, active, clusters, neurons, strict=True):
        units.setdefault((neuron, cluster, bool(label)), []).append(float(value))
    if not units:
        return None
    means = [float(np.mean(unit)) for unit in units.values()]
    return clustered_permutation_p(means, [key[2] for key in units], [key[0] for key in units], seed=seed)


def output_norms(
    model: LanguageModel, rows: Sequence[Sequence[int]], *, watch: Watch = SILENT
) -> Float[np.ndarray, "row layer head"]:
    """‖z_h W_O‖ of every head at the last position of each row, value bias included."""
    z = last_head_outputs(model, rows, watch=watch)  # row layer head d_head
    found: NDArray[np.float64] = np.zeros(z.shape[:3])
    for layer in range(model.facts.n_layers):
        outputs = torch.einsum("rhe,hem->rhm", z[:, layer], model.head_outputs(layer))
        found[:, layer] = outputs.norm(dim=-1).double().cpu().numpy()
    return found


def control_heads(
    norms: Float[np.ndarray, "row layer head"],
    eligible: Bool[np.ndarray, "layer head"],
    heads: Sequence[HeadId],
    *,
    count: int = N_CONTROLS,
) -> list[list[HeadId]]:
    """`count` sets of as many heads as `heads`, each head with one whose mean norm is next to its own, none twice.

    Nearness is that of the logarithms. Fewer sets where there are not enough eligible heads.
    """
    size = np.log(np.maximum(norms.mean(0), 1e-30))  # layer head
    free = {HeadId(int(k), int(i)) for k, i in np.argwhere(eligible)} - set(heads)
    found: list[list[HeadId]] = []
    while len(found) < count and len(free) >= len(heads):
        match = []
        for head in heads:
            distance = {one: abs(size[one.layer, one.index] - size[head.layer, head.index]) for one in free}
            match.append(min(free, key=lambda one: (distance[one], one)))
            free.remove(match[-1])
        found.append(match)
    return found
