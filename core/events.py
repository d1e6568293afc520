"""The stream: everything a study does, as frozen, typed events. One tagged union, one JSON line per event.

    durable   logged in events.jsonl, replayed on reopening; carry headline numbers and the names of artefacts
    live      shown and forgotten: progress, best prompts so far, device use

A member may gain fields that have a default, and the union may gain members: an older log then decodes as it is, and
unknown fields of a newer one are passed over. Any other change takes a new number in `headtorch.core.study.migrations`
and a step there that older logs are read through.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headtorch.core.causes import (
    Ablation,
    Agreement,
    Cooperation,
    EffectSummary,
    EstimateErrors,
    PooledAblation,
    Replacement,
    Spectrum,
    Where,
)
from headtorch.core.claims import ClaimHead, ContextClaim, ContextShare, ControlClaim, FiringSet, HeadClaim
from headtorch.core.records import (
    AdjustedP,
    Explanation,
    GroupMean,
    HeadActivity,
    HeadId,
    HeadSummary,
    Interval,
    Judgement,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
    Verdict,
)
from headtorch.core.settings import Settings

STAGES = (
    "discover",
    "scan",
    "trim",
    "validity",
    "attribute",
    "places",
    "heads",
    "contrast",
    "explain",
    "score",
    "claims",
    "effects",
    "ablate",
    "report",
)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Base of all events; in JSON the field "type" holds the class name."""


class DurableEvent(Event, frozen=True, kw_only=True):
    """Base of the events that are logged."""


class LiveEvent(Event, frozen=True, kw_only=True):
    """Base of the events that are shown and forgotten."""


class StudyOpened(DurableEvent, frozen=True, kw_only=True):
    """A process of headtorch `version` began to write; always the first line of a log."""

    settings: Settings
    version: str
    schema: int = 1  # of the lines that follow; see `headtorch.core.study.migrations`


class ModelOpened(DurableEvent, frozen=True, kw_only=True):
    facts: ModelFacts


class CorpusOpened(DurableEvent, frozen=True, kw_only=True):
    name: str
    fingerprint: str
    documents: int
    tokens: int
    clusters: int  # groups of near-duplicate documents
    explain_documents: int
    score_documents: int


class NeuronsFound(DurableEvent, frozen=True, kw_only=True):
    """The neurons of the study, in order; the members of the baseline have `random` set. Replaces an earlier list."""

    neurons: list[NextTokenNeuron]


class NeuronVisited(DurableEvent, frozen=True, kw_only=True):
    """A neuron looked at by name in a study that is about others; it takes no part in the study's scores and q."""

    neuron: NextTokenNeuron


class IndexReady(DurableEvent, frozen=True, kw_only=True):
    """Every activation of the layers is indexed, under the name `key`."""

    key: str
    windows: int
    tokens: int
    seconds: float
    shipped: bool = False  # it came with headtorch and was not made on this machine


class PromptsFound(DurableEvent, frozen=True, kw_only=True):
    """The trimmed prompts of a neuron, both halves. Later lists per prompt are in this order."""

    neuron: NeuronId
    prompts: list[Prompt]
    dropped_near_duplicates: int
    dropped_long: int = 0  # of as many tokens as the settings' limit, or more


class ValidityMeasured(DurableEvent, frozen=True, kw_only=True):
    validity: Validity


class HeadsAttributed(DurableEvent, frozen=True, kw_only=True):
    """Head attribution of a neuron on its prompts."""

    neuron: NeuronId
    artefact: str  # name of the arrays per prompt
    heads: list[HeadSummary]  # every eligible head
    top_heads: list[HeadId]  # strongest first, by the study's attribution
    max_error: float  # max over prompts of |Σ parts − pre-activation| / Σ|parts|


class HeadActivityFound(DurableEvent, frozen=True, kw_only=True):
    """On which prompts a neuron's heads are active. `heads` holds those worth explaining; the counts are of all.

    Among `heads` are always-active ones that prompts from lower activation bins gave a contrast (their `lower` > 0).
    """

    neuron: NeuronId
    heads: list[HeadActivity]
    eligible: int
    never_active: int
    always_active: int
    explainable: int  # active on 25-75 % of the explaining half
    lower: list[Prompt] = []  # from lower activation bins, looked at where a head is always active; both halves


