"""The stage that explains heads: what an explainer is shown of each, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from headtorch.core.analysis.lookup import sources
from headtorch.core.engine.looked_up import shade
from headtorch.core.engine.method import Method, method_of
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, HeadExplained, HeadUnanswered
from headtorch.core.explain.protocol import ExplainTask, NoAnswer, explaining_examples, explaining_places
from headtorch.core.records import HeadActivity, HeadId, Prompt
from headtorch.core.settings import Settings
from headtorch.core.study.effect_shares import effect_shares
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

LookedUp = dict[HeadId, list[tuple[int, float] | None]]
Step = Literal["explain", "score"]
TRACED_PLACES = 24  # of a neuron's firing set, for the top source tokens of its heads


def explain(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """What the study's explainer says of every head worth explaining that it has said nothing of yet.

    What those heads looked up on the strongest prompts is kept first, for readers who have no model at hand.
    """
    yield from shade(study, workspace)
    method = method_of(study.settings, workspace.llm)
    wanted = without_explanation(study.state, method, study.state.explainable())
    yield from workspace.llm.accounted(explain_heads(study, workspace, method, wanted))


def without_explanation(state: StudyState, method: Method, heads: Sequence[HeadActivity]) -> list[HeadActivity]:
    """Those of the heads that the explainer has not explained, or in other words than it would now."""
    name, own_words = method.explainer.name, method.own_words
    said = {
        (neuron, head): one.text for (neuron, head, explainer), one in state.explanations.items() if explainer == name
    }
    return [
        one
        for one in heads
        if (one.neuron, one.head) not in said or own_words not in (None, said[one.neuron, one.head])
    ]


def explain_heads(
    study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]
) -> Iterator[HeadExplained | HeadUnanswered]:
    """What the explainer says of these heads, in the order that it does."""
    tasks = explain_tasks(study, workspace, method, heads)
    for done, said in enumerate(method.explainer.explain_all(tasks), 1):
        if isinstance(said, NoAnswer):
            yield unanswered(said, method.explainer.name, "explain")
        else:
            yield HeadExplained(explanation=said)
        workspace.watch.progress("explain", done, len(tasks), "heads")
        workspace.watch.checkpoint()


def unanswered(said: NoAnswer, explainer: str, step: Step) -> HeadUnanswered:
    """The event that keeps a head in mind for the next run."""
    return HeadUnanswered(
        neuron=said.neuron,
        head=said.head,
        explainer=explainer,
        step=step,
        reason=said.reason,
        unanswered=said.unanswered,
        calls=said.calls,
    )


def explain_tasks(
    study: Study, workspace: Workspace, method: Method, heads: Sequence[HeadActivity]
) -> list[ExplainTask]:
    """The training examples of each head, with the head's top source tokens, neuron by neuron.

    A language model is shown `explain_n` places of a firing set, other explainers all of them.
    """
    state, tasks = study.state, []
    for neuron, group in groupby(heads, key=lambda one: one.neuron):
        activities = list(group)
        limit = examples_limit(study.settings, activities[0]) if method.asks else None
        prompts = state.all_prompts(neuron)
        if activities[0].places == "firing":
            prompts = state.labelled_prompts(activities[0])
        traced = _traced(prompts, activities, limit)
        looked_up = _looked_up(study, workspace, prompts, [one.head for one in activities], traced)
        for activity in activities:
            labelled = state.labelled_prompts(activity)
            shown = explaining_places(labelled, activity, limit)
            tasks.append(
                ExplainTask(
                    neuron=neuron,
                    head=activity.head,
                    examples=explaining_examples(
                        labelled,
                        activity,
                        limit=limit,
                        looked_up=looked_up[activity.head][: len(labelled)],
                        effects=effect_shares(state, activity),
                    ),
                    target=state.neurons[neuron].token,
                    clusters=[labelled[i].cluster for i in shown],
                )
            )
    return tasks


def examples_limit(settings: Settings, activity: HeadActivity) -> int | None:
    """How many examples a language model is shown of a head; None: all, which are few but of a firing set."""
    return settings.explain_n if activity.places == "firing" else None


def _traced(prompts: Sequence[Prompt], activities: Sequence[HeadActivity], limit: int | None) -> list[int]:
    """The prompts whose top source tokens are traced.

    All that some head is shown; where all places of a firing set are shown, a few active ones of each head.
    """
    if activities[0].places != "firing":
        return [i for i, prompt in enumerate(prompts) if prompt.half == "explain"]
    if limit is not None:
        return sorted({i for one in activities for i in explaining_places(prompts, one, limit)})
    per_head = max(4, TRACED_PLACES // len(activities))
    chosen: set[int] = set()
    for one in activities:
        active = [i for i in explaining_places(prompts, one) if one.active[i]]
        chosen.update(active[:: max(1, len(active) // per_head)][:per_head])
    return sorted(chosen)


def _looked_up(
    study: Study, workspace: Workspace, prompts: Sequence[Prompt], heads: Sequence[HeadId], explaining: Sequence[int]
) -> LookedUp:
    """For each head and prompt the kept token that gave most of the head's attribution, and its share of it."""
    found: LookedUp = {head: [None] * len(prompts) for head in heads}
    if not heads or not explaining:
        return found
    rows = prompt_rows(study, workspace, [prompts[i] for i in explaining])
    given = sources(workspace.model, rows, [prompts[i].neuron for i in explaining], heads, watch=workspace.watch)
    reads = np.abs(given).sum(1)  # prompt head position
    for i, row, weights in zip(explaining, rows, reads, strict=True):
        kept = prompts[i].position - prompts[i].start + 1
        for head, weight in zip(heads, weights, strict=True):
            total = float(weight.sum())
            inside = weight[len(row) - kept : len(row)]
            if total > 0 and len(inside):
                best = int(inside.argmax())
                found[head][i] = (best, float(inside[best]) / total)
    return found
