"""The nouns of cause: what replacing heads, or setting a neuron, does. Frozen records beside `headtorch.core.records`.

An effect is what the model does as it is minus what it does with the head replaced; an ablation's changes (delta) are
after minus before.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headtorch.core.records import HeadId, Interval, NeuronId, Record
from headtorch.core.replacement_kinds import Replacement as Replacement

Where = Literal["last", "all"]  # at the firing position alone, or at every position of the row


class AblationGroup(Record, frozen=True, kw_only=True):
    """Means over the active or the inactive prompts, after minus before. None where the group is empty."""

    n: int
    delta_log_p: float | None
    delta_p: float | None
    delta_logit: float | None
    delta_activation: float | None
    delta_rank: float | None = None  # positive: the token fell


class AblationPoints(Record, frozen=True):
    """Each prompt of an ablation, rounded for drawing."""

    active: list[bool]
    delta_log_p: list[float]
    delta_activation: list[float]


class ControlHead(Record, frozen=True, kw_only=True):
    """Other heads in the place of the ablated ones, whose outputs at p are as long; means of Δ log p."""

    heads: list[HeadId]  # one for each ablated head
    norm: float  # mean ‖o_h‖ at p, over the heads
    active: float | None  # over the prompts on which the ablated head is active
    inactive: float | None


class Mediation(Record, frozen=True, kw_only=True):
    """How much of what a head does to log p(t) goes through the neuron: total = through + around + interaction.

    Means over prompts, after minus before: `around` with the neuron held at its clean value, `through` with the head
    clean and the neuron set to what it is without it.
    """

    n: int
    total: float
    through: float
    around: float
    interaction: float
    total_interval: Interval | None  # bootstrap over clusters of documents; None for one cluster
    through_interval: Interval | None
    share: float | None  # mean through / mean total; None where the total may be 0
    share_interval: Interval | None


class SelfRepair(Record, frozen=True, kw_only=True):
    """What a head's change does in all, and with everything later frozen, up to the final norm's scale.

    Means over prompts, after minus before. The gap is |direct| − |total|; `repaired` is the share of prompts where it
    is positive.
    """

    n: int
    total_log_p: float
    direct_log_p: float
    gap_log_p: float
    repaired_log_p: float
    total_logit: float
    direct_logit: float
    gap_logit: float
    repaired_logit: float


class NeuronAblation(Record, frozen=True, kw_only=True):
    """What setting the neuron itself to a number at the firing position does, on the prompts of an ablation."""

    value: float
    active: AblationGroup
    inactive: AblationGroup


class Ablation(Record, frozen=True, kw_only=True):
    """What replacing a head, or several jointly, does to p(t) and to the neuron."""

    neuron: NeuronId
    head: HeadId  # its activity divides the prompts
    token_id: int
    replacement: Replacement
    position: Where
    active: AblationGroup
    inactive: AblationGroup
    ks: float | None  # two-sample Kolmogorov-Smirnov statistic of Δ log p, active against inactive
    ks_p: float | None
    lower: int = 0  # of the prompts, those from lower activation bins
    together: list[HeadId] = msgspec.field(default_factory=list)  # heads replaced with it
    donors: int = 1  # replacements that each change is a mean over
    p: float | None = None  # of "the label does not matter for Δ log p", labels permuted, clusters of documents as one
    q: float | None = None  # adjusted over the heads of the study ablated alone and alike; None: not read from a study
    norm: float | None = None  # mean ‖o_h‖ at p
    controls: list[ControlHead] = msgspec.field(default_factory=list)
    controlled_p: float | None = None  # the same p for Δ log p less the mean of the controls'
    points: AblationPoints | None = None
    mediation_active: Mediation | None = None
    mediation_inactive: Mediation | None = None
    repair_active: SelfRepair | None = None
    repair_inactive: SelfRepair | None = None
    silenced: NeuronAblation | None = None  # the neuron itself


class PooledAblation(Record, frozen=True, kw_only=True):
    """Ablations of pairs of a neuron and a head, pooled over a study.

    The study's result is `difference` with its `p`: labels permuted over clusters of documents, those of all heads of a
    neuron together. Beside it each pair as one number, its mean Δp(t), after minus before, in each class of prompts
    that it has, and the paper's test over these.
    """

    replacement: Replacement
    position: Where
    pairs: int
    active: list[float]  # over the prompts on which the pair's head is active
    inactive: list[float]
    ks: float | None  # two-sample Kolmogorov-Smirnov statistic, active against inactive; None: a class is empty
    ks_p: float | None
    neurons: int | None = None  # of the pairs that are in the permutation test; None: it was not made
    tested_pairs: int | None = None  # those with prompts of both labels
    difference: float | None = None  # mean Δ log p(t) where the head is active − elsewhere
    p: float | None = None  # two-sided, of "the label does not matter"


class EffectMap(Record, frozen=True):
    """What each head does to a neuron: [layer][head], clean − replaced; None: the head cannot feed the neuron."""

    activation: list[list[float | None]]
    pre_activation: list[list[float | None]]  # gated: of the gate


class EstimateError(Record, frozen=True):
    """How far estimated effects are from the exact ones."""

    max: float | None  # the largest difference; None without heads
    rms_relative: float | None  # RMS of the difference / RMS of the exact effects; None where these are all 0


class EstimateErrors(Record, frozen=True):
    """Of the effects on both quantities."""

    activation: EstimateError
    pre_activation: EstimateError


class HeadEffects(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What every head really does to a neuron on one prompt: the head's output replaced, all behind it recomputed."""

    neuron: NeuronId
    token_ids: list[int]
    tokens: list[str]
    activation: float
    pre_activation: float  # gated: of the gate
    replacement: Replacement
    position: Where
    donors: int  # replacements that each effect is a mean over
    effects: EffectMap
    estimate: EffectMap | None = None  # from the gradient
    estimate_error: EstimateErrors | None = None


