"""The stage that takes the best explained heads away and sees what becomes of the token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headtorch.core.analysis.ablation import ablate_heads, ablation_record
from headtorch.core.analysis.interventions import Means, mean_head_outputs
from headtorch.core.engine.paper_ablation import ablate_pairs
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, HeadAblated, Warned
from headtorch.core.records import HeadActivity, NeuronId, NextTokenNeuron
from headtorch.core.study.study import Study
from headtorch.core.watch import PartOf

ABLATED_HEADS = 3  # of each neuron, those explained best
ABLATED_PROMPTS = 20  # of each class


def ablate(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The best explained heads of each next-token neuron, replaced by their mean at the firing position.

    The paper's preset ablates as the paper does: see `ablate_pairs`.
    """
    if study.settings.preset == "paper":
        yield from ablate_pairs(study, workspace)
        return
    state = study.state
    found = [row for neuron, row in state.neurons.items() if not row.random and _best_heads(study, neuron)]
    if not found:
        if not state.unanswered:  # their scores may be on the way
            yield Warned(text="No head could be scored, so none was ablated.")
        return
    means = mean_head_outputs(workspace.model, workspace.random_rows, watch=workspace.watch)
    for done, row in enumerate(found):
        workspace.watch.progress("ablate", done, len(found), "neurons")
        best = _best_heads(study, row.neuron)
        for heads in ([one for one in best if not one.lower], [one for one in best if one.lower]):
            if heads:
                yield from _ablated(study, workspace, row, heads, means)


def _ablated(
    study: Study, workspace: Workspace, row: NextTokenNeuron, heads: Sequence[HeadActivity], means: Means
) -> Iterator[AnyEvent]:
    """Heads of one neuron that have the same prompts, on some prompts of either class of each."""
    prompts = study.state.labelled_prompts(heads[0])
    chosen = sorted({i for one in heads for i in _of_each(one.active, ABLATED_PROMPTS)})
    changes = ablate_heads(
        workspace.model,
        prompt_rows(study, workspace, [prompts[i] for i in chosen], heads[0].places),
        row.neuron,
        row.token_id,
        [one.head for one in heads],
        replacement="mean",
        means=means,
        watch=PartOf(workspace.watch),
    )
    for one, change in zip(heads, changes, strict=True):
        active = [one.active[i] for i in chosen]
        clusters = [prompts[i].cluster for i in chosen]
        ablation = ablation_record(
            row.neuron, one.head, row.token_id, change, active, replacement="mean", clusters=clusters
        )
        lower = sum(prompts[i].bin is not None for i in chosen)
        yield HeadAblated(ablation=msgspec.structs.replace(ablation, lower=lower))


def _best_heads(study: Study, neuron: NeuronId) -> list[HeadActivity]:
    """The activity of the neuron's heads with the highest E, best first."""
    found = study.state.activity.get(neuron)
    activity = {one.head: one for one in found.heads} if found is not None else {}
    explainer = study.settings.explainer_name
    scores = [
        one
        for one in study.state.scores_of(neuron)
        if one.explainer == explainer and one.e is not None and one.head in activity
    ]
    heads = [one.head for one in sorted(scores, key=lambda one: (-(one.e or 0.0), one.head))[:ABLATED_HEADS]]
    return [activity[head] for head in heads]


def _of_each(active: Sequence[bool], count: int) -> list[int]:
    of_active = [i for i, label in enumerate(active) if label][:count]
    return of_active + [i for i, label in enumerate(active) if not label][:count]
