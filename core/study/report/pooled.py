"""What ablation comes to over all pairs of a neuron and a head, in words for every format; and the paper's tests.

In the paper's preset the result is the paper's own, Kolmogorov-Smirnov over pairs. Otherwise it is one permutation
test, and Kolmogorov-Smirnov stands in the appendix.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from statistics import fmean, median
from typing import TYPE_CHECKING

from headtorch.core.causes import Ablation, PooledAblation
from headtorch.core.replacement_kinds import REPLACEMENTS
from headtorch.core.study.report.phrases import number, small, table

if TYPE_CHECKING:
    from headtorch.core.study.report.contents import Report

TITLE = "Ablation, pooled over pairs"
KS_TITLE = "Appendix: Kolmogorov-Smirnov tests"
KS_ROWS = 100  # shown
KS_ABOUT = (
    "The paper's test of ablation: Δ log p where the head is active against Δ log p where it is not. It takes all "
    "prompts and all pairs as independent, which they are not: read the permutation tests instead. "
    f"Up to {KS_ROWS} heads are shown; the table of ablations holds all."
)


def pooled_in_words(pooled: PooledAblation) -> str:
    """What was ablated, what it did where the heads are active and elsewhere, and the test between them."""
    where = "at all positions" if pooled.position == "all" else "at the firing position"
    replaced = (
        f"{pooled.pairs} pairs of a neuron and an explained head, the head replaced by "
        f"{REPLACEMENTS[pooled.replacement].label} {where}"
    )
    if pooled.p is None:
        return f"{replaced} of the held-out prompts. {_pair_means(pooled)} {ks_in_words(pooled)}"
    return (
        f"{replaced}. Where the head is active, log p(t) changes by {number(pooled.difference, 3)} more than "
        f"elsewhere: p = {small(pooled.p)} over {pooled.tested_pairs} pairs of {pooled.neurons} neurons, by permuting "
        f"the labels of a neuron's heads together over its clusters of documents. {_pair_means(pooled)}"
    )


def ks_in_words(pooled: PooledAblation) -> str:
    """The paper's test over pairs."""
    if pooled.ks is None:
        return "One class has no pairs, so there is no test."
    return f"Two-sample Kolmogorov-Smirnov over pairs: {number(pooled.ks, 3)}, p = {small(pooled.ks_p)}."


def ks_rows(report: Report) -> list[Ablation]:
    """The first KS_ROWS ablations that have the paper's test, in the order of the neurons; the tables hold all."""
    ablations = (done for part in report.neurons for head in part.heads for done in head.ablations)
    return list(islice((done for done in ablations if done.ks_p is not None), KS_ROWS))


def ks_pooled(report: Report) -> str:
    """The paper's test over pairs, where it is not the result itself."""
    pooled = report.pooled_ablation
    return "" if pooled is None or pooled.p is None else ks_in_words(pooled)


def ks_appendix(report: Report) -> list[str]:
    """The section in Markdown; nothing where nothing was ablated."""
    rows = [
        [str(done.neuron), " with ".join([str(done.head), *map(str, done.together)]), done.replacement, done.position,
         number(done.ks), small(done.ks_p)]
        for done in ks_rows(report)
    ]  # fmt: skip
    if not rows:
        return []
    pooled = [sentence] if (sentence := ks_pooled(report)) else []
    return [f"## {KS_TITLE}", KS_ABOUT, *pooled, table(["neuron", "head", "by", "at", "KS", "p"], rows)]


def _pair_means(pooled: PooledAblation) -> str:
    return (
        f"Each pair counts as its mean Δp(t), after − before: {_class(pooled.active)} where the head is active, "
        f"{_class(pooled.inactive)} where it is not."
    )


def _class(means: Sequence[float]) -> str:
    if not means:
        return "no pair"
    return f"mean {number(fmean(means), 4)}, median {number(median(means), 4)} over {len(means)} pairs"


def pooled_section(report: Report) -> list[str]:
    """The section in Markdown; nothing where no pairs were pooled."""
    return [] if report.pooled_ablation is None else [f"## {TITLE}", pooled_in_words(report.pooled_ablation)]
