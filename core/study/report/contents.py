"""What a report says, before it is Markdown or JSON: one record, built from the state of a study alone."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from headtorch.core.causes import Ablation, PooledAblation
from headtorch.core.claims import ContextShare
from headtorch.core.events import BaselineCompared, CallsMade, CorpusOpened, HeadUnanswered, IndexReady, Warned
from headtorch.core.records import (
    Explanation,
    HeadId,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Record,
    Score,
)
from headtorch.core.settings import Settings
from headtorch.core.study.artefacts import Arrays
from headtorch.core.study.claim_rows import ClaimRow
from headtorch.core.study.comparisons import Against, ExplainerScores, StudyScores
from headtorch.core.study.notes import NoteBook
from headtorch.core.study.rating_summary import RatingSummary, summarize
from headtorch.core.study.ratings import AnyAnswer
from headtorch.core.study.report.cause import Cause, cause_of
from headtorch.core.study.report.cited import cited_places, cited_prompts, examples, head_map, strongest_first
from headtorch.core.study.report.claims import RewrittenClaim, claims_of, rewritten_claims
from headtorch.core.study.report.method import BIBTEX, LIMITS, PAPER, formulas, method_notes
from headtorch.core.study.report.parts import HeadPart, NeuronPart
from headtorch.core.study.rows import NeuronRow, summary_rows
from headtorch.core.study.state import StudyState
from headtorch.core.study.subset import notes_on, only
from headtorch.core.study.verdict import Controls, StudyVerdict
from headtorch.core.version import version

PROMPTS_SHOWN = 10  # a neuron
HEADS_SHOWN = 12  # a neuron, beside those explained
EXPLAINED_SHOWN = 20


class ScoredHead(Record, frozen=True, kw_only=True):
    """An explained head of a next-token neuron with its score: no finding, for its effect need not be where E is."""

    found: NextTokenNeuron
    explanation: Explanation
    score: Score
    suppressing: bool | None
    ablations: list[Ablation]


class Report(Record, frozen=True, kw_only=True):
    """Everything that the report files say."""

    format: int = 2
    study: str
    verdict: StudyVerdict
    findings: list[ClaimRow]  # claims that passed every test, the strongest neurons first
    candidates: list[ClaimRow]  # all other claims, with the reasons why they are no findings
    last_token: list[ClaimRow]  # claims about the token at p alone
    controls: Controls
    rewritten: list[RewrittenClaim]  # of findings, texts with the edits that tested them
    random_claims: list[ClaimRow]  # of the random baseline
    context_shares: list[ContextShare]
    settings: Settings
    versions: dict[str, str]  # of the packages that were installed when the report was written
    model: ModelFacts | None
    corpus: CorpusOpened | None
    explained: list[ScoredHead]  # the explained heads of the highest lower bound of E
    not_scorable: int  # explained heads of next-token neurons with one class only
    summary: list[NeuronRow]
    neurons: list[NeuronPart]
    baseline: list[BaselineCompared]
    groups: list[ExplainerScores]  # the scores of next-token and random neurons, by explainer
    explainers: list[Against]  # every two of them, on the same heads
    judges: dict[str, list[str]]  # by explainer
    calls: list[CallsMade]  # of language models, by model
    unanswered: list[HeadUnanswered]
    tests: dict[str, int]  # by explainer, the size of the family of the adjusted p values
    warnings: list[Warned]
    unfinished: list[str]  # stages that were begun and not finished
    seconds: dict[str, float]  # by stage, summed over neurons
    notes: dict[str, str]
    bookmarks: list[str]
    written_by: str | None = None  # the headtorch that wrote the study last
    index: IndexReady | None = None
    finished: float | None = None  # seconds that the last run took
    cause: Cause = Cause(effects=[], agreement=[], cooperation=[], spectra=[])
    pooled_ablation: PooledAblation | None = None  # of the paper's preset, over the whole study
    people: RatingSummary | None = None  # what people made of the explanations; None: nobody answered
    method: tuple[str, ...] = ()  # what the numbers mean
    limits: tuple[str, ...] = ()
    citation: str = ""  # of the method's paper, BibTeX
    chosen: int | None = None  # of the study's neurons, where the report is about some only; None: all


def build_report(
    name: str,
    settings: Settings,
    state: StudyState,
    book: NoteBook | None = None,
    load: Callable[[str], Arrays] | None = None,
    answers: Sequence[AnyAnswer] = (),
    neurons: Collection[NeuronId] | None = None,
) -> Report:
    """The report of a study called `name`; a study that is not finished gives what is known so far.

    load: gives an artefact's arrays, for prompts shaded token by token; without it they are not
    answers: of people who rated its explanations
    neurons: the report is about these alone; what compares scores with one another stays about the whole study, for
        neurons chosen by hand are no sample
    """
    book, whole, state = notes_on(book or NoteBook(), neurons), state, only(state, neurons)
    scores, claims = StudyScores(name, whole), claims_of(whole, neurons)
    scored = [
        score for found in state.next_token_neurons() for score in state.scores_of(found.neuron)
    ]  # the random baseline is compared, never told among them
    return Report(
        study=name,
        settings=settings,
        versions=_versions(),
        model=state.model,
        corpus=state.corpus,
        verdict=claims.verdict,
        findings=claims.findings,
        candidates=claims.candidates,
        last_token=claims.last_token,
        controls=claims.verdict.controls,
        rewritten=rewritten_claims(whole, claims.findings),
        random_claims=claims.random,
        context_shares=[*state.own(state.context_share).values()],
        explained=_explained(state, [score for score in scored if score.e is not None])[:EXPLAINED_SHOWN],
        not_scorable=sum(score.e is None for score in scored),
        summary=summary_rows(state),
        neurons=[_neuron_part(state, found, book, load) for found in state.neurons.values()],
        baseline=list(state.baseline.values()),
        groups=scores.groups(),
        explainers=scores.between_explainers(),
        judges=_judges(state),
        calls=list(state.calls.values()),
        unanswered=list(state.unanswered.values()),
        tests={explainer: one.tests for explainer, one in state.adjustments.items()},
        warnings=list(state.warnings.values()),
        unfinished=[f"{stage} {neuron or ''}".strip() for stage, neuron in state.running if stage != "report"],
        seconds=_seconds(state),
        notes=book.notes,
        bookmarks=list(book.bookmarks),
        written_by=state.version,
        index=state.index,
        finished=state.finished.seconds if state.finished else None,
        cause=cause_of(state),
        pooled_ablation=whole.pooled_ablation,
        people=summarize(whole, answers) if answers else None,
        method=_method(settings, claims.verdict.tested),
        limits=LIMITS,
        citation=BIBTEX,
        chosen=None if neurons is None else len(state.neurons),
    )


def other_notes(report: Report) -> list[str]:
    """The subjects of notes that stand neither with the study, nor with a neuron, nor with a bookmark."""
    told = {"study", *report.bookmarks, *(subject for part in report.neurons for subject in part.notes)}
    return [subject for subject in report.notes if subject not in told]


def _method(settings: Settings, tested: bool) -> tuple[str, ...]:
    told = (f"{formula}: {meaning}." for formula, meaning in formulas(settings, tested=tested))
    return (PAPER, *told, *method_notes(tested=tested))


def _explained(state: StudyState, scores: list[Score]) -> list[ScoredHead]:
    def strength(score: Score) -> tuple[float, float]:
        return (score.interval.low if score.interval else 0.0, score.e or 0.0)

    found = []
    for score in sorted(scores, key=strength, reverse=True):
        explanation = state.explanations.get((score.neuron, score.head, score.explainer))
        if explanation is None:
            continue
        activity = state.activity_of(score.neuron, score.head)
        found.append(
            ScoredHead(
                found=state.neurons[score.neuron],
                explanation=explanation,
                score=score,
                suppressing=activity.suppressing if activity else None,
                ablations=state.ablations_of(score.neuron, score.head),
            )
        )
    return found


def _neuron_part(
    state: StudyState, found: NextTokenNeuron, book: NoteBook, load: Callable[[str], Arrays] | None
) -> NeuronPart:
    neuron = found.neuron
    heads = [_head_part(state, neuron, head) for head in _heads_shown(state, neuron)]
    prompts = state.prompts.get(neuron, [])
    attributed, activity = state.attributed.get(neuron), state.activity.get(neuron)
    firing = state.firing.get(neuron)
    strongest = strongest_first(prompts)[:PROMPTS_SHOWN]
    return NeuronPart(
        found=found,
        validity=state.validity.get(neuron),
        prompts=[prompts[i] for i in strongest],
        prompts_in_all=len(prompts),
        near_duplicates_dropped=state.dropped.get(neuron, 0),
        long_dropped=state.dropped_long.get(neuron, 0),
        context_share=state.context_share.get(neuron),
        firing=firing.firing if firing else None,
        max_error=attributed.max_error if attributed else None,
        eligible_heads=len(attributed.heads) if attributed else 0,
        never_active=activity.never_active if activity else None,
        always_active=activity.always_active if activity else None,
        explainable=activity.explainable if activity else None,
        lower_prompts=len(activity.lower) if activity else 0,
        heads=heads,
        notes={subject: note for subject, note in book.notes.items() if subject.split(" ")[0] == str(neuron)},
        map=head_map(state, neuron),
        strongest=strongest,
        cited=cited_prompts(state, neuron, strongest, heads, load),
        cited_places=cited_places(state, neuron, heads),
    )


def _heads_shown(state: StudyState, neuron: NeuronId) -> list[HeadId]:
    heads, attributed = state.heads(neuron), state.attributed.get(neuron)
    top = attributed.top_heads if attributed else []
    means = state.mean_headlines(neuron)
    others = sorted((head for head in heads if head not in top), key=lambda head: -abs(means[head]))
    ranked = [*(head for head in top if head in heads), *others]
    explained = {said.head for said in state.explanations_of(neuron)}
    shown = [head for rank, head in enumerate(ranked) if rank < HEADS_SHOWN or head in explained]
    return [*shown, *sorted(explained.difference(ranked))]


def _head_part(state: StudyState, neuron: NeuronId, head: HeadId) -> HeadPart:
    activity = state.activity_of(neuron, head)
    random = state.neurons[neuron].random
    active, inactive = examples(state, activity) if activity is not None and not random else ([], [])
    return HeadPart(
        head=head,
        summary=state.heads(neuron).get(head),
        activity=activity,
        explanations=[said for said in state.explanations_of(neuron) if said.head == head],
        scores=[score for score in state.scores_of(neuron) if score.head == head],
        ablations=state.ablations_of(neuron, head),
        active_examples=active,
        inactive_examples=inactive,
    )


def _judges(state: StudyState) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for (_, _, explainer), judgement in state.judgements.items():
        names = found.setdefault(explainer, [])
        if judgement.judge not in names:
            names.append(judgement.judge)
    return found


def _seconds(state: StudyState) -> dict[str, float]:
    total: dict[str, float] = {}
    for (stage, _), seconds in state.done.items():
        total[stage] = total.get(stage, 0.0) + seconds
    return total


def _versions() -> dict[str, str]:
    found = {"headtorch": version(), "python": platform.python_version()}
    for package in ("torch", "transformers", "transformer_lens", "numpy"):
        try:
            found[package] = installed_version(package)
        except PackageNotFoundError:
            continue
    return found
