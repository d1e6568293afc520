"""One neuron at a time: the stages of a study on a neuron, or on a head of it, that somebody looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from headtorch.core.analysis.activity import active_heads, head_activities
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.engine import stages
from headtorch.core.engine.claims_stage import head_claim_tests
from headtorch.core.engine.comparing import compare_again
from headtorch.core.engine.explaining import explain_heads
from headtorch.core.engine.method import Method, method_of
from headtorch.core.engine.pipeline import STAGES
from headtorch.core.engine.planning import planned_questions
from headtorch.core.engine.protocol import Answer, CallsPlanned, ExplainHead, PlanCalls, VisitNeuron
from headtorch.core.engine.scoring import score_heads
from headtorch.core.engine.session import Session
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import ExplanationError, InputError
from headtorch.core.events import AnyEvent, HeadExplained, NeuronVisited
from headtorch.core.explain.llm.questions import texts_sent
from headtorch.core.records import HeadActivity, HeadId, NeuronId, NextTokenNeuron, Prompt
from headtorch.core.settings import Settings
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study


class OneNeuron(Study):
    """A study as its stages see it when they are to look at one neuron: nothing else has been found.

    Arrays go to the study itself; events do not, that is the caller's.
    """

    def __init__(self, study: Study, row: NextTokenNeuron) -> None:
        vars(self).update(vars(study))
        self.state = _only(study.state, row)


def _only(state: StudyState, row: NextTokenNeuron) -> StudyState:
    found = StudyState(settings=state.settings, model=state.model, corpus=state.corpus, index=state.index)
    found.neurons[row.neuron] = row
    found.load = state.load
    for name in ("prompts", "attributed", "activity", "validity", "firing", "claim_heads"):
        known: Mapping[NeuronId, object] = getattr(state, name)
        if row.neuron in known:
            getattr(found, name)[row.neuron] = known[row.neuron]
    return found


def visit_neuron(session: Session, request: VisitNeuron) -> Iterator[AnyEvent]:
    """What is not known yet of the neuron: its token, prompts, heads, their activity, validity."""
    yield from visit(session, request.neuron)


def visit(session: Session, neuron: NeuronId) -> Iterator[AnyEvent]:
    """Raises AddressError for a neuron outside the layers of the study, InputError while there is no index."""
    session.workspace.neurons([str(neuron)])
    session.need_index()
    study, state = session.study, session.study.state
    row = session.row_of(neuron)
    if neuron not in state.neurons and neuron not in state.visited:
        yield session.log(NeuronVisited(neuron=row))
    steps: dict[str, Mapping[NeuronId, object]] = {
        "trim": state.prompts,
        "attribute": state.attributed,
        "contrast": state.activity,
        "validity": state.validity,
    }
    for name, known in steps.items():
        if neuron not in known and (name == "trim" or state.prompts.get(neuron)):
            for event in STAGES[name](OneNeuron(study, row), session.workspace):
                yield session.log(event)


def explain_head(session: Session, request: ExplainHead) -> Iterator[AnyEvent]:
    """Explain one head, score what is said on unseen prompts and test the claim, where claims are about the head.

    The study's own family of tests stays as it is.
    """
    models = session.models(request.access)
    asked = _asked(session, request)
    method = method_of(asked, models)
    if method.asks and asked.llm is not None:
        models.need_keys(asked.llm)
    yield from known_head(session, request.neuron, request.head)
    alone, activity = _alone(session, request, method)
    key = (request.neuron, request.head, method.explainer.name)
    before = session.study.state.scores.get(key)
    for event in models.accounted(_explained_and_scored(alone, session.workspace, method, activity)):
        yield session.log(event)
    now = session.study.state.scores.get(key)
    family = session.study.state.family_scores(method.explainer.name)
    if now is not None and now in family and (before is None or before.p != now.p):
        for event in compare_again(session.study, method.explainer.name):
            yield session.log(event)
    for event in head_claim_tests(session.study, session.workspace, method.explainer.name, [activity]):
        yield session.log(event)


def _explained_and_scored(
    study: Study, workspace: Workspace, method: Method, activity: HeadActivity
) -> Iterator[AnyEvent]:
    for event in explain_heads(study, workspace, method, [activity]):
        study.state.apply(event)
        yield event
        if isinstance(event, HeadExplained):
            yield from score_heads(study, workspace, method, [activity])


def plan_calls(session: Session, request: PlanCalls) -> Iterator[AnyEvent | Answer]:
    """What explaining and scoring the head would ask of language models; nothing is asked."""
    wanted = request.head
    models = session.models(wanted.access)
    method = method_of(_asked(session, wanted), models)
    yield from known_head(session, wanted.neuron, wanted.head)
    alone, activity = _alone(session, wanted, method)
    asked = planned_questions(alone, session.workspace, method, [activity], [activity])
    plans = models.ledger.estimate(asked, models.cache.get) if asked else []
    to_judge = [one for one in asked if one.schema != asked[0].schema]
    examples = texts_sent([*asked[:1], *to_judge[:1]])
    yield CallsPlanned(request=request.id, plans=plans, examples=examples)


def _asked(session: Session, request: ExplainHead) -> Settings:
    """The study's settings with the explainer of the request; raises ExplanationError without an explanation."""
    if request.explainer == "me" and not request.explanation:
        raise ExplanationError("There is no explanation to score; write a regular expression, such as re: United$.")
    settings = session.study.settings
    return msgspec.structs.replace(
        settings,
        explainer=request.explainer,
        explanation=request.explanation if request.explainer == "me" else None,
        llm=request.llm or settings.llm,
    )


