"""The paper's result on ablation, pooled over pairs of a neuron and a head, in words for every format."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING

from headtorch.core.causes import PooledAblation
from headtorch.core.replacement_kinds import REPLACEMENTS
from headtorch.core.study.report.phrases import number, small

if TYPE_CHECKING:
    from headtorch.core.study.report.contents import Report

TITLE = "Ablation, pooled over pairs"


def pooled_in_words(pooled: PooledAblation) -> str:
    """What was ablated, the mean changes of either class, and the test between them."""
    where = "at all positions" if pooled.position == "all" else "at the firing position"
    test = (
        "One class has no pairs, so there is no test."
        if pooled.ks is None
        else f"Two-sample Kolmogorov-Smirnov over pairs: {number(pooled.ks, 3)}, p = {small(pooled.ks_p)}."
    )
    return (
        f"{pooled.pairs} pairs of a neuron and an explained head, the head replaced by "
        f"{REPLACEMENTS[pooled.replacement].label} {where} of the held-out prompts. Each pair counts as its mean "
        f"Δp(t), after − before: {_class(pooled.active)} where the head is active, {_class(pooled.inactive)} where it "
        f"is not. {test}"
    )


def _class(means: Sequence[float]) -> str:
    if not means:
        return "no pair"
    return f"mean {number(fmean(means), 4)}, median {number(median(means), 4)} over {len(means)} pairs"


def pooled_section(report: Report) -> list[str]:
    """The section in Markdown; nothing where no pairs were pooled."""
    return [] if report.pooled_ablation is None else [f"## {TITLE}", pooled_in_words(report.pooled_ablation)]
