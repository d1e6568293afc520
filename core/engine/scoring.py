"""The stage that scores explanations: what a judge is shown of each head, and what its verdicts come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.attribution import Attribution, attribute_all
from headtorch.core.analysis.halves import near_copies
from headtorch.core.analysis.score import score_judgement
from headtorch.core.engine.comparing import compare
from headtorch.core.engine.explaining import unanswered
from headtorch.core.engine.method import RANDOM_PLACES, Method, method_of
from headtorch.core.engine.stages import baseline_arrays, headline
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, HeadJudged, HeadScored, HeadUnanswered
from headtorch.core.explain.cases import can_be_judged, case_of, unjudged
from headtorch.core.explain.protocol import Case, NoAnswer
from headtorch.core.records import Explanation, HeadActivity, HeadId, Judgement, NeuronId, Prompt
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

RANDOM_TOKENS = 32  # of each random place that the judge sees
SURROUNDINGS = 50  # tokens to either side in which copies are looked for

Labels = Mapping[tuple[NeuronId, HeadId], Sequence[bool]]  # whether a head is active at each random place


def score(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """E of every explanation on the scoring half; then q over all of them, and next-token against random neurons."""
    method = method_of(study.settings, workspace.llm)
    wanted = without_judgement(study.state, method, study.state.explainable())
    yield from workspace.llm.accounted(score_heads(study, workspace, method, wanted))
    yield from compare(study, method.explainer.name)


def without_judgement(state: StudyState, method: Method, heads: Sequence[HeadActivity]) -> list[HeadActivity]:
    """Those of the heads that are explained and that this judge has not judged as they are explained now."""
    name = method.explainer.name
    judged = {key for key, one in state.judgements.items() if one.judge == method.judge.name}
    return [
        one
        for one in heads
        if (one.neuron, one.head, name) in state.explanations and (one.neuron, one.head, name) not in judged
    ]


def score_heads(
    study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]
) -> Iterator[HeadJudged | HeadScored | HeadUnanswered]:
    """What the judge says of these heads' explanations, each followed by its score, in the order that it says so."""
    name = method.explainer.name
    said = {key: study.state.explanations[*key, name] for key in map(_key, heads)}
    cases = cases_of(study, workspace, method, heads, said, _labels(study, workspace, method, heads))
    labels = {_key(one): one for one in heads}
    asked = [case for case in cases if can_be_judged(case, labels[_key(case.explanation)])]
    for case in cases:
        if not can_be_judged(case, labels[_key(case.explanation)]):
            yield from _scored(study, unjudged(case, method.judge.name), labels)
    for done, judged in enumerate(method.judge.judge_all(asked), 1):
        if isinstance(judged, NoAnswer):
            yield unanswered(judged, name, "score")
        else:
            yield from _scored(study, judged, labels)
        workspace.watch.progress("score", done, len(asked), "heads")
        workspace.watch.checkpoint()


def _key(one: HeadActivity | Explanation) -> tuple[NeuronId, HeadId]:
    return one.neuron, one.head


def _scored(
    study: Study, judgement: Judgement, labels: Mapping[tuple[NeuronId, HeadId], HeadActivity]
) -> Iterator[HeadJudged | HeadScored]:
    activity = labels[judgement.neuron, judgement.head]
    yield HeadJudged(judgement=judgement)
    yield HeadScored(score=score_judgement(judgement, activity, seed=study.settings.seed))