def _alone(session: Session, request: ExplainHead, method: Method) -> tuple[OneNeuron, HeadActivity]:
    """The study as if the head were the only one worth explaining, beside those that stand as a control."""
    study, neuron, name = session.study, request.neuron, method.explainer.name
    activity = activity_of(session, neuron, request.head)
    alone = OneNeuron(study, session.row_of(neuron))
    found = study.state.activity[neuron]
    explained = [one for one in found.heads if (neuron, one.head, name) in study.state.explanations]
    others = [one for one in explained if one.head != activity.head]
    alone.state.activity[neuron] = msgspec.structs.replace(found, heads=[activity, *others])
    for other in others:
        key = (neuron, other.head, name)
        alone.state.explanations[key] = study.state.explanations[key]
    return alone, activity


def known_head(session: Session, neuron: NeuronId, head: HeadId) -> Iterator[AnyEvent]:
    """Visit the neuron where that is left to do, and check the head; raises InputError for one that never fires."""
    check_feeds(session.workspace.model, head, neuron)
    yield from known_neuron(session, neuron)


def known_neuron(session: Session, neuron: NeuronId) -> Iterator[AnyEvent]:
    """Visit the neuron where that is left to do; raises InputError for one that never fires."""
    yield from visit(session, neuron)
    if not session.study.state.prompts[neuron]:
        raise InputError(f"{neuron} never fires on this corpus, so there is nothing to say about its heads.")


def activity_of(session: Session, neuron: NeuronId, head: HeadId) -> HeadActivity:
    """On which prompts the head is active; raises InputError for one that never is."""
    state = session.study.state
    known = state.activity_of(neuron, head)
    if known is not None:
        return known
    for activity in head_activities(
        neuron,
        _headline(session, neuron),
        [prompt.half for prompt in state.prompts[neuron]],
        *stages.baseline_arrays(session.study, session.workspace, neuron),
        rule=session.study.settings.activity,
        sign=session.row_of(neuron).sign,
    ):
        if activity.head == head:
            return activity
    raise InputError(f"{head} is active on none of the prompts of {neuron}, so there is nothing to explain.")


def labels(session: Session, neuron: NeuronId, head: HeadId) -> tuple[Sequence[Prompt], list[bool]]:
    """The prompts that a head is judged on, and where it is active."""
    state = session.study.state
    known = state.activity_of(neuron, head)
    if known is not None:
        return state.labelled_prompts(known), known.active
    labels = active_heads(
        _headline(session, neuron),
        *stages.baseline_arrays(session.study, session.workspace, neuron),
        rule=session.study.settings.activity,
        sign=session.row_of(neuron).sign,
    )[:, head.layer, head.index]
    return state.prompts[neuron], labels.tolist()


def _headline(session: Session, neuron: NeuronId) -> np.ndarray:  # [prompt, layer, head]
    arrays = session.study.load_arrays(session.study.state.attributed[neuron].artefact)
    return arrays["headline"].astype(np.float64)
