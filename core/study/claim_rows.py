"""Claims as rows: all that a terminal, a page or a file shows of one, with its q values.

The rows are the entries of `findings` and `candidates` in report.json. Shares are of the activation, 0.26 and not 26.
A claim is a finding where it has no reasons against it (METHOD 7).
"""

from __future__ import annotations

from typing import Literal

from headtorch.core.records import Record

CHANCE = 0.5  # of E


class MatchedHeadRow(Record, frozen=True, kw_only=True):
    """What one head takes of the difference within matched pairs, and what it restores."""

    head: str
    taken: float
    taken_low: float | None
    taken_high: float | None
    restored: float
    restored_low: float | None
    restored_high: float | None
    p: float | None
    q: float | None
    attends: float | None  # share of its attention on the tokens that the rule names
    attributes: float | None
    taken_holds: float | None
    taken_elsewhere: float | None


class JointRow(Record, frozen=True, kw_only=True):
    """What the strongest heads together take; `heads` is their number."""

    heads: int
    taken: float
    low: float | None
    high: float | None
    restored: float
    restored_low: float | None
    restored_high: float | None


class RewriteRow(Record, frozen=True, kw_only=True):
    """Relative changes of the activation under rewriting, and under the placebo; −0.9: it falls by 90 %."""

    kind: Literal["replace", "insert"]
    change: float
    low: float | None
    high: float | None
    placebo: float | None
    placebo_low: float | None
    placebo_high: float | None
    difference: float | None  # change − placebo
    difference_low: float | None
    difference_high: float | None
    effect_change: float | None  # of e(h), for head claims
    effect_placebo: float | None
    attribution_change: float | None  # of A(h)
    attribution_placebo: float | None
    pairs: int
    documents: int
    agrees: bool


class ContextRow(Record, frozen=True, kw_only=True, tag_field="kind", tag="context"):
    """A context claim: after its tokens, the neuron fires where the text says so."""

    neuron: str
    token: str
    random: bool
    text: str
    rule: str | None
    explainer: str
    context_share: float | None
    valid: bool | None  # None: not measured
    pairs: int
    documents: int
    e: float | None
    e_low: float | None
    e_high: float | None
    auroc: float | None
    auroc_ceiling: float | None
    p: float | None  # of E
    q: float | None
    rewrite: RewriteRow | None
    not_testable: str | None  # why rewriting could not test it
    heads: list[MatchedHeadRow]  # strongest first
    joint: list[JointRow]
    eligible_heads: int
    heads_for_80: int | None
    reasons: list[str]  # why it is not a finding

    @property
    def kind(self) -> Literal["context"]:
        """As in JSON."""
        return "context"

    @property
    def is_finding(self) -> bool:
        """Whether it passed every test."""
        return not self.reasons

    @property
    def strength(self) -> float:
        """(lower bound of E − 0.5) × lower bound of what five heads together take: never raw E."""
        five = next((one for one in self.joint if one.heads > 1), None)
        return _strength(self.e_low, five.low if five is not None else None)


class HeadClaimRow(Record, frozen=True, kw_only=True, tag_field="kind", tag="head"):
    """A head claim: the head drives the neuron where the text says so.

    Effects and contrast are oriented: positive is the claimed direction, also for a suppressing head.
    """

    neuron: str
    head: str
    token: str
    random: bool
    text: str
    rule: str | None
    explainer: str
    suppressing: bool
    tag: Literal["last token"] | None
    label: Literal["attribution", "carries"]
    label_effect_spearman: float | None
    context_share: float | None
    valid: bool | None
    replacement: str
    effect_holds: float | None
    effect_elsewhere: float | None
    contrast: float | None
    contrast_low: float | None
    contrast_high: float | None
    contrast_resample: float | None
    contrast_resample_low: float | None
    contrast_resample_high: float | None
    within_token: float | None
    within_token_low: float | None
    within_token_high: float | None
    n_holds: int
    n_elsewhere: int
    documents: int
    p: float | None  # of the contrast
    q: float | None
    e: float | None
    e_low: float | None
    e_high: float | None
    p_e: float | None
    q_e: float | None
    n_active: int
    n_inactive: int
    auroc: float | None  # of the judge's degree or probability, where it has one
    auroc_ceiling: float | None
    rewrite: RewriteRow | None
    not_testable: str | None
    delta_log_p: float | None  # of the token where the head is active, head ablated
    raises_p: bool  # an excitatory head whose ablation raises p(t)
    reasons: list[str]

    @property
    def kind(self) -> Literal["head"]:
        """As in JSON."""
        return "head"

    @property
    def is_finding(self) -> bool:
        """Whether it passed every test."""
        return not self.reasons

    @property
    def strength(self) -> float:
        """(lower bound of E − 0.5) × lower bound of the effect contrast: never raw E."""
        return _strength(self.e_low, self.contrast_low)


ClaimRow = ContextRow | HeadClaimRow


def _strength(e_low: float | None, share_low: float | None) -> float:
    return max(0.0, (e_low or 0.0) - CHANCE) * max(0.0, share_low or 0.0)
