"""The stage that replaces each neuron's heads and measures what becomes of the token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from headtorch.core.analysis.ablation import Change, ablate_heads, ablation_record
from headtorch.core.analysis.pooled_ablation import pooled_ablation
from headtorch.core.analysis.pooled_labels import NeuronChanges
from headtorch.core.causes import Ablation, Replacement
from headtorch.core.engine.paper_ablation import ablate_pairs
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AblationsPooled, AnyEvent, HeadAblated, Warned
from headtorch.core.records import HeadActivity, NeuronId, NextTokenNeuron, Prompt, Score
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import PartOf

ABLATED_HEADS = 5  # of each neuron
ABLATED_PROMPTS = 20  # max-activating examples of each class
ABLATED_PLACES = 12  # firing places of each class; those of a neuron's other heads come on top
REPLACEMENT: Replacement = "resample"


def ablate(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The strongest explained heads of each next-token neuron, resampled at the firing position; then all of them.

    The paper's preset ablates as the paper does: see `ablate_pairs`.
    """
    if study.settings.preset == "paper":
        yield from ablate_pairs(study, workspace)
        return
    state = study.state
    rows = [row for row in state.next_token_neurons() if strongest_heads(state, row.neuron)]
    if not rows:
        if not state.unanswered:  # their scores may be on the way
            yield Warned(text="No head is explained, so none was ablated.")
        return
    ablations, changes = list[Ablation](), list[NeuronChanges]()
    for done, row in enumerate(rows):
        workspace.watch.progress("ablate", done, len(rows), "neurons")
        strongest = strongest_heads(state, row.neuron)
        for heads in ([one for one in strongest if not one.lower], [one for one in strongest if one.lower]):
            if heads:
                records, measured = _ablated(study, workspace, row, heads)
                yield from (HeadAblated(ablation=one) for one in records)
                ablations += records
                changes.append(measured)
    pooled = pooled_ablation(ablations, changes, seed=study.settings.seed)
    if pooled is not None:
        yield AblationsPooled(pooled=pooled)


def _ablated(
    study: Study, workspace: Workspace, row: NextTokenNeuron, heads: Sequence[HeadActivity]
) -> tuple[list[Ablation], NeuronChanges]:
    """Heads of one neuron that have the same prompts, on some prompts of either class of each."""
    prompts = study.state.labelled_prompts(heads[0])
    firing = heads[0].places == "firing"
    chosen = sorted({i for one in heads for i in ablated_prompts(one.active, prompts, firing=firing)})
    by = workspace.stand_ins(REPLACEMENT)
    changes = ablate_heads(
        workspace.model,
        prompt_rows(study, workspace, [prompts[i] for i in chosen], heads[0].places),
        row.neuron,
        row.token_id,
        [one.head for one in heads],
        by=by,
        watch=PartOf(workspace.watch),
    )
    tested = [prompts[i] for i in chosen]
    active = np.array([[one.active[i] for i in chosen] for one in heads], bool)
    records = [
        _record(study, row, one, change, labels, tested, by.donors)
        for one, change, labels in zip(heads, changes, active.tolist(), strict=True)
    ]
    measured = np.stack([change.delta_log_p for change in changes])
    return records, NeuronChanges(measured, active, [prompt.cluster for prompt in tested])


def _record(
    study: Study,
    row: NextTokenNeuron,
    activity: HeadActivity,
    change: Change,
    labels: Sequence[bool],
    prompts: Sequence[Prompt],
    donors: int,
) -> Ablation:
    record = ablation_record(
        row.neuron,
        activity.head,
        row.token_id,
        change,
        labels,
        replacement=REPLACEMENT,
        donors=donors,
        clusters=[prompt.cluster for prompt in prompts],
        seed=study.settings.seed,
    )
    return msgspec.structs.replace(record, lower=sum(prompt.bin is not None for prompt in prompts))


def strongest_heads(state: StudyState, neuron: NeuronId) -> list[HeadActivity]:
    """The neuron's explained heads that are ablated: by the size of their effect, else by the lower bound of E.

    E itself is highest where there are fewest prompts.
    """
    event, chosen = state.activity.get(neuron), state.claim_heads.get(neuron)
    activity = {one.head: one for one in event.heads} if event is not None else {}
    if chosen is not None:
        ranked = [one.head for one in sorted(chosen.heads, key=lambda one: (-abs(one.effect), one.head))]
    else:
        explainer = state.settings.explainer_name if state.settings is not None else "rules"
        scores = [one for one in state.scores_of(neuron) if one.explainer == explainer and one.interval is not None]
        ranked = [one.head for one in sorted(scores, key=lambda one: (-_lower_bound(one), one.head))]
    return [activity[head] for head in ranked if head in activity][:ABLATED_HEADS]


def _lower_bound(score: Score) -> float:
    return score.interval.low if score.interval is not None else 0.0


def ablated_prompts(active: Sequence[bool], prompts: Sequence[Prompt], *, firing: bool) -> list[int]:
    """Indices of up to ABLATED_PROMPTS prompts of either class: the first ones, as they come.

    Of a firing set they are up to ABLATED_PLACES held-out ones, spread over all that it has.
    """
    allowed = [i for i, prompt in enumerate(prompts) if not firing or prompt.half == "score"]
    chosen = []
    for label in (True, False):
        of_class = [i for i in allowed if bool(active[i]) is label]
        if firing and len(of_class) > ABLATED_PLACES:
            spread = np.linspace(0, len(of_class) - 1, ABLATED_PLACES).round().astype(int)
            of_class = [of_class[i] for i in spread.tolist()]
        chosen += of_class[:ABLATED_PROMPTS]
    return chosen
