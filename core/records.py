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
    hardware: str = ""  # the name of the processor behind the device; "": not known


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


class HeadSummary(Record, frozen=True, kw_only=True):
    """What one head adds to one neuron, over the neuron's prompts. The values per prompt are in the artefact.

    A gated neuron's activation is a product κ·g·u, so there A(h) and β stand for the half rule's share of it,
    κ·(g_h u + g u_h)/2: additive, not an effect. Its baseline is of the removal, by which its heads are judged.
    """

    head: HeadId
    mean_direct: float  # mean over the prompts of A(h) = ⟨o_h, w_in⟩/σ, whatever heads are judged by
    mean_dot: float | None = None  # mean of ⟨o_h, w_in⟩
    mean_removal: float | None = None  # mean change of the activation when A(h) is taken away, norm frozen
    # on random positions Cov(A(h), pre)/Var(pre), gated: Cov(A(h), activation)/Var(activation); all parts sum to 1
    beta: float | None = None
    baseline_mean: float | None = None  # of A(h) on random positions; gated: of the removal
    baseline_sd: float | None = None
    prior: float | None = None  # ‖W_V W_O w_in‖ / ‖W_V W_O‖, from the weights alone


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
    valid: bool  # next_share ≥ 0.5, odds_ratio ≥ 20 and odds_low ≥ 5; of studies before there were odds: lift ≥ 20
    odds_ratio: float | None = None  # of next = t at the top prompts over the odds in the corpus
    odds_low: float | None = None  # 95 %; None: the token never occurs, or the study is older
    odds_high: float | None = None


class HeadActivity(Record, frozen=True, kw_only=True):
    """On which of a neuron's prompts a head is active, in the order of the neuron's prompts.

    With `places` "firing" these are the places of the neuron's firing set, in their order, not its max-activating
    examples. For a head that is active on nearly all of them, the `lower` prompts from lower activation bins follow in
    `active` and count in the means.
    """

    neuron: NeuronId
    head: HeadId
    rule: Literal["baseline", "paper", "top-k", "share", "carries"]
    suppressing: bool  # the head lowers the neuron's pre-activation
    active: list[bool]
    explain_share: float  # share of the explaining half's strongest prompts on which it is active
    mean_active: float | None  # mean direct attribution
    mean_inactive: float | None
    lower: int = 0  # prompts from lower activation bins
    places: Literal["prompts", "firing"] = "prompts"


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
    # Of `prompts`, how surely the head is active, where the judge says: P("active") of a language model, of a rule the
    # share of its terms that hold.
    probabilities: list[float | None] = []


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
    auroc: float | None = (
        None  # of the judge's degree or probability, over the prompts that have one; None: there is none
    )


class AdjustedP(Record, frozen=True, kw_only=True):
    """The adjusted p value of one score."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    q: float


class GroupMean(Record, frozen=True, kw_only=True):
    """Head explanation scores E of a group of neurons."""

    mean: float | None  # over neurons, of the mean over each one's heads; None: no scorable head
    median: float | None  # over heads
    interval: Interval | None  # of the mean, 95 %: t over neurons; None with fewer than 8
    heads: int
    neurons: int
    above_chance: int | None = None  # heads whose E has its lower bound above 0.5 and q < 0.05; None: not counted


class PlannedCalls(Record, frozen=True, kw_only=True):
    """Calls to one model, and what they would cost; tokens are estimates."""

    model: str
    base_url: str
    calls: int  # not in the cache
    cached: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # in US dollars; None: the price is unknown
