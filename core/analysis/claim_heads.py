"""Which heads claims about a neuron are about, and on which of its firing places each is active.

Heads are chosen by their exact effect on the training places: those of largest |Σe|/Σa, and sparse ones that carry the
neuron at a few places. A head's direct attribution A(h) labels its places where it ranks them as its effect does;
where it does not (on real models it often does not), a head is active where it carries the neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.analysis.statistics import spearman
from headtorch.core.claims import CARRIES, ClaimHead, Label
from headtorch.core.records import HeadId

CANDIDATES, SPARSE_CANDIDATES = 10, 5  # by attribution patching
SPARSE_HEADS = 3
SPARSE_SHARE = 0.03  # of the training places on which a sparse head carries the neuron
CAUSAL_SPEARMAN = 0.7  # of A(h) and e(h), from which on A(h) labels
FEWEST = 15  # training places in a class, for a head to be explained

Array = NDArray[np.float64]


def candidate_heads(estimate: Float[np.ndarray, "place layer head"], activation: Array) -> list[HeadId]:
    """The heads that exact effects are computed for, by the gradient estimate of them on training places."""
    total = np.abs(np.nansum(estimate, 0)) / max(np.abs(activation).sum(), 1e-30)
    carried = np.nanmean(
        estimate * np.sign(activation)[:, None, None] >= CARRIES * np.abs(activation)[:, None, None], 0
    )
    total[np.isnan(estimate).all(0)] = -1.0
    by_sum = _largest(total, CANDIDATES)
    sparse = [head for head in _largest(carried, SPARSE_CANDIDATES + CANDIDATES) if head not in by_sum]
    return by_sum + [head for head in sparse if carried[head.layer, head.index] > 0][:SPARSE_CANDIDATES]


def _largest(values: Float[np.ndarray, "layer head"], count: int) -> list[HeadId]:
    order = np.argsort(-values, axis=None, kind="stable")[:count]
    heads = [HeadId(*map(int, divmod(int(i), values.shape[1]))) for i in order]
    return [head for head in heads if values[head.layer, head.index] >= 0]


@dataclass(frozen=True)
class Labelled:
    """A chosen head and its labels on all firing places."""

    head: ClaimHead
    active: Bool[np.ndarray, " place"]


def choose_claim_heads(
    heads: Sequence[HeadId], effect: Float[np.ndarray, "place head"], activation: Array, count: int
) -> tuple[list[int], list[int]]:
    """Columns of `effect` (training places): the `count` of largest |Σe|/Σa, and up to 3 sparse heads beside them."""
    share = effect.sum(0) / max(abs(activation.sum()), 1e-30)
    by_sum = np.argsort(-np.abs(share), kind="stable")[:count].tolist()
    carried = carries(effect, activation[:, None]).mean(0)
    sparse = [i for i in np.argsort(-carried, kind="stable").tolist() if i not in by_sum]
    return by_sum, [i for i in sparse if carried[i] >= SPARSE_SHARE][:SPARSE_HEADS]


def carries(effect: Array, activation: Array) -> NDArray[np.bool_]:
    """e/a ≥ 0.2, for either sign of the activation."""
    carried: NDArray[np.bool_] = effect * np.sign(activation) >= CARRIES * np.abs(activation)
    return carried


def label_head(
    head: HeadId,
    *,
    effect: Array,
    attribution: Array,
    activation: Array,
    train: NDArray[np.bool_],
    baseline: tuple[float, float],
    sparse: bool,
) -> Labelled:
    """Label one head on firing places [place]; `train` marks the training places, the only ones that choose the label.

    baseline: Ā(h) and sd(h) over random positions of the training split
    """
    sign = 1.0 if activation.sum() >= 0 else -1.0
    share = float(effect[train].sum() / max(abs(float(activation[train].sum())), 1e-30)) * sign
    suppressing = share < 0
    agreement = spearman(attribution[train], effect[train])
    label: Label = "attribution" if agreement is not None and agreement >= CAUSAL_SPEARMAN else "carries"
    direction = -sign if suppressing else sign
    if label == "attribution":
        active = direction * (attribution - baseline[0]) > 2 * baseline[1]
    else:
        active = carries(-effect if suppressing else effect, activation)
    on, total = int(active[train].sum()), int(train.sum())
    reason = "too rare" if on < FEWEST else "always active" if total - on < FEWEST else None
    return Labelled(
        ClaimHead(
            head=head,
            effect=share,
            suppressing=suppressing,
            sparse=sparse,
            label=label,
            label_effect_spearman=agreement,
            active_share=on / total if total else 0.0,
            not_explained=reason,
        ),
        active,
    )
