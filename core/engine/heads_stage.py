"""The stage that chooses each neuron's heads by effect and labels the firing places on which they are active."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headtorch.core.analysis.claim_heads import (
    Labelled,
    candidate_heads,
    choose_claim_heads,
    label_head,
)
from headtorch.core.analysis.place_attribution import place_attribution
from headtorch.core.analysis.position_replay import (
    EditJob,
    Observed,
    Queries,
    attribution_patching,
    joined,
    observe,
    observed_and_edited,
)
from headtorch.core.analysis.statistics import spearman
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.firing_stage import driven_neurons
from headtorch.core.engine.stages import judged_heads
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, ClaimHeadsChosen, HeadActivityFound
from headtorch.core.records import HeadActivity, HeadId, NeuronId
from headtorch.core.study.study import Study

ESTIMATED_PLACES = 96  # training places of a neuron, for attribution patching

Array = NDArray[np.float64]


def choose_heads(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """For every neuron that heads drive: its heads by exact effect, and their labels. Others have none explained."""
    finished = study.state.claim_heads.keys() & study.state.activity.keys()  # a run may have stopped between the two
    neurons = [neuron for neuron in driven_neurons(study) if neuron not in finished]
    if neurons:
        rows = ClaimRows(study, neurons)
        candidates = _candidates(study, workspace, rows, neurons)
        measured = _measured(workspace, rows, candidates)
        baselines = _baselines(workspace, neurons)
        means = study.save_arrays({"means": workspace.mean_outputs.cpu().numpy()})
        for neuron in neurons:
            yield from _chosen(study, workspace, rows, measured[neuron], baselines[neuron], means)
    for neuron in study.state.neurons:
        if neuron not in study.state.activity:
            eligible = int(workspace.model.eligible_heads(neuron.layer).sum())
            yield HeadActivityFound(
                neuron=neuron, heads=[], eligible=eligible, never_active=0, always_active=0, explainable=0
            )


@dataclass(frozen=True)
class _Candidates:
    neuron: NeuronId
    heads: list[HeadId]
    estimate: Array  # [head], Σ of the estimated effects


@dataclass(frozen=True)
class _Measured:
    """Candidate heads of a neuron on all of its firing places."""

    candidates: _Candidates
    effect: Array  # [place, head]
    seen: Observed

    @property
    def neuron(self) -> NeuronId:
        return self.candidates.neuron


def _candidates(study: Study, workspace: Workspace, rows: ClaimRows, neurons: Sequence[NeuronId]) -> list[_Candidates]:
    """By attribution patching on some of the training places, mean replacement; of the heads that settings judge."""
    places = [_evenly(rows.firing(neuron, held_out=False), ESTIMATED_PLACES) for neuron in neurons]
    queries = joined([rows.queries(neuron, some) for neuron, some in zip(neurons, places, strict=True)])
    means = workspace.mean_outputs[None].cpu()
    estimate = attribution_patching(
        workspace.model, rows.rows, queries, means, np.zeros(len(queries), np.int64), watch=workspace.watch
    )
    chosen = []
    for neuron, part, some in zip(
        neurons, np.split(estimate, np.cumsum([len(p) for p in places])[:-1]), places, strict=True
    ):
        judged = np.where(judged_heads(study, workspace, neuron.layer), part, np.nan)
        heads = candidate_heads(judged, rows.places[neuron].activation[some].astype(np.float64))
        total = np.array([np.nansum(judged[:, head.layer, head.index]) for head in heads])
        chosen.append(_Candidates(neuron, heads, total))
    return chosen


def _evenly(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)]


def _measured(workspace: Workspace, rows: ClaimRows, candidates: Sequence[_Candidates]) -> dict[NeuronId, _Measured]:
    """Exact effects of the candidates on all firing places, at p alone, by mean replacement."""
    means = workspace.mean_outputs[None].cpu()
    jobs = []
    for one in candidates:
        queries = rows.queries(one.neuron, rows.firing(one.neuron))
        jobs.append(EditJob(queries, single_heads(workspace, one.heads), means, np.zeros(len(queries), np.int64)))
    seen, edited = observed_and_edited(workspace.model, rows.rows, jobs, watch=workspace.watch)
    return {
        one.neuron: _Measured(one, (clean.activation[None] - after).T, clean)
        for one, clean, after in zip(candidates, seen, edited, strict=True)
    }


def single_heads(workspace: Workspace, heads: Sequence[HeadId]) -> NDArray[np.bool_]:
    """One edit for each head, [edit, layer, head]."""
    facts = workspace.model.facts
    masks = np.zeros((len(heads), facts.n_layers, facts.n_heads), bool)
    for mask, head in zip(masks, heads, strict=True):
        mask[head.layer, head.index] = True
    return masks


def _baselines(workspace: Workspace, neurons: Sequence[NeuronId]) -> dict[NeuronId, tuple[Array, Array]]:
    """Ā(h) and sd(h) [layer, head] over random positions of the training split."""
    rows = workspace.rows_at(workspace.index.random_positions("explain"))
    ends = np.array([len(row) - 1 for row in rows])
    queries = [Queries.of(neuron, np.arange(len(rows)), ends) for neuron in neurons]
    seen = observe(workspace.model, rows, joined(queries), watch=workspace.watch)
    baselines = {}
    for n, neuron in enumerate(neurons):
        mine = slice(n * len(rows), (n + 1) * len(rows))
        post_scale = None if seen.post_scale is None else seen.post_scale[mine]
        part = Observed(
            seen.activation[mine], seen.pre_activation[mine], seen.heads[mine], seen.scale[mine], post_scale
        )
        attribution = place_attribution(workspace.model, neuron, part)
        baselines[neuron] = attribution.mean(0), attribution.std(0, ddof=1)
    return baselines


def _chosen(
    study: Study,
    workspace: Workspace,
    rows: ClaimRows,
    measured: _Measured,
    baseline: tuple[Array, Array],
    means: str,
) -> Iterator[AnyEvent]:
    neuron, candidates = measured.neuron, measured.candidates
    places = rows.places[neuron]
    firing = rows.firing(neuron)
    train, activation = ~places.held_out[firing], places.activation[firing].astype(np.float64)
    by_sum, sparse = choose_claim_heads(
        candidates.heads, measured.effect[train], activation[train], study.settings.claim_heads
    )
    columns = [*by_sum, *sparse]
    attribution = place_attribution(workspace.model, neuron, measured.seen)
    heads = [candidates.heads[i] for i in columns]
    labelled = [
        label_head(
            head,
            effect=measured.effect[:, i],
            attribution=attribution[:, head.layer, head.index],
            activation=activation,
            train=train,
            baseline=(float(baseline[0][head.layer, head.index]), float(baseline[1][head.layer, head.index])),
            sparse=i in sparse,
        )
        for i, head in zip(columns, heads, strict=True)
    ]
    at = tuple(np.array([[head.layer, head.index] for head in heads], np.int64).reshape(-1, 2).T)
    arrays = {
        "attribution": attribution[:, at[0], at[1]].astype(np.float32),
        "effect": measured.effect[:, columns].astype(np.float32),
        "active": np.array([one.active for one in labelled]).T,
        "baseline_mean": baseline[0][at].astype(np.float32),
        "baseline_sd": baseline[1][at].astype(np.float32),
    }
    yield ClaimHeadsChosen(
        neuron=neuron,
        heads=[one.head for one in labelled],
        replacement="mean",
        artefact=study.save_arrays(arrays),
        means=means,
        eligible=int(workspace.model.eligible_heads(neuron.layer).sum()),
        estimate_spearman=spearman(candidates.estimate, measured.effect[train].sum(0)),
    )
    yield _activity(neuron, labelled, attribution, workspace)


def _activity(neuron: NeuronId, labelled: Sequence[Labelled], attribution: Array, workspace: Workspace) -> AnyEvent:
    """The labels of the heads worth explaining, as explainers and judges read them."""
    explained = [one for one in labelled if one.head.not_explained is None]
    reasons = [one.head.not_explained for one in labelled]
    return HeadActivityFound(
        neuron=neuron,
        heads=[_head_activity(neuron, one, attribution) for one in explained],
        eligible=int(workspace.model.eligible_heads(neuron.layer).sum()),
        never_active=reasons.count("too rare"),
        always_active=reasons.count("always active"),
        explainable=len(explained),
    )


def _head_activity(neuron: NeuronId, one: Labelled, attribution: Array) -> HeadActivity:
    of_head = attribution[:, one.head.head.layer, one.head.head.index]

    def mean(mask: NDArray[np.bool_]) -> float | None:
        return float(of_head[mask].mean()) if mask.any() else None

    return HeadActivity(
        neuron=neuron,
        head=one.head.head,
        rule="baseline" if one.head.label == "attribution" else "carries",
        suppressing=one.head.suppressing,
        active=one.active.tolist(),
        explain_share=one.head.active_share,
        mean_active=mean(one.active),
        mean_inactive=mean(~one.active),
        places="firing",
    )
