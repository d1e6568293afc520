"""The nouns of claims: what is learned on training text, tested on held-out text, and shown. Frozen records, no torch.

Shares are of the activation and signed: a head that takes 0.41 of a neuron's activation accounts for 41 % of it. An
effect e is what the neuron does minus what it does with the head replaced, at the firing position alone; over places it
is Σe / Σa, a ratio of sums.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headtorch.core.causes import Replacement
from headtorch.core.records import HeadId, Interval, NeuronId, Record

Split = Literal["train", "held_out"]
Label = Literal["attribution", "carries"]
CONTEXT_DRIVEN = 0.2  # context share from which a neuron's heads are studied
CARRIES = 0.2  # of the activation: from here on a head carries the neuron at a place


class Estimate(Record, frozen=True):
    """A number with its 95 % interval over clusters of documents; None where there are too few of them."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0


class LastToken(Record, frozen=True):
    """A token and the neuron's activation on it without attention: every head at its mean."""

    token_id: int
    token: str
    activation: float


class FiringSet(Record, frozen=True, kw_only=True):
    """Where a neuron fires in the surveyed part of the corpus, and the matched places where it is off.

    A neuron fires where s·a > `threshold`, its 97.5th percentile over the surveyed positions (s its sign). A matched
    place holds the same last token, in the same split, with s·a < `off_below`, its 70th percentile.
    """

    neuron: NeuronId
    sign: int
    threshold: float
    off_below: float
    surveyed: int  # positions
    train: int  # firing places used, by split
    held_out: int
    train_pairs: int
    held_out_pairs: int
    token_suffices: int  # firing places whose last token is never off: no matched place exists
    near_copies: int  # held-out places dropped as nearly equal to a training place
    documents: int  # clusters of near-duplicate documents among the firing places


class ContextShare(Record, frozen=True, kw_only=True):
    """What heads at p account for: C = 1 − Σa⁰ / Σa over the firing set, a⁰ with every head at p at its mean.

    `r2`: how well a line in a⁰ of the last token alone, fitted on the training split, predicts the activation on the
    held-out split.
    """

    neuron: NeuronId
    share: Estimate
    places: int
    r2: float | None
    last_tokens: list[LastToken] = msgspec.field(default_factory=list)  # strongest first

    @property
    def is_driven(self) -> bool:
        """Whether heads drive the neuron, so that there is something for claims about heads to explain."""
        return self.share.value >= CONTEXT_DRIVEN


class ClaimHead(Record, frozen=True, kw_only=True):
    """A head chosen for a neuron by its exact effect on the training places."""

    head: HeadId
    effect: float  # Σe / Σa over the training places
    suppressing: bool  # e < 0
    sparse: bool  # chosen because it carries the neuron at a few places, not for its sum
    label: Label  # what says whether it is active: its attribution, where that tells its effect, else "carries"
    label_effect_spearman: float | None  # of A(h) and e(h) over the training places
    active_share: float  # of the training places
    not_explained: str | None = None  # "too rare" or "always active"


class EditedToken(Record, frozen=True):
    """A token put in the place of another one, or in front of it, in a text."""

    index: int  # in the text's tokens
    token: str


class RewrittenText(Record, frozen=True, kw_only=True):
    """One held-out text, rewritten so that the rule no longer holds, and with the placebo edit. Tokens up to p."""

    document: int
    position: int
    tokens: list[str]
    edited: list[EditedToken]
    placebo: list[EditedToken]
    activation: float
    edited_activation: float
    placebo_activation: float | None


