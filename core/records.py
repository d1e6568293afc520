"""The nouns of headtorch: frozen records that travel between analysis, study, terminal and report. No torch here.

Addresses are written L3.N412 (layer 3, neuron 412) and L2.H4 (layer 2, head 4), both counted from 0.
Arrays too big for a record (a score per head and prompt) live in artefacts; see `headtorch.core.study`.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from headtorch.core.errors import AddressError

Half = Literal["explain", "score"]
Kind = Literal["prediction", "suppression", "entropy", "ordinary"]


class Record(msgspec.Struct, frozen=True):
    """Base of all records: immutable, comparable, JSON through msgspec."""


class NeuronId(Record, frozen=True, order=True):
    """An MLP neuron: the `index`-th unit of layer `layer`."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}.N{self.index}"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Read "L3.N412"; raises AddressError for anything else."""
        found = re.fullmatch(r"[Ll](\d{1,6})\.?[Nn](\d{1,9})", text.strip())
        if not found:
            raise AddressError(f"{text!r} is not the address of a neuron; write it like L3.N412.")
        return cls(int(found[1]), int(found[2]))


class HeadId(Record, frozen=True, order=True):
    """An attention head: the `index`-th head of layer `layer`."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.index}"

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Read "L2.H4"; raises AddressError for anything else."""
        found = re.fullmatch(r"[Ll](\d{1,6})\.?[Hh](\d{1,6})", text.strip())
        if not found:
            raise AddressError(f"{text!r} is not the address of a head; write it like L2.H4.")
        return cls(int(found[1]), int(found[2]))


class ModelFacts(Record, frozen=True, kw_only=True):
    """What a model is, as far as the method depends on it. Shown wherever numbers of the model are shown."""

    name: str
    family: str  # Hugging Face model_type
    revision: str | None
    fingerprint: str  # hash of the weights and the config
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int  # tokens of the tokenizer; padded rows of the unembedding are excluded
    context: int
    parallel: bool  # attention and MLP read the same residual stream: heads of the neuron's own layer do not feed it
    gated: bool  # the MLP is act(gate) · up: a neuron has two read directions
    activation: str
    norm: Literal["layer", "rms", "none"]  # the norm the MLP reads through; none: it reads the raw stream
    post_norm: bool  # a norm follows attention
    soft_cap: float | None  # of the final logits
    first_token: int | None  # put in front of every row; None for a tokenizer without one
    dtype: str
    device: str


class NextTokenNeuron(Record, frozen=True, kw_only=True):
    """A neuron and the token its output weights favour: congruence c = ⟨w_out, W_U[:, t]⟩ (centred, final gain)."""

    neuron: NeuronId
    token_id: int
    token: str
    congruence: float
    cosine: float
    z: float  # (c − mean over the vocabulary) / sd over the vocabulary
    rank: int  # rank of the token for this neuron, 0 is the top
    kind: Kind
    sign: int = 1  # −1: a gated neuron that promotes the token when it fires negatively
    glitch: bool = False  # the token's unembedding norm is an outlier
    random: bool = False  # a member of the random baseline


class Prompt(Record, frozen=True, kw_only=True):
    """A place in the corpus where a neuron fires, with the context that was kept.

    `token_ids` are the kept tokens from document position `start` to `position`, the first token of the model in
    front where it has one; `window_start` is the document position that the full context begins at.
    """

    neuron: NeuronId
    document: int
    title: str
    position: int
    start: int
    window_start: int
    token_ids: list[int]
    tokens: list[str]
    activation: float  # on the kept tokens
    full_activation: float  # in the full context
    kept_ratio: float  # activation / full_activation
    cluster: int
    half: Half
    long: bool  # more than 100 tokens were needed
    next_token_id: int | None  # the token that really follows; None at the end of a document
    next_token: str | None
    bin: int | None = None  # of the activation histogram, where it was drawn from a lower one; None: of the strongest

    @property
    def document_tokens(self) -> list[str]:
        """The kept tokens that come from the document, without the model's own first token."""
        return self.tokens[-(self.position - self.start + 1) :]


