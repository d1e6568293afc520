"""The stage that says on which prompts each head is active, and finds negatives for heads that always are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headtorch.core.analysis.activity import choose_heads, contrasted, head_activities
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.lower import lower_prompts
from headtorch.core.analysis.places import HALVES
from headtorch.core.engine.stages import baseline_arrays, headline, judged_heads, prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, HeadActivityFound
from headtorch.core.records import HeadActivity, NeuronId, Prompt
from headtorch.core.study.study import Study


def contrast(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Which heads are active on some of a neuron's prompts and not on others.

    A head that is active on nearly all of them takes its negatives from lower bins of the activation histogram (not in
    the paper's preset). A prompt from there keeps its own label: where the head is active on it too, it counts so. The
    paper's preset knows no suppressing heads.
    """
    state = study.state
    attributed = state.own(state.attributed)
    judged_by = {neuron: study.load_arrays(event.artefact)["headline"] for neuron, event in attributed.items()}
    found = {n: _activities(study, workspace, n, judged_by[n], state.prompts[n]) for n in attributed}
    choices = {neuron: choose_heads(activities) for neuron, activities in found.items()}
    wanting = [n for n, choice in choices.items() if choice.always and study.settings.preset != "paper"]
    lower = {neuron: _lower_prompts(study, workspace, neuron) for neuron in wanting}
    added = _headlines(study, workspace, [prompt for prompts in lower.values() for prompt in prompts])
    for neuron, choice in choices.items():
        gained = []
        if more := lower.get(neuron, []):
            attributions = np.concatenate([judged_by[neuron], [added.pop(0) for _ in more]])
            everywhere = _activities(study, workspace, neuron, attributions, [*state.prompts[neuron], *more])
            gained = contrasted(choice.always, everywhere, lower=len(more))
        eligible = int(judged_heads(study, workspace, neuron.layer).sum())
        yield HeadActivityFound(
            neuron=neuron,
            heads=[*choice.explained, *gained],
            eligible=eligible,
            never_active=eligible - len({activity.head for activity in found[neuron]}),
            always_active=len(choice.always),
            explainable=len(choice.explained),
            lower=more,
        )


def _activities(
    study: Study, workspace: Workspace, neuron: NeuronId, attributions: np.ndarray, prompts: Sequence[Prompt]
) -> list[HeadActivity]:
    mean, sd = baseline_arrays(study, workspace, neuron)
    activities = head_activities(
        neuron,
        attributions.astype(np.float64),
        [prompt.half for prompt in prompts],
        mean,
        sd,
        rule=study.settings.activity,
        sign=study.state.neurons[neuron].sign,
    )
    return [one for one in activities if study.settings.preset != "paper" or not one.suppressing]


def _lower_prompts(study: Study, workspace: Workspace, neuron: NeuronId) -> list[Prompt]:
    """As many as are used to explain and, of one class, to score."""
    wanted = {"explain": study.settings.explain_n, "score": study.settings.score_n}
    return [
        prompt
        for half in HALVES
        for prompt in lower_prompts(
            workspace.model,
            workspace.corpus,
            workspace.index,
            [prompt for prompt in study.state.prompts[neuron] if prompt.half == half],
            sign=study.state.neurons[neuron].sign,
            count=wanted[half],
            ratio=study.settings.trim_ratio,
            method=study.settings.trim,
            watch=workspace.watch,
        )
    ]


def _headlines(study: Study, workspace: Workspace, prompts: Sequence[Prompt]) -> list[np.ndarray]:
    """Of each prompt the numbers [layer, head] that heads are judged by."""
    if not prompts:
        return []
    rows = prompt_rows(study, workspace, prompts)
    attribution = attribute(workspace.model, rows, [prompt.neuron for prompt in prompts], watch=workspace.watch)
    return list(headline(study, attribution))
