"""One head taken away, on a text or on a neuron's strongest prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headtorch.core.analysis.ablation import Replacement, ablate_head
from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import baselines
from headtorch.core.analysis.interventions import Where
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.engine.workspace import Workspace
from headtorch.core.records import Ablation, HeadId, NeuronId


def ablate_on_text(
    workspace: Workspace,
    row: Sequence[int],
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    replacement: Replacement,
    where: Where,
) -> Ablation:
    """The change on one row, which counts as active. Raises AddressError for a head that cannot feed the neuron."""
    return ablate_head(
        workspace.model,
        [row],
        neuron,
        head,
        token_id,
        [True],
        replacement=replacement,
        where=where,
        mean_rows=workspace.random_rows if replacement == "mean" else None,
        watch=workspace.watch,
    )


def ablate_on_corpus(
    workspace: Workspace,
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    top: int,
    replacement: Replacement,
    where: Where,
) -> Ablation:
    """The change on the neuron's `top` strongest prompts of each half, by whether the head is active there.

    A head is active where its attribution lies two of its own standard deviations above its mean on random positions.
    Raises AddressError for a head that cannot feed the neuron, InputError for a neuron that never fires.
    """
    check_feeds(workspace.model, head, neuron)
    rows = [workspace.row(place.document, place.position) for place in workspace.strongest_places(neuron, top)]
    base = baselines(workspace.model, workspace.random_rows, [neuron], watch=workspace.watch)
    headline = attribute(workspace.model, rows, [neuron] * len(rows), watch=workspace.watch).headline
    sign = workspace.firing_sign(neuron)
    active = active_heads(headline.astype(np.float64), base.mean[0], base.sd[0], sign=sign)[:, head.layer, head.index]
    return ablate_head(
        workspace.model,
        rows,
        neuron,
        head,
        token_id,
        active,
        replacement=replacement,
        where=where,
        mean_rows=workspace.random_rows if replacement == "mean" else None,
        watch=workspace.watch,
    )
