"""Studies side by side: what was asked otherwise, the scores, and the neurons that two studies of one model share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from headtorch.core.analysis.consistency import RankAgreement, RateDifference, rank_agreement, rate_difference
from headtorch.core.errors import StudyError
from headtorch.core.events import EffectsMeasured
from headtorch.core.records import HeadActivity, HeadId, Interval, NeuronId, Record, Score
from headtorch.core.settings import Settings
from headtorch.core.study.comparisons import Against, ExplainerScores, StudyScores, between_studies
from headtorch.core.study.rows import NeuronRow, neuron_row
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import SILENT, Watch


class Side(Record, frozen=True, kw_only=True):
    """One of the studies."""

    study: str
    model: str
    corpus: str
    model_fingerprint: str | None  # None: not opened yet
    corpus_fingerprint: str | None
    neurons: int  # next-token neurons
    random: int
    explained: int  # heads
    scored: int
    finished: bool


class SettingRow(Record, frozen=True):
    """A setting that is not the same in all studies, in their order."""

    name: str
    values: list[str]


class HeadPair(Record, frozen=True, kw_only=True):
    """A head of a shared neuron that is worth explaining in both studies."""

    head: HeadId
    suppressing: bool
    activity: RateDifference  # share of the strongest prompts on which it is active
    beta: tuple[float | None, float | None]
    mean_direct: tuple[float | None, float | None]
    e: tuple[float | None, float | None]  # by the explainer of the comparison
    intervals: tuple[Interval | None, Interval | None]


class SharedNeuron(Record, frozen=True, kw_only=True):
    """A neuron that two studies of one model have both attributed."""

    neuron: NeuronId
    token: str
    rows: tuple[NeuronRow | None, NeuronRow | None]  # the neuron in either study, its E by the explainer of the pair
    beta: RankAgreement  # over all heads that feed it
    mean_direct: RankAgreement
    effect: RankAgreement  # exact effects on the activation; n 0 where one was not measured, or by another replacement
    share: RankAgreement  # of the share of active prompts, over heads worth explaining in both
    heads: list[HeadPair]
    only_first: int  # heads worth explaining in the first study alone
    only_second: int


class Pair(Record, frozen=True, kw_only=True):
    """Two of the studies."""

    first: str
    second: str
    same_model: bool
    same_corpus: bool
    explainer: str | None  # whose E stands beside the heads: the first that both have
    neurons: list[SharedNeuron]


class SideBySide(Record, frozen=True, kw_only=True):
    """Everything that `headtorch compare` says."""

    format: int = 1
    studies: list[Side]
    settings: list[SettingRow]
    groups: list[ExplainerScores]
    comparisons: list[Against]
    pairs: list[Pair]


def open_studies(names: Sequence[str], watch: Watch = SILENT) -> list[Study]:
    """The studies of these names or folders, for reading. Raises StudyError, and Interrupted where the watch does."""
    found = []
    for at, name in enumerate(names):
        watch.checkpoint()
        watch.progress(name, at, len(names), "studies")
        found.append(Study.open(name))
    return found


def compare_studies(studies: Sequence[Study], watch: Watch = SILENT) -> SideBySide:
    """Two or more studies side by side.

    Raises StudyError for fewer, and for a study named twice; Interrupted where the watch does.
    """
    folders = [study.folder.resolve() for study in studies]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise StudyError("A comparison needs two or more studies: name each once.")
    names = _names(studies)
    scores = [StudyScores(name, study.state) for name, study in zip(names, studies, strict=True)]
    pairs = []
    both = list(combinations(scores, 2))
    for at, (one, other) in enumerate(both):
        watch.checkpoint()
        watch.progress(f"{one.name} and {other.name}", at, len(both), "pairs")
        pairs.append(compare_pair(one, other))
    return SideBySide(
        studies=[_side(name, study) for name, study in zip(names, studies, strict=True)],
        settings=differing_settings([study.settings for study in studies]),
        groups=[group for one in scores for group in one.groups()],
        comparisons=between_studies(scores),
        pairs=pairs,
    )


def _names(studies: Sequence[Study]) -> list[str]:
    """Their names; their folders where two of different places are called the same."""
    names = [study.name for study in studies]
    return names if len(set(names)) == len(names) else [str(study.folder) for study in studies]


def _side(name: str, study: Study) -> Side:
    state = study.state
    return Side(
        study=name,
        model=study.settings.model,
        corpus=study.settings.corpus,
        model_fingerprint=state.model.fingerprint if state.model else None,
        corpus_fingerprint=state.corpus.fingerprint if state.corpus else None,
        neurons=len(state.next_token_neurons()),
        random=len(state.random_neurons()),
        explained=len({key[:2] for key in state.explanations}),
        scored=sum(score.e is not None for score in state.scores.values()),
        finished=state.finished is not None,
    )


def differing_settings(settings: Sequence[Settings]) -> list[SettingRow]:
    """The settings that are not the same in all, each with every study's value."""
    rows = []
    for name in Settings.__struct_fields__:
        values = [getattr(one, name) for one in settings]
        if any(value != values[0] for value in values):
            rows.append(SettingRow(name, [_shown(value) for value in values]))
    return rows


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(repr(one) for one in value) or "none"
    return "none" if value is None else str(value)


