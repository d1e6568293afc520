"""StudyState: what a study knows, as the fold of its events. Everything shown or reported is read from here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headtorch.core.causes import Ablation, Cooperation, PooledAblation, Spectrum
from headtorch.core.claims import ContextClaim, ContextShare, ControlClaim, HeadClaim
from headtorch.core.events import (
    AblationsPooled,
    AgreementMeasured,
    AnyEvent,
    BaselineCompared,
    CallsMade,
    ClaimHeadsChosen,
    ContextClaimTested,
    ContextShareMeasured,
    ControlsTested,
    CooperationMeasured,
    CorpusOpened,
    EffectsMeasured,
    FiringPlacesFound,
    HeadAblated,
    HeadActivityFound,
    HeadClaimTested,
    HeadExplained,
    HeadJudged,
    HeadsAttributed,
    HeadScored,
    HeadUnanswered,
    IndexReady,
    ModelOpened,
    NeuronsFound,
    NeuronVisited,
    PromptsFound,
    PromptsShaded,
    ReportWritten,
    ScoresAdjusted,
    SpectrumMeasured,
    StageFinished,
    StageStarted,
    StudyFinished,
    StudyOpened,
    ValidityMeasured,
    Warned,
)
from headtorch.core.records import (
    Explanation,
    HeadActivity,
    HeadId,
    HeadSummary,
    Judgement,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
)
from headtorch.core.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
ExplainedHead = tuple[NeuronId, HeadId, str]  # the last is the explainer
ClaimKey = tuple[NeuronId, HeadId | None, str]  # None: a context claim
AblatedHead = tuple[NeuronId, HeadId, str, str, tuple[HeadId, ...]]  # replacement, position, heads replaced with it
StageOf = tuple[str, NeuronId | None]


@dataclass
class StudyState:
    """The fold of a study's durable events. The same event again replaces what the first said; only calls add up."""

    settings: Settings | None = None
    version: str | None = None  # of the headtorch that wrote last
    schema: int | None = None  # of the lines that it wrote
    model: ModelFacts | None = None
    corpus: CorpusOpened | None = None
    neurons: dict[NeuronId, NextTokenNeuron] = field(default_factory=dict)  # in the order found, baseline included
    visited: dict[NeuronId, NextTokenNeuron] = field(default_factory=dict)  # looked at beside the study's own
    index: IndexReady | None = None
    prompts: dict[NeuronId, list[Prompt]] = field(default_factory=dict)
    dropped: dict[NeuronId, int] = field(default_factory=dict)  # near-duplicate prompts
    dropped_long: dict[NeuronId, int] = field(default_factory=dict)  # prompts over the limit of the settings
    validity: dict[NeuronId, Validity] = field(default_factory=dict)
    attributed: dict[NeuronId, HeadsAttributed] = field(default_factory=dict)
    activity: dict[NeuronId, HeadActivityFound] = field(default_factory=dict)
    firing: dict[NeuronId, FiringPlacesFound] = field(default_factory=dict)
    context_share: dict[NeuronId, ContextShare] = field(default_factory=dict)
    claim_heads: dict[NeuronId, ClaimHeadsChosen] = field(default_factory=dict)
    context_claims: dict[tuple[NeuronId, str], ContextClaim] = field(default_factory=dict)  # by explainer
    head_claims: dict[ExplainedHead, HeadClaim] = field(default_factory=dict)
    claim_artefacts: dict[ClaimKey, str] = field(default_factory=dict)  # on which places the rule of a claim holds
    controls: dict[NeuronId, list[ControlClaim]] = field(default_factory=dict)
    shaded: dict[NeuronId, PromptsShaded] = field(default_factory=dict)
    explanations: dict[ExplainedHead, Explanation] = field(default_factory=dict)
    judgements: dict[ExplainedHead, Judgement] = field(default_factory=dict)
    scores: dict[ExplainedHead, Score] = field(default_factory=dict)
    unanswered: dict[ExplainedHead, HeadUnanswered] = field(default_factory=dict)  # until it is answered
    adjustments: dict[str, ScoresAdjusted] = field(default_factory=dict)  # by explainer
    ablations: dict[AblatedHead, Ablation] = field(default_factory=dict)
    pooled_ablation: PooledAblation | None = None
    effects: dict[NeuronId, EffectsMeasured] = field(default_factory=dict)
    agreement: AgreementMeasured | None = None  # over all next-token neurons
    cooperation: dict[NeuronId, Cooperation] = field(default_factory=dict)
    spectrum: dict[NeuronId, Spectrum] = field(default_factory=dict)
    baseline: dict[str, BaselineCompared] = field(default_factory=dict)  # by explainer
    calls: dict[tuple[str, str], CallsMade] = field(default_factory=dict)  # by endpoint and model, summed
    warnings: dict[tuple[str, NeuronId | None], Warned] = field(default_factory=dict)
    running: dict[StageOf, None] = field(default_factory=dict)  # started and not finished, in order
    done: dict[StageOf, float] = field(default_factory=dict)  # seconds, in order
    reports: list[str] = field(default_factory=list)
    finished: StudyFinished | None = None
    # reads an artefact; None: there are none to read
    load: Callable[[str], Mapping[str, NDArray[np.generic]]] | None = field(default=None, compare=False, repr=False)
    _firing_prompts: dict[NeuronId, list[Prompt]] = field(default_factory=dict, compare=False, repr=False)

    def apply(self, event: AnyEvent) -> StudyState:
        """Take one event in, in place; returns the state itself. Live events change nothing."""
        match event:
            case StudyOpened(settings=settings, version=version, schema=schema):
                self.settings, self.version, self.schema = settings, version, schema
            case ModelOpened(facts=facts):
                self.model = facts
            case CorpusOpened():
                self.corpus = event
            case NeuronsFound(neurons=neurons):
                self.neurons = {found.neuron: found for found in neurons}
            case NeuronVisited(neuron=found):
                self.visited[found.neuron] = found
            case IndexReady():
                self.index = event
            case PromptsFound(neuron=neuron, prompts=prompts):
                self.prompts[neuron], self.dropped[neuron] = prompts, event.dropped_near_duplicates
                self.dropped_long[neuron] = event.dropped_long
            case ValidityMeasured(validity=validity):
                self.validity[validity.neuron] = validity
            case HeadsAttributed(neuron=neuron):
                self.attributed[neuron] = event
            case HeadActivityFound(neuron=neuron):
                self.activity[neuron] = event
            case FiringPlacesFound(firing=firing):
                self.firing[firing.neuron] = event
                self._firing_prompts.pop(firing.neuron, None)
            case ContextShareMeasured(share=share):
                self.context_share[share.neuron] = share
            case ClaimHeadsChosen(neuron=neuron):
                self.claim_heads[neuron] = event
            case ContextClaimTested(claim=claim):
                self.context_claims[claim.neuron, claim.explainer] = claim
                self._keep_holds((claim.neuron, None, claim.explainer), event.artefact)
            case HeadClaimTested(claim=claim):
                self.head_claims[claim.neuron, claim.head, claim.explainer] = claim
                self._keep_holds((claim.neuron, claim.head, claim.explainer), event.artefact)
            case ControlsTested(neuron=neuron, controls=controls):
                self.controls[neuron] = controls
            case PromptsShaded(neuron=neuron):
                self.shaded[neuron] = event
            case HeadExplained(explanation=said):
                self._explain(said)
            case HeadJudged(judgement=judgement):
                self._judge(judgement)
            case HeadUnanswered():
                self.unanswered[event.neuron, event.head, event.explainer] = event
            case HeadScored(score=score):
                self._score(score)
            case ScoresAdjusted():
                self._adjust(event)
            case HeadAblated(ablation=done):
                key = (done.neuron, done.head, done.replacement, done.position, tuple(done.together))
                self.ablations.pop(key, None)  # the newest comes last
                self.ablations[key] = done
            case AblationsPooled(pooled=pooled):
                self.pooled_ablation = pooled
            case EffectsMeasured(neuron=neuron):
                self.effects[neuron] = event
            case AgreementMeasured():
                self.agreement = event
            case CooperationMeasured(cooperation=measured):
                self.cooperation[measured.neuron] = measured
            case SpectrumMeasured(spectrum=curves):
                self.spectrum[curves.neuron] = curves
            case BaselineCompared(explainer=explainer):
                self.baseline[explainer] = event
            case CallsMade():
                self._pay(event)
            case Warned(text=text, neuron=about):
                self.warnings[text, about] = event
            case StageStarted(stage=stage, neuron=about):
                self.done.pop((stage, about), None)
                self.running[stage, about] = None
                self.finished = None
            case StageFinished(stage=stage, neuron=about, seconds=seconds):
                self.running.pop((stage, about), None)
                self.done[stage, about] = seconds
            case ReportWritten(paths=paths):
                self.reports = paths
            case StudyFinished():
                self.finished = event
        return self

    def _keep_holds(self, key: ClaimKey, artefact: str | None) -> None:
        self.claim_artefacts.pop(key, None)
        if artefact is not None:
            self.claim_artefacts[key] = artefact

    def _explain(self, said: Explanation) -> None:
        """Take an explanation in. Where it says something else than before, what was judged of that is void."""
        key = (said.neuron, said.head, said.explainer)
        before = self.explanations.pop(key, None)  # the newest comes last
        self.explanations[key] = said
        self.unanswered.pop(key, None)
        if before is not None and before != said:
            self.judgements.pop(key, None)
            self.scores.pop(key, None)
            self._void_claim(key)

    def _judge(self, judgement: Judgement) -> None:
        """Take a judgement in. A claim that was tested by other verdicts is void."""
        key = (judgement.neuron, judgement.head, judgement.explainer)
        before = self.judgements.get(key)
        self.judgements[key] = judgement
        if before is not None and before.verdicts != judgement.verdicts:
            self._void_claim(key)

    def _void_claim(self, key: ExplainedHead) -> None:
        self.head_claims.pop(key, None)
        self.claim_artefacts.pop(key, None)

    def _pay(self, made: CallsMade) -> None:
        before = self.calls.get((made.base_url, made.model))
        self.calls[made.base_url, made.model] = made if before is None else _sum(before, made)

    def _score(self, score: Score) -> None:
        """Take a score in; one that says again what it said before keeps its q."""
        key = (score.neuron, score.head, score.explainer)
        before = self.scores.get(key)
        if before is not None and score.q is None and before.p == score.p:
            score = msgspec.structs.replace(score, q=before.q)
        self.scores[key] = score
        self.unanswered.pop(key, None)

    def _adjust(self, event: ScoresAdjusted) -> None:
        self.adjustments[event.explainer] = event
        for entry in event.adjusted:
            key = (entry.neuron, entry.head, entry.explainer)
            if key in self.scores:
                self.scores[key] = msgspec.structs.replace(self.scores[key], q=entry.q)

    def is_done(self, stage: str, neuron: NeuronId | None = None) -> bool:
        """Whether the stage (of that neuron) has finished, so that a resumed run can pass over it."""
        return (stage, neuron) in self.done

    def next_token_neurons(self) -> list[NextTokenNeuron]:
        """The neurons found, in order, without the random baseline."""
        return [found for found in self.neurons.values() if not found.random]

    def random_neurons(self) -> list[NextTokenNeuron]:
        """The random baseline, in order."""
        return [found for found in self.neurons.values() if found.random]

    def own(self, found: Mapping[NeuronId, T]) -> dict[NeuronId, T]:
        """What was found of the study's own neurons, without those that were only looked at."""
        return {neuron: one for neuron, one in found.items() if neuron in self.neurons}

    def heads(self, neuron: NeuronId) -> dict[HeadId, HeadSummary]:
        """The attributed heads of a neuron: the strongest first as the attribution ranked them, then the others."""
        event = self.attributed.get(neuron)
        if event is None:
            return {}
        by_head = {summary.head: summary for summary in event.heads}
        ranked = [head for head in event.top_heads if head in by_head]
        return {head: by_head[head] for head in [*ranked, *by_head]}

    def mean_headlines(self, neuron: NeuronId) -> dict[HeadId, float]:
        """By head, the mean over prompts of what heads are judged and ranked by: dot, or of gated neurons the removal.

        Else A(h), as in studies whose summaries know no other number.
        """
        gated = self.model is not None and self.model.gated
        by_dot = self.settings is not None and self.settings.attribution == "dot"

        def headline(summary: HeadSummary) -> float | None:
            return summary.mean_dot if by_dot else summary.mean_removal if gated else None

        means = {head: (headline(summary), summary.mean_direct) for head, summary in self.heads(neuron).items()}
        return {head: direct if chosen is None else chosen for head, (chosen, direct) in means.items()}

    def activity_of(self, neuron: NeuronId, head: HeadId) -> HeadActivity | None:
        """On which prompts the head is active, as `explainable` has it; None where it was not worth explaining."""
        event = self.activity.get(neuron)
        return {entry.head: entry for entry in event.heads}.get(head) if event else None

    def explainable(self) -> list[HeadActivity]:
        """The heads worth explaining of the study's own neurons, each once: the family of every explainer's tests.

        A head that is worth it both as a supporting and as a suppressing one stands there as the latter.
        """
        return [
            activity
            for found in self.own(self.activity).values()
            for activity in {one.head: one for one in found.heads}.values()
        ]

    def family_scores(self, explainer: str) -> list[Score]:
        """The explainer's scores of the heads worth explaining: what somebody explained beside them takes no part."""
        keys = [(one.neuron, one.head, explainer) for one in self.explainable()]
        return [self.scores[key] for key in keys if key in self.scores]

    def explainers(self) -> list[str]:
        """Whoever explained heads, or was asked to, in the order of their first words that still stand."""
        names = [explainer for _, _, explainer in [*self.explanations, *self.unanswered]]
        return list(dict.fromkeys(names))

    def all_prompts(self, neuron: NeuronId) -> list[Prompt]:
        """The neuron's strongest prompts, then those from lower activation bins."""
        contrast = self.activity.get(neuron)
        return [*self.prompts.get(neuron, []), *(contrast.lower if contrast else [])]

    def labelled_prompts(self, activity: HeadActivity) -> list[Prompt]:
        """The prompts that `activity.active` labels: the neuron's, then those from lower bins where it counts them."""
        if activity.places == "firing":
            return self.firing_prompts(activity.neuron)
        own = self.prompts[activity.neuron]
        return [*own, *self.activity[activity.neuron].lower] if activity.lower else own

    def firing_prompts(self, neuron: NeuronId) -> list[Prompt]:
        """The neuron's firing places as prompts, training split first; none where there is no artefact to read."""
        if neuron not in self._firing_prompts and self.load is not None and neuron in self.firing:
            from headtorch.core.study.claim_places import ClaimPlaces

            event = self.firing[neuron]
            self._firing_prompts[neuron] = ClaimPlaces.of(self.load(event.artefact)).prompts(neuron)
        return self._firing_prompts.get(neuron, [])

    def explanations_of(self, neuron: NeuronId) -> list[Explanation]:
        """In the order given."""
        return [said for said in self.explanations.values() if said.neuron == neuron]

    def scores_of(self, neuron: NeuronId) -> list[Score]:
        """Scorable or not, in the order given."""
        return [score for score in self.scores.values() if score.neuron == neuron]

    def ablations_of(self, neuron: NeuronId, head: HeadId | None = None) -> list[Ablation]:
        """Of one head, or of all that were ablated, with their q."""
        return [done for done in self.adjusted_ablations() if done.neuron == neuron and head in (None, done.head)]

    def adjusted_ablations(self) -> list[Ablation]:
        """All ablations, in the order made, with q: see `ablation_tests`."""
        from headtorch.core.study.ablation_tests import with_adjusted_p

        return with_adjusted_p(list(self.ablations.values()), self.neurons)


def _sum(first: CallsMade, second: CallsMade) -> CallsMade:
    known = first.cost is not None and second.cost is not None
    return CallsMade(
        model=second.model,
        base_url=second.base_url,
        calls=first.calls + second.calls,
        cached=first.cached + second.cached,
        unanswered=first.unanswered + second.unanswered,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost=(first.cost or 0.0) + (second.cost or 0.0) if known else None,
        counted=first.counted and second.counted,
    )


def fold(events: Iterable[AnyEvent]) -> StudyState:
    """The state after all of the events."""
    state = StudyState()
    for event in events:
        state.apply(event)
    return state