class FiringPlacesFound(DurableEvent, frozen=True, kw_only=True):
    """A neuron's firing places and matched places; the artefact is that of `headtorch.core.study.claim_places`."""

    firing: FiringSet
    artefact: str


class ContextShareMeasured(DurableEvent, frozen=True, kw_only=True):
    share: ContextShare


class ClaimHeadsChosen(DurableEvent, frozen=True, kw_only=True):
    """The heads of a neuron that claims are about, chosen by exact effect on training places: the family of its tests.

    The artefact holds, over the firing places in their order, `attribution` and `effect` [place, head], the labels
    `active` [place, head], and Ā(h), sd(h) `baseline_mean`, `baseline_sd` [head]; `means` names the artefact with the
    mean head outputs that stand in for heads, [layer, head, d_head].
    """

    neuron: NeuronId
    heads: list[ClaimHead]
    replacement: Replacement
    artefact: str
    means: str
    eligible: int
    estimate_spearman: float | None  # of attribution patching and exact effects, over the candidate heads


class ContextClaimTested(DurableEvent, frozen=True, kw_only=True):
    """The artefact holds `holds` [place], over all places of the neuron in their order."""

    claim: ContextClaim
    artefact: str | None = None


class HeadClaimTested(DurableEvent, frozen=True, kw_only=True):
    """The artefact holds `holds` [place], over the firing places in their order."""

    claim: HeadClaim
    artefact: str | None = None


class ControlsTested(DurableEvent, frozen=True, kw_only=True):
    """Claims of a neuron that should fail, tested like its own. Replaces what was said of the neuron before."""

    neuron: NeuronId
    controls: list[ControlClaim]


class PromptsShaded(DurableEvent, frozen=True, kw_only=True):
    """How the kept tokens of a neuron's strongest prompts light up, and what its heads looked up among them.

    The artefact's arrays are those of `headtorch.core.study.shading`.
    """

    neuron: NeuronId
    artefact: str


class HeadExplained(DurableEvent, frozen=True, kw_only=True):
    explanation: Explanation


class HeadJudged(DurableEvent, frozen=True, kw_only=True):
    """What the judge said; the score that follows is computed from it, and can be again."""

    judgement: Judgement


class HeadUnanswered(DurableEvent, frozen=True, kw_only=True):
    """A language model could not be had for this head, for the reason given; the next run asks again."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    step: Literal["explain", "score"]
    reason: str
    unanswered: int = 1  # calls without an answer
    calls: int = 1  # of so many


class CallsMade(DurableEvent, frozen=True, kw_only=True):
    """What a stage asked of a language model; tokens as the endpoint counted them."""

    model: str
    base_url: str
    calls: int  # answered by the endpoint
    cached: int  # answered from the cache, at no cost
    unanswered: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # in US dollars; None: the model's price is unknown
    counted: bool = True  # False: the endpoint counted nothing in some answers, whose tokens are estimates


class HeadScored(DurableEvent, frozen=True, kw_only=True):
    score: Score


class ScoresAdjusted(DurableEvent, frozen=True, kw_only=True):
    """Adjusted p values of a family of tests that was fixed beforehand."""

    method: str
    tests: int
    adjusted: list[AdjustedP]
    explainer: str


class HeadAblated(DurableEvent, frozen=True, kw_only=True):
    ablation: Ablation


class AblationsPooled(DurableEvent, frozen=True, kw_only=True):
    """The ablations of a study as one result. Replaces what was said before."""

    pooled: PooledAblation


class EffectsMeasured(DurableEvent, frozen=True, kw_only=True):
    """The exact effect of every head on a neuron. Replaces what was measured of the neuron before.

    The artefact holds `activation` and `pre_activation` [prompt, layer, head], nan where a head cannot feed.
    """

    neuron: NeuronId
    replacement: Replacement
    position: Where
    donors: int  # replacements that each effect is a mean over
    artefact: str
    prompts: list[int]  # indices into the neuron's prompts, in the order of the arrays
    heads: list[EffectSummary]  # every eligible head
    agreement: list[Agreement]  # of cheap numbers with these effects
    estimate_error: EstimateErrors | None = None  # of the gradient estimate


class AgreementMeasured(DurableEvent, frozen=True, kw_only=True):
    """How well cheap numbers tell exact effects, over all prompts of the study's next-token neurons."""

    replacement: Replacement
    position: Where
    neurons: int
    agreement: list[Agreement]


