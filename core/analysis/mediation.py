"""Does a head move the prediction through the neuron, or around it? Mediation of h → n → t at position p.

With log p(h, n) of the token under head h and neuron n, each clean or as it is when h is replaced (h′, n′ = n(h′)):

    total       = log p(h′, n′) − log p(h, n)
    around      = log p(h′, n) − log p(h, n)      h replaced, n held at its clean value: the natural direct effect
    through     = log p(h, n′) − log p(h, n)      h clean, n set to what it is under h′: the natural indirect effect
    interaction = total − around − through

All are after − before, like every ablation, and means over donors; n′ is that of the donor. Heads are replaced at p
alone, and n is set there. Parts of other neurons count as around it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.analysis.interventions import CLEAN, Edit, Readout, StandIns, measure
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.analysis.statistics import drawn_clusters, percentile_interval
from headtorch.core.causes import Mediation
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, Interval, NeuronId
from headtorch.core.watch import SILENT, Watch

ACTIVATION = list(Readout.__dataclass_fields__).index("activation")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mediated:
    """Δ log p of each prompt, and what it is made of."""

    total: Float[np.ndarray, " row"]
    through: Float[np.ndarray, " row"]
    around: Float[np.ndarray, " row"]

    @property
    def interaction(self) -> Float[np.ndarray, " row"]:
        return np.asarray(self.total - self.through - self.around)


def mediate(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    heads: Sequence[HeadId],
    by: StandIns,
    *,
    watch: Watch = SILENT,
) -> Mediated:
    """Mediation by `neuron` of what `heads`, replaced jointly at the last position, do to the token.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
    """
    for head in heads:
        check_feeds(model, head, neuron)
    replaced = Edit(heads=tuple(heads))
    first = measure(model, rows, neuron, token_id, [CLEAN, replaced], by, watch=watch)
    clean, under = first[ACTIVATION]  # row donor
    held = np.stack([clean, under])  # edit row donor
    second = measure(model, rows, neuron, token_id, [replaced, CLEAN], by, held=held, watch=watch)
    before, after, around, through = (one.mean(-1) for one in (*first[0], *second[0]))  # log p [row]
    return Mediated(total=after - before, through=through - before, around=around - before)


def mediation_record(
    found: Mediated,
    chosen: Bool[np.ndarray, " row"],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Mediation | None:
    """Means over the chosen rows, with bootstrap intervals over clusters of documents; None where none is chosen.

    The share mediated is mean through / mean total, with an interval of its own; none where the total may be 0.
    """
    if not chosen.any():
        return None
    parts = np.stack([found.total, found.through, found.around, found.interaction])[:, chosen]  # part row
    groups = (
        np.arange(len(chosen))[chosen].tolist()
        if clusters is None
        else [c for c, keep in zip(clusters, chosen, strict=True) if keep]
    )
    draws = drawn_clusters(parts, groups, seed=seed)  # part resample
    total = percentile_interval(draws[0])
    certain = total.low * total.high > 0 and len(set(groups)) > 1
    means = parts.mean(1)
    return Mediation(
        n=int(chosen.sum()),
        total=float(means[0]),
        through=float(means[1]),
        around=float(means[2]),
        interaction=float(means[3]),
        total_interval=_interval(draws[0], groups),
        through_interval=_interval(draws[1], groups),
        share=float(means[1] / means[0]) if certain or (len(groups) == 1 and means[0] != 0) else None,
        share_interval=percentile_interval(draws[1] / draws[0]) if certain else None,
    )


def _interval(draws: Array, groups: Sequence[Hashable]) -> Interval | None:
    return percentile_interval(draws) if len(set(groups)) > 1 else None
