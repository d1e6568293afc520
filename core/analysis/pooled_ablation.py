"""Ablations of many pairs of a neuron and a head, pooled into one result.

The test is a permutation of labels (`pooled_labels`). Beside it stands that of Neo, Cohen and Barez (arXiv 2402.15055):
each pair is one number, the mean Δp(t) over its prompts, once over those on which the head is active, once over the
others; a two-sample Kolmogorov-Smirnov test compares the two sets of means. Pairs of one neuron share prompts and
heads, which that test does not know: its p is what the paper reports, no claim of independence.
"""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.analysis.pooled_labels import NeuronChanges, pooled_ablation_p
from headtorch.core.analysis.statistics import kolmogorov_smirnov
from headtorch.core.causes import Ablation, PooledAblation


def pooled_ablation(
    ablations: Sequence[Ablation], changes: Sequence[NeuronChanges] = (), *, seed: int = 0
) -> PooledAblation | None:
    """The pooled result of ablations by one replacement at one kind of position; None where there are none.

    changes: Δ log p(t) of the same ablations with their labels, for the permutation test; without them there is none

    Raises:
        ValueError: replacements or positions differ.
    """
    if not ablations:
        return None
    if len({(one.replacement, one.position) for one in ablations}) > 1:
        raise ValueError("Ablations by different replacements, or at different positions, are not pooled.")
    active = [one.active.delta_p for one in ablations if one.active.delta_p is not None]
    inactive = [one.inactive.delta_p for one in ablations if one.inactive.delta_p is not None]
    test = kolmogorov_smirnov(active, inactive)
    labels = pooled_ablation_p(changes, seed=seed)
    return PooledAblation(
        replacement=ablations[0].replacement,
        position=ablations[0].position,
        pairs=len(ablations),
        active=active,
        inactive=inactive,
        ks=None if test is None else test[0],
        ks_p=None if test is None else test[1],
        neurons=labels.neurons if labels else None,
        tested_pairs=labels.pairs if labels else None,
        difference=labels.difference if labels else None,
        p=labels.p if labels else None,
    )