class CooperationMeasured(DurableEvent, frozen=True, kw_only=True):
    cooperation: Cooperation


class SpectrumMeasured(DurableEvent, frozen=True, kw_only=True):
    spectrum: Spectrum


class BaselineCompared(DurableEvent, frozen=True, kw_only=True):
    """E of the next-token neurons beside E of random neurons from the same layers."""

    explainer: str
    next_token: GroupMean
    random: GroupMean
    difference: float | None  # mean next-token − mean random
    interval: Interval | None  # of the difference


class Warned(DurableEvent, frozen=True, kw_only=True):
    text: str
    neuron: NeuronId | None = None


class StageStarted(DurableEvent, frozen=True, kw_only=True):
    """A stage, or a stage of one neuron, began; it is not done until it finishes."""

    stage: str
    neuron: NeuronId | None = None


class StageFinished(DurableEvent, frozen=True, kw_only=True):
    stage: str
    seconds: float
    neuron: NeuronId | None = None


class ReportWritten(DurableEvent, frozen=True, kw_only=True):
    paths: list[str]


class StudyFinished(DurableEvent, frozen=True, kw_only=True):
    seconds: float


class Progress(LiveEvent, frozen=True, kw_only=True):
    """`done` of `total` `unit`s of `stage`; `rate` in units a second."""

    stage: str
    done: int
    total: int
    unit: str
    rate: float | None = None
    seconds_left: float | None = None


class BestPrompts(LiveEvent, frozen=True, kw_only=True):
    """A neuron's best prompts so far, while the scan goes on."""

    neuron: NeuronId
    prompts: list[Prompt]


class ExplanationSoFar(LiveEvent, frozen=True, kw_only=True):
    """What a language model has said of a head until now; replaces what it had said before."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    text: str


class VerdictsSoFar(LiveEvent, frozen=True, kw_only=True):
    """The verdicts on a head's own prompts until now, by index in the order of `HeadActivity.active`."""

    neuron: NeuronId
    head: HeadId
    explainer: str
    prompts: list[int]
    verdicts: list[Verdict]
    total: int  # prompts that will be judged


class Spending(LiveEvent, frozen=True, kw_only=True):
    """What the present request has asked of language models until now."""

    calls: int
    cached: int
    unanswered: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # in US dollars; None: a price is unknown


class DeviceUse(LiveEvent, frozen=True, kw_only=True):
    """Memory in bytes; `busy` is a share."""

    device: str
    memory_used: int
    memory_total: int | None = None
    busy: float | None = None


AnyEvent: TypeAlias = (
    StudyOpened
    | ModelOpened
    | CorpusOpened
    | NeuronsFound
    | NeuronVisited
    | IndexReady
    | PromptsFound
    | ValidityMeasured
    | HeadsAttributed
    | HeadActivityFound
    | FiringPlacesFound
    | ContextShareMeasured
    | ClaimHeadsChosen
    | ContextClaimTested
    | HeadClaimTested
    | ControlsTested
    | PromptsShaded
    | HeadExplained
    | HeadJudged
    | HeadUnanswered
    | CallsMade
    | HeadScored
    | ScoresAdjusted
    | HeadAblated
    | AblationsPooled
    | EffectsMeasured
    | AgreementMeasured
    | CooperationMeasured
    | SpectrumMeasured
    | BaselineCompared
    | Warned
    | StageStarted
    | StageFinished
    | ReportWritten
    | StudyFinished
    | Progress
    | BestPrompts
    | ExplanationSoFar
    | VerdictsSoFar
    | Spending
    | DeviceUse
)


def is_durable(event: Event) -> bool:
    """Whether the event belongs in the log."""
    return isinstance(event, DurableEvent)
