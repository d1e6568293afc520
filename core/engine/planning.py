"""What would be asked of language models, before anything is: calls, tokens, price, and the texts themselves."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.engine.explaining import explain_tasks, without_explanation
from headtorch.core.engine.method import Method
from headtorch.core.engine.scoring import cases_of, without_judgement
from headtorch.core.engine.workspace import Workspace
from headtorch.core.explain.cases import can_be_judged
from headtorch.core.explain.llm.explainer import LlmExplainer
from headtorch.core.explain.llm.judge import LlmJudge
from headtorch.core.explain.llm.questions import Question
from headtorch.core.records import Explanation, HeadActivity, HeadId, NeuronId, PlannedCalls
from headtorch.core.study.study import Study

WORDS = 40  # of an explanation that is not there yet


def questions_left(study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]) -> list[Question]:
    """What is left to ask about heads of a study: of the explainer, then of the judge."""
    unexplained = without_explanation(study.state, method, heads)
    waiting = without_judgement(study.state, method, heads)
    unjudged = [one for one in heads if one in unexplained or one in waiting]
    return planned_questions(study, workspace, method, unexplained, unjudged)


def planned_questions(
    study: Study,
    workspace: Workspace,
    method: Method,
    unexplained: Sequence[HeadActivity],
    unjudged: Sequence[HeadActivity],
) -> list[Question]:
    """The explainer's questions on the one, the judge's on the other.

    A judge's question on a head without an explanation holds what the explainer's answer in the cache says, or else
    words that take the place of one, so that the number of calls is right and their tokens about so.
    """
    asked: list[Question] = []
    kept: dict[tuple[NeuronId, HeadId], Explanation] = {}
    if isinstance(method.explainer, LlmExplainer):
        tasks = explain_tasks(study, workspace, method, unexplained)
        asked += method.explainer.questions(tasks)
        kept = {(one.neuron, one.head): one for one in method.explainer.said_before(tasks, workspace.llm.cache.get)}
    if isinstance(method.judge, LlmJudge):
        missing = [one for one in unjudged if one in unexplained]
        there = {
            (one.neuron, one.head): study.state.explanations[one.neuron, one.head, method.explainer.name]
            for one in unjudged
            if one not in missing
        }
        placeholders = {(one.neuron, one.head): _placeholder(one, method) for one in missing}
        said = there | {key: kept.get(key, words) for key, words in placeholders.items()}
        cases = cases_of(study, workspace, method, unjudged, said)
        activity = {(one.neuron, one.head): one for one in unjudged}
        asked += method.judge.questions(
            [one for one in cases if can_be_judged(one, activity[one.explanation.neuron, one.explanation.head])]
        )
    return asked


def plan(workspace: Workspace, questions: Sequence[Question]) -> list[PlannedCalls]:
    """The calls that the questions come to, one entry for each model."""
    return workspace.llm.ledger.estimate(questions, workspace.llm.cache.get) if questions else []


def ask_leave(study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]) -> None:
    """Show what is left to ask about the heads to whoever may refuse it, by raising."""
    if workspace.llm.leave is None or not method.asks:
        return
    planned = plan(workspace, questions_left(study, workspace, method, heads))
    if any(one.calls for one in planned):
        workspace.llm.leave(planned)


def _placeholder(one: HeadActivity, method: Method) -> Explanation:
    words = method.own_words or f"{one.neuron} {one.head} " + "something " * WORDS
    return Explanation(neuron=one.neuron, head=one.head, explainer=method.explainer.name, text=words)
