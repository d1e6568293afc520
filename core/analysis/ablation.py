"""What does a head do? Replace its output and see what becomes of the predicted token and of the neuron.

Everything is after − before: Δ log p(t) is the headline, negative where the head helps the prediction of t. What stands
in for a head's output z, value bias included, is one of `replacements`; several heads can be replaced jointly, at the
firing position alone or everywhere. `zero-values` everywhere is what Neo, Cohen and Barez (arXiv 2402.15055) do. The
two-sample Kolmogorov-Smirnov test of a head's prompts, active against inactive, takes prompts of one document for
independent; the permutation test beside it does not. Theirs is over pairs: `headtorch.core.analysis.pooled_ablation`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headtorch.core.analysis.interventions import (
    CLEAN,
    Edit,
    Means,
    Readout,
    StandIns,
    mean_head_outputs,
    mean_readouts,
    measure,
    readouts,
)
from headtorch.core.analysis.label_permutation import label_p
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.analysis.replacements import replacements
from headtorch.core.analysis.statistics import kolmogorov_smirnov
from headtorch.core.causes import Ablation, AblationGroup, AblationPoints, Replacement, Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import SILENT, Watch

__all__ = [
    "Change",
    "ablate_head",
    "ablate_heads",
    "ablate_neuron",
    "ablation_record",
    "group_means",
]

DIGITS = 5  # kept of each prompt's numbers


@dataclass(frozen=True)
class Change:
    """What an edit did on each row: after − before, at the row's last position, a mean over donors."""

    before: Readout
    after: Readout

    @property
    def delta_log_p(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.log_p, self.before.log_p)

    @property
    def delta_p(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.p, self.before.p)

    @property
    def delta_logit(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.logit, self.before.logit)

    @property
    def delta_rank(self) -> Float[np.ndarray, " row"]:
        """Positive: the token fell."""
        return _difference(self.after.rank, self.before.rank)

    @property
    def delta_activation(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.activation, self.before.activation)


def _difference(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    changed: np.ndarray = after - before
    return changed


def ablate_heads(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    heads: Sequence[HeadId | Sequence[HeadId]],
    *,
    replacement: Replacement = "zero",
    where: Where = "last",
    means: Means | None = None,
    by: StandIns | None = None,
    watch: Watch = SILENT,
) -> list[Change]:
    """One Change over all rows for each entry of `heads`: a single head, or several replaced jointly.

    Every row is read without any edit only once, whatever the number of entries. `by` makes what stands in, the same
    donors for every entry. Without it heads are replaced by 0, by what zero value vectors leave, or by their `means`,
    which come from `mean_head_outputs`.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
        ValueError: another replacement than zero and zero-values without `means` or `by`.
    """
    groups = [(entry,) if isinstance(entry, HeadId) else tuple(entry) for entry in heads]
    for group in groups:
        for head in group:
            check_feeds(model, head, neuron)
    if by is None and replacement == "zero-values":
        by = replacements(model, replacement)
    if by is None and replacement == "mean" and means is None:
        raise ValueError("Replacement by the mean needs the means of the heads' outputs.")
    if by is None and replacement not in ("zero", "mean"):
        raise ValueError(f"The replacement {replacement!r} needs what stands in for the heads' outputs.")
    edits = [CLEAN, *(Edit(heads=group) for group in groups)]
    vectors = means if replacement == "mean" else None
    before, *after = readouts(model, rows, neuron, token_id, edits, where=where, means=vectors, by=by, watch=watch)
    return [Change(before, one) for one in after]


def ablate_head(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    active: Sequence[bool] | Bool[np.ndarray, " row"],
    *,
    replacement: Replacement = "zero",
    where: Where = "last",
    means: Means | None = None,
    mean_rows: Sequence[Sequence[int]] | None = None,
    watch: Watch = SILENT,
) -> Ablation:
    """Replace one head on a neuron's prompts and compare those where it is active with those where it is not.

    For replacement by the mean give `means` (made once by `mean_head_outputs`, for any number of heads), or the
    `mean_rows` to make them from here.

    Raises as `ablate_heads` does.
    """
    check_feeds(model, head, neuron)
    if replacement == "mean" and means is None and mean_rows:
        means = mean_head_outputs(model, mean_rows, watch=watch)
    [change] = ablate_heads(
        model, rows, neuron, token_id, [head], replacement=replacement, where=where, means=means, watch=watch
    )
    return ablation_record(neuron, head, token_id, change, active, replacement=replacement, where=where)


def ablate_neuron(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    *,
    value: float = 0.0,
    watch: Watch = SILENT,
) -> Change:
    """Set the neuron's activation to `value` at each row's last position.

    Raises:
        AddressError: the model has no such neuron.
    """
    model.check_neuron(neuron)
    held = np.full((2, len(rows), 1), np.nan)
    held[1] = value
    before, after = mean_readouts(measure(model, rows, neuron, token_id, [CLEAN, CLEAN], held=held, watch=watch))
    return Change(before, after)


def ablation_record(
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    change: Change,
    active: Sequence[bool] | Bool[np.ndarray, " row"],
    *,
    replacement: Replacement = "zero",
    where: Where = "last",
    together: Sequence[HeadId] = (),
    donors: int = 1,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Ablation:
    """Means over active and inactive prompts, each prompt's change, and the tests of Δ log p between the groups.

    `together` are the heads replaced with `head`. `clusters` are the prompts' clusters of documents, by default each
    its own. A group without prompts has no means, and without both groups there is no test.
    """
    labels = np.asarray(active, dtype=bool)
    if len(labels) != len(change.delta_log_p):
        raise ValueError(f"{len(labels)} labels for {len(change.delta_log_p)} prompts.")
    ks = kolmogorov_smirnov(change.delta_log_p[labels], change.delta_log_p[~labels])
    return Ablation(
        neuron=neuron,
        head=head,
        token_id=token_id,
        replacement=replacement,
        position=where,
        active=group_means(change, labels),
        inactive=group_means(change, ~labels),
        ks=None if ks is None else ks[0],
        ks_p=None if ks is None else ks[1],
        together=list(together),
        donors=donors,
        p=label_p(change.delta_log_p, labels, clusters, seed=seed),
        points=AblationPoints(labels.tolist(), _rounded(change.delta_log_p), _rounded(change.delta_activation)),
    )


def _rounded(values: Float[np.ndarray, " row"]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def group_means(change: Change, chosen: Bool[np.ndarray, " row"]) -> AblationGroup:
    """Mean changes over the chosen rows; None where none is chosen."""

    def mean(values: Float[np.ndarray, " row"]) -> float | None:
        return float(values[chosen].mean()) if chosen.any() else None

    return AblationGroup(
        n=int(chosen.sum()),
        delta_log_p=mean(change.delta_log_p),
        delta_p=mean(change.delta_p),
        delta_logit=mean(change.delta_logit),
        delta_rank=mean(change.delta_rank),
        delta_activation=mean(change.delta_activation),
    )