def cases_of(
    study: Study,
    workspace: Workspace,
    method: Method,
    heads: Sequence[HeadActivity],
    said: Mapping[tuple[NeuronId, HeadId], Explanation],
    labels: Labels | None = None,
) -> list[Case]:
    """What the judge is shown of each head. Without `labels` the random places count as inactive: only for a plan."""
    texts = _random_texts(workspace, method.random_n)
    cases = []
    for neuron, group in groupby(heads, key=lambda one: one.neuron):
        activities = list(group)
        firing = activities[0].places == "firing"
        copies = {} if firing else _copies(study, workspace, neuron, activities)
        known = _explained(study, method.explainer.name, neuron) | {
            head: one for (of, head), one in said.items() if of == neuron
        }
        for activity in activities:
            workspace.watch.checkpoint()
            others = [other for head, other in known.items() if head != activity.head][: method.others]
            cases.append(
                case_of(
                    study.state.labelled_prompts(activity),
                    activity,
                    said[neuron, activity.head],
                    copies=() if firing else copies[len(activity.active)],
                    others=others,
                    random_texts=() if firing else texts,
                    random_active=_random_labels(activity, labels, len(texts)),
                    per_class=len(activity.active) if firing and not method.asks else study.settings.score_n,
                    control_n=method.control_n,
                )
            )
    return cases


def _copies(
    study: Study, workspace: Workspace, neuron: NeuronId, activities: Sequence[HeadActivity]
) -> dict[int, frozenset[int]]:
    """Near-copies among the neuron's prompts, by how many of them are labelled; a firing set holds none."""
    prompts = study.state.all_prompts(neuron)
    around = [_surroundings(workspace, prompt) for prompt in prompts]
    labelled = {len(one.active) for one in activities}  # with or without the prompts from lower bins
    return {n: near_copies(prompts[:n], around[:n]) for n in labelled}


def _random_labels(activity: HeadActivity, labels: Labels | None, count: int) -> Sequence[bool]:
    """Of the random places; none where the head is labelled on a firing set."""
    if activity.places == "firing":
        return ()
    return [False] * count if labels is None else labels[activity.neuron, activity.head]


def _explained(study: Study, explainer: str, neuron: NeuronId) -> dict[HeadId, Explanation]:
    """The explained heads of a neuron, in the order that they were found worth explaining."""
    heads = {one.head: None for one in study.state.activity[neuron].heads}
    said = study.state.explanations
    return {head: said[neuron, head, explainer] for head in heads if (neuron, head, explainer) in said}


def _surroundings(workspace: Workspace, prompt: Prompt) -> list[int]:
    ids = workspace.corpus.document_ids(prompt.document)
    return [int(t) for t in ids[max(0, prompt.position - SURROUNDINGS) : prompt.position + SURROUNDINGS + 1]]


def _random_rows(workspace: Workspace, count: int) -> list[list[int]]:
    return workspace.rows_at(workspace.index.random_positions("score"))[:RANDOM_PLACES][:count]


def _random_texts(workspace: Workspace, count: int) -> list[tuple[str, ...]]:
    first = workspace.model.facts.first_token is not None
    rows = _random_rows(workspace, count)
    return [tuple(workspace.model.token_texts(row[first:][-RANDOM_TOKENS:])) for row in rows]


def _labels(study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]) -> Labels:
    """For each head whether it is active for its neuron at the random places."""
    heads = [one for one in heads if one.places != "firing"]
    if not heads:
        return {}
    rows = _random_rows(workspace, method.random_n)
    by_neuron: dict[NeuronId, list[HeadActivity]] = {}
    for one in heads:
        by_neuron.setdefault(one.neuron, []).append(one)
    on_rows = attribute_all(workspace.model, rows, list(by_neuron), watch=workspace.watch)
    return {
        _key(one): active
        for (neuron, of_neuron), attribution in zip(by_neuron.items(), on_rows, strict=True)
        for one, active in _active(study, workspace, neuron, of_neuron, attribution)
    }


def _active(
    study: Study, workspace: Workspace, neuron: NeuronId, heads: Sequence[HeadActivity], attribution: Attribution
) -> Iterator[tuple[HeadActivity, list[bool]]]:
    judged_by = headline(study, attribution).astype(np.float64)
    mean, sd = baseline_arrays(study, workspace, neuron)
    for one in heads:
        active = active_heads(
            judged_by,
            mean,
            sd,
            rule=study.settings.activity,
            sign=study.state.neurons[neuron].sign,
            suppressing=one.suppressing,
        )[:, one.head.layer, one.head.index]
        yield one, [bool(label) for label in active]
