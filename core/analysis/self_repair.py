"""Do later parts make up for a head that is taken away?

The head's own part in the logits is what its change alone does with everything after it frozen: it goes straight to the
final norm, whose scale is frozen too, and through the unembedding,

    Δ logits (direct) = W_U (γ ⊙ Σ_h (z′_h − z_h) W_O[h]) / σ_final

(centred where the final norm is a LayerNorm). Later heads and MLPs that notice the change move the total away from it.
The model repairs itself where |total| < |direct|; the gap is |direct| − |total|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headtorch.core.analysis.interventions import CLEAN, Edit, StandIns, readouts
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.causes import SelfRepair
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import SILENT, Watch


@dataclass(frozen=True)
class Repaired:
    """Changes of each prompt, after − before, means over donors: in all, and with everything later frozen."""

    total_log_p: Float[np.ndarray, " row"]
    direct_log_p: Float[np.ndarray, " row"]
    total_logit: Float[np.ndarray, " row"]
    direct_logit: Float[np.ndarray, " row"]


def self_repair(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    heads: Sequence[HeadId],
    by: StandIns,
    *,
    watch: Watch = SILENT,
) -> Repaired:
    """Total and direct change when `heads` are replaced jointly at the last position.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
    """
    for head in heads:
        check_feeds(model, head, neuron)
    edits = [CLEAN, Edit(heads=tuple(heads)), Edit(heads=tuple(heads), frozen=True)]
    clean, total, direct = readouts(model, rows, neuron, token_id, edits, by=by, watch=watch)
    return Repaired(
        total_log_p=total.log_p - clean.log_p,
        direct_log_p=direct.log_p - clean.log_p,
        total_logit=total.logit - clean.logit,
        direct_logit=direct.logit - clean.logit,
    )


def repair_record(found: Repaired, chosen: Bool[np.ndarray, " row"]) -> SelfRepair | None:
    """Means over the chosen rows; None where none is chosen."""
    if not chosen.any():
        return None
    log_p, logit = _gap(found.total_log_p, found.direct_log_p), _gap(found.total_logit, found.direct_logit)
    return SelfRepair(
        n=int(chosen.sum()),
        total_log_p=float(found.total_log_p[chosen].mean()),
        direct_log_p=float(found.direct_log_p[chosen].mean()),
        gap_log_p=float(log_p[chosen].mean()),
        repaired_log_p=float((log_p[chosen] > 0).mean()),
        total_logit=float(found.total_logit[chosen].mean()),
        direct_logit=float(found.direct_logit[chosen].mean()),
        gap_logit=float(logit[chosen].mean()),
        repaired_logit=float((logit[chosen] > 0).mean()),
    )


def _gap(total: Float[np.ndarray, " row"], direct: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    return np.asarray(np.abs(direct) - np.abs(total))