class Rewriting(Record, frozen=True, kw_only=True):
    """The causal test of a text claim: relative changes Σ(x′ − x)/Σx on held-out places where the rule holds.

    Tokens that make the rule hold are replaced (for rules of absence: inserted) by ones the model finds likely there;
    the placebo replaces other tokens at like distance, with the rule still true. `difference` = change − placebo.
    """

    kind: Literal["replace", "insert"] = "replace"
    pairs: int
    documents: int
    change: Estimate | None = None  # of the activation
    placebo: Estimate | None = None
    difference: Estimate | None = None
    effect_change: Estimate | None = None  # of e(h), for head claims
    effect_placebo: Estimate | None = None
    attribution_change: Estimate | None = None  # of A(h)
    attribution_placebo: Estimate | None = None
    not_testable: str | None = None  # why, where it could not be tested
    examples: list[RewrittenText] = msgspec.field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether the activation falls more than under the placebo, with an interval that excludes 0."""
        return self.difference is not None and self.difference.high is not None and self.difference.high < 0


class MatchedHead(Record, frozen=True, kw_only=True):
    """A head exchanged within held-out matched pairs.

    taken: T(h) = Σ(a_on − a_on[z_h ← off]) / Σ(a_on − a_off)
    restored: R(h) = Σ(a_off[z_h ← on] − a_off) / Σ(a_on − a_off)
    """

    head: HeadId
    taken: Estimate
    restored: Estimate
    p: float | None  # one-sided, taken > 0
    taken_holds: float | None = None  # T over the pairs whose firing place the rule calls on
    taken_elsewhere: float | None = None
    attends: float | None = None  # share of its attention on the tokens that the rule names, where it holds
    attributes: float | None = None  # share of its attribution on those tokens


class JointHeads(Record, frozen=True, kw_only=True):
    """The strongest heads exchanged together; `heads` is their number. All heads together take exactly 100 %."""

    heads: int
    taken: Estimate
    restored: Estimate


class ContextClaim(Record, frozen=True, kw_only=True):
    """After its tokens, the neuron fires where the rule holds: learned on matched pairs, tested on held-out ones."""

    neuron: NeuronId
    explainer: str
    text: str
    rule: str | None = None
    pairs: int  # held-out matched pairs
    documents: int  # clusters of documents among them
    true_firing: int  # firing places that the rule calls on
    true_off: int
    firing: int
    off: int
    e: float | None  # (TPR + TNR)/2 on held-out pairs; None: there is no rule, or no pair
    interval: Interval | None
    p: float | None  # one-sided, E > 0.5, clusters of documents as units
    auroc: float | None  # of the rule's degree
    auroc_ceiling: float | None  # of a kernel ridge on the text alone
    heads: list[MatchedHead] = msgspec.field(default_factory=list)  # strongest first
    joint: list[JointHeads] = msgspec.field(default_factory=list)
    eligible_heads: int = 0
    heads_for_80: int | None = None  # heads that together take 80 %
    rewriting: Rewriting | None = None


class HeadClaim(Record, frozen=True, kw_only=True):
    """Head h drives n where the rule holds: what is tested beside the score E of the same explanation."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    suppressing: bool
    label: Label
    label_effect_spearman: float | None
    tag: Literal["last token"] | None = None  # the rule is about the token at p alone, or only that token matters
    replacement: Replacement = "mean"
    n_holds: int  # held-out firing places where the rule holds, and where not
    n_elsewhere: int
    documents: int  # clusters of documents among them
    effect_holds: float | None  # Σe / Σa there, oriented as the contrast
    effect_elsewhere: float | None
    contrast: Estimate | None  # Δ, oriented: positive is the claimed direction, also for suppressing heads
    p: float | None  # one-sided, Δ > 0: wild cluster bootstrap, or shifted labels where that is larger
    within_token: Estimate | None = None  # Δ within groups of places that share the last token, pooled
    contrast_resample: Estimate | None = None  # Δ by resample ablation, for findings
    auroc_ceiling: float | None = None
    rewriting: Rewriting | None = None


ControlKind = Literal["same_neuron", "other_neuron", "shuffled"]


class ControlClaim(Record, frozen=True, kw_only=True):
    """A claim that should fail: another head's rule, another neuron's rule, or shuffled labels.

    Of a same neuron part may pass: heads of one neuron share contexts. `head` None: of a context claim.
    """

    kind: ControlKind
    neuron: NeuronId
    head: HeadId | None
    e: float | None
    e_low: float | None
    p_e: float | None
    contrast: float | None  # None: not of a head
    p_contrast: float | None
    about_context: bool | None = None  # Δ within groups of one last token is surely above 0; None: not of a head


ClaimKey = tuple[NeuronId, HeadId | None, str]  # None: a context claim; the last is the explainer
