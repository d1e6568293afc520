"""The ablation of the paper's preset: zero value vectors at all positions, on the held-out prompts that gave labels."""

from __future__ import annotations

from collections.abc import Iterator

from headtorch.core.analysis.ablation import ablate_heads, ablation_record
from headtorch.core.analysis.pooled_ablation import pooled_ablation
from headtorch.core.causes import Ablation, Replacement, Where
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AblationsPooled, AnyEvent, HeadAblated, Warned
from headtorch.core.records import NextTokenNeuron
from headtorch.core.study.study import Study
from headtorch.core.watch import PartOf

REPLACEMENT: Replacement = "zero-values"
POSITION: Where = "all"


def ablate_pairs(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Every explained head of every next-token neuron, whatever its score; then all pairs pooled."""
    state, ablations = study.state, list[Ablation]()
    rows = [row for neuron, row in state.neurons.items() if not row.random and _heads_of(study, row)]
    for done, row in enumerate(rows):
        workspace.watch.progress("ablate", done, len(rows), "neurons")
        for ablation in _ablated(study, workspace, row):
            ablations.append(ablation)
            yield HeadAblated(ablation=ablation)
    pooled = pooled_ablation(ablations)
    if pooled is None:
        yield Warned(text="No head was explained and has held-out prompts, so none was ablated.")
    else:
        yield AblationsPooled(pooled=pooled)


def _heads_of(study: Study, row: NextTokenNeuron) -> bool:
    activity = study.state.activity.get(row.neuron)
    return activity is not None and bool(activity.heads)


def _ablated(study: Study, workspace: Workspace, row: NextTokenNeuron) -> Iterator[Ablation]:
    """The heads of one neuron, all on the same prompts: those of the scoring half, on the rows that were labelled."""
    heads, prompts = study.state.activity[row.neuron].heads, study.state.prompts[row.neuron]
    held_out = [i for i, prompt in enumerate(prompts) if prompt.half == "score"]
    if not held_out:
        return
    changes = ablate_heads(
        workspace.model,
        prompt_rows(study, workspace, [prompts[i] for i in held_out]),
        row.neuron,
        row.token_id,
        [one.head for one in heads],
        where=POSITION,
        by=workspace.stand_ins(REPLACEMENT),
        watch=PartOf(workspace.watch),
    )
    for one, change in zip(heads, changes, strict=True):
        yield ablation_record(
            row.neuron,
            one.head,
            row.token_id,
            change,
            [one.active[i] for i in held_out],
            replacement=REPLACEMENT,
            where=POSITION,
            clusters=[prompts[i].cluster for i in held_out],
        )
