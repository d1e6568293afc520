"""Ablations of many pairs of a neuron and a head, pooled as Neo, Cohen and Barez (arXiv 2402.15055) pool them.

Each pair is one number, the mean Δp(t) over its prompts: once over those on which the head is active, once over the
others. A two-sample Kolmogorov-Smirnov test compares the two sets of means. Pairs of one neuron share prompts and
heads, which the test does not know: its p is what the paper reports, no claim of independence.
"""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.analysis.statistics import kolmogorov_smirnov
from headtorch.core.causes import Ablation, PooledAblation


def pooled_ablation(ablations: Sequence[Ablation]) -> PooledAblation | None:
    """The pooled result of ablations by one replacement at one kind of position; None where there are none.

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
    return PooledAblation(
        replacement=ablations[0].replacement,
        position=ablations[0].position,
        pairs=len(ablations),
        active=active,
        inactive=inactive,
        ks=None if test is None else test[0],
        ks_p=None if test is None else test[1],
    )