def compare_pair(first: StudyScores, second: StudyScores) -> Pair:
    """What two studies share."""
    one, other = first.state, second.state
    same_model = one.model is not None and other.model is not None and one.model.fingerprint == other.model.fingerprint
    same_corpus = (
        one.corpus is not None and other.corpus is not None and one.corpus.fingerprint == other.corpus.fingerprint
    )
    explainer = next((name for name in first.explainers if name in second.explainers), None)
    shared = [neuron for neuron in one.attributed if neuron in other.attributed] if same_model else []
    return Pair(
        first=first.name,
        second=second.name,
        same_model=same_model,
        same_corpus=same_corpus,
        explainer=explainer,
        neurons=[_shared(one, other, neuron, explainer) for neuron in shared],
    )


def _shared(first: StudyState, second: StudyState, neuron: NeuronId, explainer: str | None) -> SharedNeuron:
    one, other = first.heads(neuron), second.heads(neuron)
    mine, theirs = _activities(first, neuron), _activities(second, neuron)
    both = [key for key in mine if key in theirs]
    rows = _row(first, neuron, explainer), _row(second, neuron, explainer)
    return SharedNeuron(
        neuron=neuron,
        token=next((row.token for row in rows if row is not None), ""),
        rows=rows,
        beta=rank_agreement(
            {head: row.beta for head, row in one.items()}, {head: row.beta for head, row in other.items()}
        ),
        mean_direct=rank_agreement(
            {head: row.mean_direct for head, row in one.items()}, {head: row.mean_direct for head, row in other.items()}
        ),
        effect=_effect_agreement(first.effects.get(neuron), second.effects.get(neuron)),
        share=rank_agreement(
            {key: _share(mine[key]) for key in both},
            {key: _share(theirs[key]) for key in both},
        ),
        heads=[_pair(first, second, mine[key], theirs[key], explainer) for key in both],
        only_first=len(mine) - len(both),
        only_second=len(theirs) - len(both),
    )


def _row(state: StudyState, neuron: NeuronId, explainer: str | None) -> NeuronRow | None:
    found = state.neurons.get(neuron) or state.visited.get(neuron)
    return neuron_row(state, found, explainer or "") if found else None


def _effect_agreement(first: EffectsMeasured | None, second: EffectsMeasured | None) -> RankAgreement:
    if first is None or second is None or (first.replacement, first.position) != (second.replacement, second.position):
        return rank_agreement({}, {})
    return rank_agreement(*({one.head: one.activation for one in event.heads} for event in (first, second)))


def _pair(
    first: StudyState, second: StudyState, mine: HeadActivity, theirs: HeadActivity, explainer: str | None
) -> HeadPair:
    neuron, head = mine.neuron, mine.head
    rows = first.heads(neuron).get(head), second.heads(neuron).get(head)
    scores = _score(first, mine, explainer), _score(second, theirs, explainer)
    return HeadPair(
        head=head,
        suppressing=mine.suppressing,
        activity=rate_difference(*_counts(mine), *_counts(theirs)),
        beta=(rows[0].beta if rows[0] else None, rows[1].beta if rows[1] else None),
        mean_direct=(rows[0].mean_direct if rows[0] else None, rows[1].mean_direct if rows[1] else None),
        e=(scores[0].e if scores[0] else None, scores[1].e if scores[1] else None),
        intervals=(scores[0].interval if scores[0] else None, scores[1].interval if scores[1] else None),
    )


def _score(state: StudyState, activity: HeadActivity, explainer: str | None) -> Score | None:
    """Of the direction that was explained: a head may be worth it as a supporting and as a suppressing one."""
    explained = state.activity_of(activity.neuron, activity.head)
    if explained is None or explained.suppressing != activity.suppressing:
        return None
    return state.scores.get((activity.neuron, activity.head, explainer or ""))


def _activities(state: StudyState, neuron: NeuronId) -> dict[tuple[HeadId, bool], HeadActivity]:
    found = state.activity.get(neuron)
    return {(one.head, one.suppressing): one for one in found.heads} if found else {}


def _counts(activity: HeadActivity) -> tuple[int, int]:
    """Active among the strongest prompts, and how many these are; those from lower bins follow them."""
    strongest = activity.active[: len(activity.active) - activity.lower]
    return sum(strongest), len(strongest)


def _share(activity: HeadActivity) -> float | None:
    active, n = _counts(activity)
    return active / n if n else None