class EffectSummary(Record, frozen=True, kw_only=True):
    """What one head really does to one neuron: means over prompts, clean minus replaced."""

    head: HeadId
    activation: float
    pre_activation: float  # gated: of the gate
    estimated_activation: float | None = None  # from the gradient
    estimated_pre_activation: float | None = None


class Agreement(Record, frozen=True, kw_only=True):
    """How well a cheap number for each head tells its exact effect. None where nothing defines it.

    Prompts on which one of the two is the same for all heads have no rank correlation, and those with at most five
    heads no top five: `n_spearman` and `n_top` say how many are left of `n`.
    """

    neuron: NeuronId | None  # None: over all neurons
    estimate: Literal["dot", "direct", "removal", "beta", "gradient"]
    quantity: Literal["activation", "pre_activation"]
    n: int  # prompts
    spearman: float | None  # over the heads of a prompt, mean over prompts
    n_spearman: int
    top: float | None  # share of the estimate's five largest heads, in size, among the effect's, mean over prompts
    n_top: int
    pearson: float | None  # over all heads of all prompts
    pairs: int  # of a prompt and a head


Quantity = Literal["pre_activation", "activation", "log_p"]  # the first, of a gated neuron, is that of its gate
# untested: I is surely not 0, but there are too few random pairs of the same effects to compare it with
Reading = Literal["cooperation", "redundancy", "neither", "untested"]


class HeadEffect(Record, frozen=True, kw_only=True):
    """Mean effect of one head over prompts, clean minus replaced."""

    head: HeadId
    effect: float
    interval: Interval | None


class PairSynergy(Record, frozen=True, kw_only=True):
    """I(A, B) = e(A) + e(B) − e(A ∪ B) of two heads, a mean over prompts."""

    first: HeadId
    second: HeadId
    synergy: float  # I
    interval: Interval | None  # bootstrap over clusters of documents; None for one cluster
    joint: float  # e(A ∪ B)
    reading: Reading
    p: float | None  # two-sided, against random pairs of the same effects; None where too few match
    matched: int  # such pairs
    null: Interval | None  # the middle 95 % of theirs


class Synergy(Record, frozen=True, kw_only=True):
    """Heads taken away one by one and together, by one quantity; effects are clean minus replaced."""

    quantity: Quantity
    heads: list[HeadEffect]
    pairs: list[PairSynergy]
    joint: list[float]  # of the strongest 1, 2, 3, … heads together
    joint_interval: Interval | None  # of the last one
    sum: float  # of the heads' single effects


class ContextVariety(Record, frozen=True, kw_only=True):
    """Are different heads behind different top prompts, more than selection by the sum alone would make it?

    The null permutes every head's scores over random positions and selects the top again.
    """

    n: int  # random positions
    top: int  # of them, those with the largest sum
    variety: float  # mean 1 − cosine of what the heads give, above their means, on two of the top
    null_mean: float
    null: Interval  # the middle 95 % under the null
    p: float  # one-sided: as much variety or more
    split: int  # heads active on 25-75 % of the top
    split_null: Interval


class Cooperation(Record, frozen=True, kw_only=True):
    """Do a neuron's strongest heads cooperate?"""

    neuron: NeuronId
    token_id: int
    n: int  # prompts
    replacement: Replacement
    donors: int
    position: Literal["last"] = "last"
    synergies: list[Synergy]
    variety: ContextVariety | None = None


class SpectrumBin(Record, frozen=True, kw_only=True):
    """Prompts of one activation bin."""

    low: float | None  # edges; None: the strongest prompts of one sign, beside all bins
    high: float | None
    strongest: int = 0  # 1 or −1: of that sign
    n: int
    activation: float | None  # mean, in the full context


class SpectrumCurve(Record, frozen=True, kw_only=True):
    """A head's mean effect on the neuron in every bin, clean minus replaced; None in an empty bin."""

    head: HeadId
    activation: list[float | None]
    activation_interval: list[Interval | None]
    pre_activation: list[float | None]
    pre_activation_interval: list[Interval | None]


class Spectrum(Record, frozen=True, kw_only=True):
    """What heads do to a neuron over all its activations, not on its strongest prompts alone."""

    neuron: NeuronId
    replacement: Replacement
    position: Where
    donors: int
    bins: list[SpectrumBin]  # ascending; the strongest prompts last, and of a gated neuron the most negative first
    curves: list[SpectrumCurve]
