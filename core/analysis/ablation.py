"""What does a head do? Replace its output and see what becomes of the predicted token and of the neuron.

Everything is after − before: Δ log p(t) is the headline, negative where the head helps the prediction of t. A head's
output z, value bias included, is replaced by 0 or by its mean over random positions, at the firing position alone or
everywhere; several heads can be replaced jointly. Neo, Cohen and Barez (arXiv 2402.15055) compare the change on prompts
where the head is active with that on prompts where it is not, by a two-sample Kolmogorov-Smirnov test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from headtorch.core.analysis.interventions import CLEAN, Edit, Means, Readout, Where, mean_head_outputs, readouts
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Ablation, AblationGroup, HeadId, NeuronId
from headtorch.core.watch import SILENT, Watch

Replacement = Literal["zero", "mean"]


@dataclass(frozen=True)
class Change:
    """What an edit did on each row: after − before, at the row's last position."""

    before: Readout
    after: Readout

    @property
    def delta_log_p(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.log_p, self.before.log_p)

    @property
    def delta_p(self) -> Float[np.ndarray, " row"]:
        return _difference(np.exp(self.after.log_p), np.exp(self.before.log_p))

    @property
    def delta_logit(self) -> Float[np.ndarray, " row"]:
        return _difference(self.after.logit, self.before.logit)

    @property
    def delta_rank(self) -> Int[np.ndarray, " row"]:
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
    watch: Watch = SILENT,
) -> list[Change]:
    """One Change over all rows for each entry of `heads`: a single head, or several replaced jointly.

    Every row is read without any edit only once, whatever the number of entries. `means` come from `mean_head_outputs`
    and are needed for replacement by the mean.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
        ValueError: replacement by the mean without means.
    """
    groups = [(entry,) if isinstance(entry, HeadId) else tuple(entry) for entry in heads]
    for group in groups:
        for head in group:
            check_feeds(model, head, neuron)
    if replacement == "mean" and means is None:
        raise ValueError("Replacement by the mean needs the means of the heads' outputs.")
    edits = [CLEAN, *(Edit(heads=group) for group in groups)]
    vectors = means if replacement == "mean" else None
    before, *after = readouts(model, rows, neuron, token_id, edits, where=where, means=vectors, watch=watch)
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
    watch: Watch = SILENT,
) -> Change:
    """Set the neuron's activation to 0 at each row's last position.

    Raises:
        AddressError: the model has no such neuron.
    """
    model.check_neuron(neuron)
    before, after = readouts(model, rows, neuron, token_id, [CLEAN, Edit(neurons=(neuron,))], watch=watch)
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
) -> Ablation:
    """Means over active and inactive prompts, and the two-sample KS test of Δ log p between them.

    A group without prompts has no means, and without both groups there is no test.
    """
    labels = np.asarray(active, dtype=bool)
    if len(labels) != len(change.delta_log_p):
        raise ValueError(f"{len(labels)} labels for {len(change.delta_log_p)} prompts.")
    ks = ks_p = None
    if labels.any() and not labels.all():
        test = stats.ks_2samp(change.delta_log_p[labels], change.delta_log_p[~labels])
        ks, ks_p = float(test.statistic), float(test.pvalue)
    return Ablation(
        neuron=neuron,
        head=head,
        token_id=token_id,
        replacement=replacement,
        position=where,
        active=group_means(change, labels),
        inactive=group_means(change, ~labels),
        ks=ks,
        ks_p=ks_p,
    )


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
