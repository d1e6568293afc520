"""Heads taken away, on a text or on a neuron's strongest prompts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from headtorch.core.analysis.ablation import (
    Change,
    ablate_heads,
    ablate_neuron,
    ablation_record,
    group_means,
)
from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import baselines
from headtorch.core.analysis.label_permutation import control_heads, label_p, output_norms
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.analysis.mediation import mediate, mediation_record
from headtorch.core.analysis.replacements import Replacements, check_replacement
from headtorch.core.analysis.self_repair import repair_record, self_repair
from headtorch.core.causes import Ablation, ControlHead, NeuronAblation, Replacement, Where
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError
from headtorch.core.records import HeadId, NeuronId


@dataclass(frozen=True)
class More:
    """What is asked of an ablation beside the change itself."""

    together: tuple[HeadId, ...] = ()  # heads replaced with the first one
    mediation: bool = False
    self_repair: bool = False
    neuron_ablation: bool = False


@dataclass(frozen=True)
class Prompts:
    """Rows, whether the head is active on each, and their clusters of documents."""

    rows: list[list[int]]
    active: NDArray[np.bool_]
    clusters: list[Hashable]


def ablate_on_text(
    workspace: Workspace,
    row: Sequence[int],
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    replacement: Replacement,
    where: Where,
    more: More = More(),
) -> Ablation:
    """The change on one row, which counts as active. Raises AddressError for a head that cannot feed the neuron."""
    check_ablation(workspace, neuron, head, replacement, where, more)
    prompts = Prompts([list(row)], np.array([True]), [0])
    return ablate_on_prompts(workspace, prompts, neuron, head, token_id, replacement, where, more)


def ablate_on_corpus(
    workspace: Workspace,
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    top: int,
    replacement: Replacement,
    where: Where,
    more: More = More(),
) -> Ablation:
    """The change on the neuron's `top` strongest prompts of each half, by whether the head is active there.

    A head is active where its attribution lies two of its own standard deviations above its mean on random positions.
    Raises AddressError for a head that cannot feed the neuron, InputError for a neuron that never fires.
    """
    check_ablation(workspace, neuron, head, replacement, where, more)
    places = workspace.strongest_places(neuron, top)
    rows = [workspace.row(place.document, place.position) for place in places]
    base = baselines(workspace.model, workspace.random_rows, [neuron], watch=workspace.watch)
    headline = attribute(workspace.model, rows, [neuron] * len(rows), watch=workspace.watch).headline
    sign = workspace.firing_sign(neuron)
    active = active_heads(headline.astype(np.float64), base.mean[0], base.sd[0], sign=sign)[:, head.layer, head.index]
    prompts = Prompts(rows, active, [workspace.corpus.cluster(place.document) for place in places])
    return ablate_on_prompts(workspace, prompts, neuron, head, token_id, replacement, where, more)


def check_ablation(
    workspace: Workspace, neuron: NeuronId, head: HeadId, replacement: Replacement, where: Where, more: More
) -> None:
    """Raises AddressError for a head that cannot feed the neuron, InputError for what cannot be asked together."""
    heads = (head, *more.together)
    for one in heads:
        check_feeds(workspace.model, one, neuron)
    if len(set(heads)) < len(heads):
        raise InputError("A head is named twice; name each head to be taken away once.")
    check_replacement(replacement, where)
    if where == "all" and (more.mediation or more.self_repair):
        raise InputError("Mediation and self-repair are of a head replaced at the last position; use --position last.")


def stand_ins(workspace: Workspace, replacement: Replacement) -> Replacements:
    """What stands in for heads' outputs, made from random rows of the corpus where that is needed."""
    return workspace.stand_ins(replacement)


def ablate_on_prompts(
    workspace: Workspace,
    prompts: Prompts,
    neuron: NeuronId,
    head: HeadId,
    token_id: int,
    replacement: Replacement,
    where: Where,
    more: More,
) -> Ablation:
    """The change on prompts whose labels are known, with control heads where both labels occur."""
    model, watch, rows = workspace.model, workspace.watch, prompts.rows
    by = stand_ins(workspace, replacement)
    heads, eligible = (head, *more.together), model.eligible_heads(neuron.layer)
    norms = output_norms(model, rows, watch=watch)
    both = prompts.active.any() and not prompts.active.all()
    controls = control_heads(norms, eligible, heads) if both else []
    change, *others = ablate_heads(model, rows, neuron, token_id, [heads, *controls], by=by, where=where, watch=watch)
    record = ablation_record(
        neuron,
        head,
        token_id,
        change,
        prompts.active,
        replacement=replacement,
        where=where,
        together=more.together,
        donors=by.donors,
        clusters=prompts.clusters,
        seed=workspace.settings.seed,
    )
    record = msgspec.structs.replace(record, norm=_mean_norm(norms, heads))
    if controls:
        record = _controlled(record, prompts, change, controls, others, norms, workspace.settings.seed)
    return _with_more(workspace, record, prompts, by, more)


def _mean_norm(norms: NDArray[np.float64], heads: Sequence[HeadId]) -> float:
    return float(np.mean([norms[:, head.layer, head.index].mean() for head in heads]))


def _controlled(
    record: Ablation,
    prompts: Prompts,
    change: Change,
    controls: Sequence[Sequence[HeadId]],
    others: Sequence[Change],
    norms: NDArray[np.float64],
    seed: int,
) -> Ablation:
    """The control heads, and the test of what the ablated head does beyond them."""
    beyond = change.delta_log_p - np.mean([one.delta_log_p for one in others], axis=0)
    return msgspec.structs.replace(
        record,
        controls=[
            ControlHead(
                heads=list(heads),
                norm=_mean_norm(norms, heads),
                active=group_means(one, prompts.active).delta_log_p,
                inactive=group_means(one, ~prompts.active).delta_log_p,
            )
            for heads, one in zip(controls, others, strict=True)
        ],
        controlled_p=label_p(beyond, prompts.active, prompts.clusters, seed=seed),
    )


def _with_more(workspace: Workspace, record: Ablation, prompts: Prompts, by: Replacements, more: More) -> Ablation:
    ask = (workspace.model, prompts.rows, record.neuron, record.token_id)
    heads, active, seed = (record.head, *more.together), prompts.active, workspace.settings.seed
    if more.mediation:
        mediated = mediate(*ask, heads, by, watch=workspace.watch)
        record = msgspec.structs.replace(
            record,
            mediation_active=mediation_record(mediated, active, prompts.clusters, seed=seed),
            mediation_inactive=mediation_record(mediated, ~active, prompts.clusters, seed=seed),
        )
    if more.self_repair:
        repaired = self_repair(*ask, heads, by, watch=workspace.watch)
        record = msgspec.structs.replace(
            record, repair_active=repair_record(repaired, active), repair_inactive=repair_record(repaired, ~active)
        )
    if more.neuron_ablation:
        change = ablate_neuron(*ask, watch=workspace.watch)
        silenced = NeuronAblation(value=0.0, active=group_means(change, active), inactive=group_means(change, ~active))
        record = msgspec.structs.replace(record, silenced=silenced)
    return record
