"""What people's answers come to: their own E, their agreement with the judges and one another, ratings beside E."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Literal

from headtorch.core.analysis.consistency import RankAgreement, rank_agreement
from headtorch.core.analysis.ratings import Agreement, cohens_kappa
from headtorch.core.analysis.score import Counts
from headtorch.core.analysis.score_summary import mean_interval, neuron_means
from headtorch.core.analysis.statistics import balanced_accuracy, balanced_accuracy_interval
from headtorch.core.records import HeadId, Interval, NeuronId, Record, Verdict
from headtorch.core.study.ratings import AnyAnswer, ExplanationRated, PromptJudged, digest
from headtorch.core.study.state import ExplainedHead, StudyState


class HumanScore(Record, frozen=True, kw_only=True):
    """One person's E = (TPR + TNR)/2 of one explanation, beside the judge's. "Cannot say" counts as wrong."""

    rater: str
    neuron: NeuronId
    head: HeadId
    explainer: str
    n_active: int
    n_inactive: int
    true_active: int
    true_inactive: int
    cannot_say: int
    e: float | None
    interval: Interval | None  # Wilson per rate, combined by MOVER
    judge_e: float | None  # of all prompts that the judge has judged
    rating: int | None


class Mean(Record, frozen=True, kw_only=True):
    """A mean over neurons, of the mean over each one's explained heads."""

    rater: str
    explainer: str
    heads: int
    neurons: int
    mean: float
    interval: Interval | None  # t over neurons; None with fewer than 8


class NamedAgreement(Record, frozen=True, kw_only=True):
    """Who agrees with whom, on the same prompts of the same explanations."""

    first: str
    second: str  # another person, or the judge: "rule", "llm:" and the model's name
    agreement: Agreement


class NamedRank(Record, frozen=True, kw_only=True):
    """Numbers of one person against others for the same explanations."""

    rater: str
    of: Literal["rating", "human E"] = "rating"
    against: str  # "E" of whoever judged, "E by" and the name of one of several judges, or "human E"
    agreement: RankAgreement


class RatingSummary(Record, frozen=True, kw_only=True):
    """All that `headtorch rate --summary` says."""

    format: int = 1
    answers: int  # that count
    void: int  # about words that no longer stand
    scores: list[HumanScore]
    mean_e: list[Mean]
    mean_rating: list[Mean]
    agreements: list[NamedAgreement]
    ranks: list[NamedRank]


def summarize(state: StudyState, answers: Sequence[AnyAnswer]) -> RatingSummary:
    """The summary of everybody's answers about the explanations that stand now."""
    valid = [answer for answer in answers if _stands(state, answer)]
    judged = [answer for answer in valid if isinstance(answer, PromptJudged)]
    rated = [answer for answer in valid if isinstance(answer, ExplanationRated)]
    raters = list(dict.fromkeys(answer.rater for answer in valid))
    seed = state.settings.seed if state.settings is not None else 0
    scores = _scores(state, judged, rated)
    return RatingSummary(
        answers=len(valid),
        void=len(answers) - len(valid),
        scores=scores,
        mean_e=_means([(one.rater, one.explainer, one.neuron, one.e) for one in scores if one.e is not None]),
        mean_rating=_means([(one.rater, one.explainer, one.neuron, float(one.rating)) for one in rated]),
        agreements=[*_with_judges(state, judged, seed), *_with_one_another(judged, raters, seed)],
        ranks=_ranks(state, scores, rated, raters),
    )


def _stands(state: StudyState, answer: AnyAnswer) -> bool:
    said = state.explanations.get(answer.key)
    activity = state.activity_of(answer.neuron, answer.head)
    if said is None or activity is None or digest(said.text) != answer.words:
        return False
    return not isinstance(answer, PromptJudged) or 0 <= answer.prompt < len(_labels(state, answer.key))


def _labels(state: StudyState, key: ExplainedHead) -> list[bool]:
    """The labels that explanations of this head are about: the last of its activities, as everywhere."""
    found = state.activity.get(key[0])
    of_head = [one for one in found.heads if one.head == key[1]] if found else []
    return of_head[-1].active if of_head else []


def _scores(state: StudyState, judged: Sequence[PromptJudged], rated: Sequence[ExplanationRated]) -> list[HumanScore]:
    ratings = {(one.rater, one.key): one.rating for one in rated}
    verdicts: dict[tuple[str, ExplainedHead], dict[int, Verdict]] = {}
    for answer in judged:
        verdicts.setdefault((answer.rater, answer.key), {})[answer.prompt] = answer.verdict
    return [_score(state, rater, key, verdicts.get((rater, key), {}), ratings.get((rater, key)))
            for rater, key in dict.fromkeys([*verdicts, *ratings])]  # fmt: skip