class Parts(Record, frozen=True, kw_only=True):
    """What a pre-activation is the sum of, at the firing position. Layers that cannot feed the neuron hold 0."""

    embed: float
    position: float  # 0 in a model without position embeddings
    heads: list[list[float | None]]  # [layer][head] direct attribution; None: the head cannot feed the neuron
    attention_bias: list[float]  # [layer] output and value biases of attention
    mlps: list[float]  # [layer]
    bias: float


class GatedParts(Record, frozen=True):
    """The two reads of a gated neuron."""

    gate: Parts
    up: Parts


class GatedHeads(Record, frozen=True):
    """[layer][head] for each read of a gated neuron."""

    gate: list[list[float | None]]
    up: list[list[float | None]]


class GatedNumber(Record, frozen=True):
    """A number for each read of a gated neuron."""

    gate: float
    up: float


class GatedSources(Record, frozen=True):
    """Per source token, for each read of a gated neuron."""

    gate: list[float]
    up: list[float]


class PromptAttribution(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Where a neuron's pre-activation on one prompt comes from.

    A gated neuron has `reads` instead of `parts`, and a gate and an up of every number that belongs to a read.
    """

    neuron: NeuronId
    token_ids: list[int]
    tokens: list[str]
    pre_activation: float | GatedNumber
    activation: float
    parts: Parts | None = None
    reads: GatedParts | None = None
    dot: list[list[float | None]] | GatedHeads  # ⟨o_h, w_in⟩, without the norm's scale
    sum: float | GatedNumber  # of all parts
    error: float | GatedNumber  # sum − pre-activation
    sources: dict[str, list[float] | GatedSources]  # "L2.H4": what each token gives to the head's attribution
    removal: list[list[float | None]]  # what taking the head's part away does to the activation, norm frozen
    beta: list[list[float | None]] | None = None  # the head's share of the neuron's variation on random positions


class UpstreamNeuron(Record, frozen=True):
    """An earlier neuron and what it gives to another neuron's pre-activation (gated: to its activation)."""

    neuron: NeuronId
    contribution: float


class Validity(Record, frozen=True, kw_only=True):
    """Does the neuron predict its token? Measured on the corpus."""

    neuron: NeuronId
    token_id: int
    n: int  # top prompts looked at
    next_share: float  # P(next = t | the neuron fires), over the top prompts of both halves
    base_rate: float  # P(next = t) in the corpus
    lift: float  # next_share / base_rate
    auroc: float | None  # of the activation for next = t, on random positions; None with one class only
    logit_attribution: float | None  # mean a·⟨w_out, W_U[:, t]⟩/σ_final at the top prompts; None with a post-norm
    ablation_log_p: float | None  # mean Δ log p(t) when the neuron is set to 0; negative: the neuron helps
    valid: bool  # next_share ≥ 0.5 and lift ≥ 20


class HeadActivity(Record, frozen=True, kw_only=True):
    """On which of a neuron's prompts a head is active, in the order of the neuron's prompts.

    For a head that is active on nearly all of them, the `lower` prompts from lower activation bins follow in `active`
    and count in the means.
    """

    neuron: NeuronId
    head: HeadId
    rule: Literal["baseline", "paper", "top-k", "share"]
    suppressing: bool  # the head lowers the neuron's pre-activation
    active: list[bool]
    explain_share: float  # share of the explaining half's strongest prompts on which it is active
    mean_active: float | None  # mean direct attribution
    mean_inactive: float | None
    lower: int = 0  # prompts from lower activation bins


class Explanation(Record, frozen=True, kw_only=True):
    """A claim about when a head is active for a neuron."""

    neuron: NeuronId
    head: HeadId
    explainer: str  # "rules", "me", or "llm:" and the model's name
    text: str
    rule: str | None = None  # machine-readable form, where the rule judges by itself
    train_balanced_accuracy: float | None = None  # on the explaining half: optimistic


Verdict = bool | None  # active, inactive, or an answer that is neither


class Judgement(Record, frozen=True, kw_only=True):
    """What a judge said of an explanation, prompt by prompt: with the labels, all that a score is computed from.

    `prompts` and `control_prompts` are indices in the order of `HeadActivity.active`; each list of verdicts is in the
    order of the list that it belongs to.
    """

    neuron: NeuronId
    head: HeadId
    explainer: str
    judge: str  # "rule", or "llm:" and the model's name
    prompts: list[int]
    verdicts: list[Verdict]
    control_prompts: list[int] = []  # the controls are judged on these: all of `prompts`, or some of either class
    others: list[list[Verdict]] = []  # explanations of other heads, each on `control_prompts`
    empty: list[Verdict] = []  # an empty explanation on `control_prompts`
    random_active: list[bool] = []  # random places of the corpus: whether the head is active there
    random_verdicts: list[Verdict] = []
    dropped: int = 0  # scoring prompts dropped as near-copies of explaining ones


class Interval(Record, frozen=True):
    """A 95 % confidence interval."""

    low: float
    high: float


class Control(Record, frozen=True, kw_only=True):
    """The same score for something that should do no better than chance."""

    name: str  # "other head", "empty", "shuffled"
    e: float | None
    n: int


class Score(Record, frozen=True, kw_only=True):
    """Head explanation score E = (TPR + TNR)/2 on unseen prompts, with what makes the number mean something."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    n_active: int
    n_inactive: int
    true_active: int  # judged active among the active
    true_inactive: int  # judged inactive among the inactive
    unusable: int  # judge's answers that were neither
    e: float | None  # None: not scorable, one class is empty
    interval: Interval | None  # Wilson per rate, combined by MOVER
    f1: float | None
    mcc: float | None
    p: float | None  # one-sided exact Fisher
    q: float | None  # Benjamini-Yekutieli over the heads fixed beforehand
    random_text_precision: float | None  # of the rule's "active" calls on random corpus text
    controls: list[Control]
    dropped: int  # scoring prompts dropped as near-copies of explaining ones
    wrong_active: list[int]  # indices, in the order of `HeadActivity.active`, of the prompts judged wrongly
    wrong_inactive: list[int]
    lower: int = 0  # of the prompts scored on, those from lower activation bins


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
    replacement: Literal["resample", "mean", "zero", "double"]
    position: Literal["last", "all"]
    active: AblationGroup
    inactive: AblationGroup
    ks: float | None  # two-sample Kolmogorov-Smirnov statistic of Δ log p, active against inactive
    ks_p: float | None
    lower: int = 0  # of the prompts, those from lower activation bins
    together: list[HeadId] = []  # heads replaced with it
    donors: int = 1  # replacements that each change is a mean over
    p: float | None = None  # of "the label does not matter for Δ log p", labels permuted, clusters of documents as one
    norm: float | None = None  # mean ‖o_h‖ at p
    controls: list[ControlHead] = []
    controlled_p: float | None = None  # the same p for Δ log p less the mean of the controls'
    points: AblationPoints | None = None
    mediation_active: Mediation | None = None
    mediation_inactive: Mediation | None = None
    repair_active: SelfRepair | None = None
    repair_inactive: SelfRepair | None = None
    silenced: NeuronAblation | None = None  # the neuron itself


class PlannedCalls(Record, frozen=True, kw_only=True):
    """Calls to one model, and what they would cost; tokens are estimates."""

    model: str
    base_url: str
    calls: int  # not in the cache
    cached: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # in US dollars; None: the price is unknown


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
    replacement: Literal["resample", "mean", "zero", "double"]
    position: Literal["last", "all"]
    donors: int  # replacements that each effect is a mean over
    effects: EffectMap
    estimate: EffectMap | None = None  # from the gradient
    estimate_error: EstimateErrors | None = None


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
    replacement: Literal["resample", "mean", "zero", "double"]
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
    replacement: Literal["resample", "mean", "zero", "double"]
    position: Literal["last", "all"]
    donors: int
    bins: list[SpectrumBin]  # ascending; the strongest prompts last, and of a gated neuron the most negative first
    curves: list[SpectrumCurve]