def _score(
    state: StudyState, rater: str, key: ExplainedHead, verdicts: dict[int, Verdict], rating: int | None
) -> HumanScore:
    labels = _labels(state, key)
    counts = Counts.of([labels[i] for i in verdicts], list(verdicts.values()))
    stored = state.scores.get(key)
    return HumanScore(
        rater=rater,
        neuron=key[0],
        head=key[1],
        explainer=key[2],
        n_active=counts.n_active,
        n_inactive=counts.n_inactive,
        true_active=counts.true_active,
        true_inactive=counts.true_inactive,
        cannot_say=sum(verdict is None for verdict in verdicts.values()),
        e=balanced_accuracy(*counts.table),
        interval=balanced_accuracy_interval(*counts.table),
        judge_e=stored.e if stored else None,
        rating=rating,
    )


def _means(values: Sequence[tuple[str, str, NeuronId, float]]) -> list[Mean]:
    means = []
    for rater, explainer in dict.fromkeys((rater, explainer) for rater, explainer, _, _ in values):
        numbers = [(value, neuron) for by, of, neuron, value in values if (by, of) == (rater, explainer)]
        by_neuron = neuron_means([value for value, _ in numbers], [neuron for _, neuron in numbers])
        means.append(
            Mean(
                rater=rater,
                explainer=explainer,
                heads=len(numbers),
                neurons=len(by_neuron),
                mean=float(by_neuron.mean()),
                interval=mean_interval(by_neuron),
            )
        )
    return means


Numbers = dict[ExplainedHead, float | None]
Pairs = dict[tuple[str, str], list[tuple[Verdict, Verdict, Hashable]]]


def _with_judges(state: StudyState, judged: Sequence[PromptJudged], seed: int) -> list[NamedAgreement]:
    """Every person with every judge; prompts of one head are a cluster."""
    pairs: Pairs = {}
    for answer in judged:
        judgement = state.judgements.get(answer.key)
        said = dict(zip(judgement.prompts, judgement.verdicts, strict=False)) if judgement else {}
        if judgement is not None and answer.prompt in said:
            found = pairs.setdefault((answer.rater, judgement.judge), [])
            found.append((answer.verdict, said[answer.prompt], (answer.neuron, answer.head)))
    return _agreements(pairs, seed)


def _with_one_another(judged: Sequence[PromptJudged], raters: Sequence[str], seed: int) -> list[NamedAgreement]:
    by_rater = {rater: {(one.key, one.prompt): one.verdict for one in judged if one.rater == rater} for rater in raters}
    pairs: Pairs = {}
    for first, second in combinations(raters, 2):
        shared = [question for question in by_rater[first] if question in by_rater[second]]
        if shared:
            pairs[first, second] = [(by_rater[first][one], by_rater[second][one], one[0][:2]) for one in shared]
    return _agreements(pairs, seed)


def _agreements(pairs: Pairs, seed: int) -> list[NamedAgreement]:
    found = []
    for (first, second), answers in pairs.items():
        ones, others, clusters = zip(*answers, strict=True)
        found.append(
            NamedAgreement(first=first, second=second, agreement=cohens_kappa(ones, others, clusters, seed=seed))
        )
    return found


def _ranks(
    state: StudyState, scores: Sequence[HumanScore], rated: Sequence[ExplanationRated], raters: Sequence[str]
) -> list[NamedRank]:
    found = []
    judged = _judged(state)
    for rater in raters:
        own = {(one.neuron, one.head, one.explainer): one.e for one in scores if one.rater == rater}
        ratings: Numbers = {one.key: float(one.rating) for one in rated if one.rater == rater}
        pairs: list[tuple[Literal["rating", "human E"], str, Numbers, Numbers]] = [
            *(("rating", name, ratings, others) for name, others in {**judged, "human E": own}.items()),
            *(("human E", name, own, others) for name, others in judged.items()),
        ]
        found += [
            NamedRank(rater=rater, of=of, against=name, agreement=rank_agreement(first, others))
            for of, name, first, others in pairs
            if any(one is not None for one in first.values())
        ]
    return found


def _judged(state: StudyState) -> dict[str, Numbers]:
    """The stored E: of all judges together, and of each where there are several."""
    by_judge: dict[str, Numbers] = {}
    for key, score in state.scores.items():
        if key in state.judgements:
            by_judge.setdefault(f"E by {state.judgements[key].judge}", {})[key] = score.e
    together: dict[str, Numbers] = {"E": {key: score.e for key, score in state.scores.items()}}
    return together | (by_judge if len(by_judge) > 1 else {})
