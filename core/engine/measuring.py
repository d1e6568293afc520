"""The stage that measures what every head really does to a neuron, and how well cheaper numbers tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from headtorch.core.analysis.agreement import agreements
from headtorch.core.analysis.attribution import Attribution
from headtorch.core.analysis.effects import Effects, effects
from headtorch.core.analysis.gradient import estimate_error, gradient_estimate
from headtorch.core.causes import EffectSummary, EstimateErrors, Replacement
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AgreementMeasured, AnyEvent, EffectsMeasured
from headtorch.core.records import HeadId, NeuronId, Prompt
from headtorch.core.study.study import Study
from headtorch.core.watch import PartOf, Watch

MEASURED_PROMPTS = 12
REPLACEMENT: Replacement = "resample"

Arrays = dict[str, NDArray[np.generic]]


def measure(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Effects of the heads of every next-token neuron at the firing position, then the agreement over all of them."""
    state = study.state
    neurons = [row.neuron for row in state.next_token_neurons() if row.neuron in state.attributed]
    left = [neuron for neuron in neurons if neuron not in state.effects]
    counts = [len(measured_prompts(state.prompts[neuron])) for neuron in left]
    for n, neuron in enumerate(left):
        yield measured(study, workspace, neuron, _SomePrompts(workspace.watch, sum(counts[:n]), sum(counts)))
    if neurons:
        yield agreement_over(study, [neuron for neuron in neurons if neuron in state.effects])


def measured_prompts(prompts: Sequence[Prompt]) -> list[int]:
    """The strongest of the scoring half, by index; of the explaining half where there are no others."""
    for half in ("score", "explain"):
        mine = [i for i, prompt in enumerate(prompts) if prompt.half == half]
        if mine:
            return sorted(sorted(mine, key=lambda i: -abs(prompts[i].activation))[:MEASURED_PROMPTS])
    return []


def measured(study: Study, workspace: Workspace, neuron: NeuronId, watch: Watch) -> EffectsMeasured:
    """Effects on one neuron that has been attributed, exact and estimated, with the agreement on its prompts."""
    model, state = workspace.model, study.state
    chosen = measured_prompts(state.prompts[neuron])
    rows = prompt_rows(study, workspace, [state.prompts[neuron][i] for i in chosen])
    by = workspace.stand_ins(REPLACEMENT)
    exact = effects(model, rows, [neuron] * len(rows), by, watch=watch)
    estimate = gradient_estimate(model, rows, [neuron] * len(rows), by, watch=_SomePrompts(watch))
    means = {
        "activation": exact.activation,
        "pre_activation": exact.pre_activation,
        "estimated_activation": estimate.activation,
        "estimated_pre_activation": estimate.pre_activation,
    }
    found = EffectsMeasured(
        neuron=neuron,
        replacement=by.kind,
        position=exact.where,
        donors=by.donors,
        artefact=study.save_arrays({name: values.astype(np.float32) for name, values in means.items()}),
        prompts=chosen,
        heads=[
            EffectSummary(head=HeadId(k, i), **{name: float(values[:, k, i].mean()) for name, values in means.items()})
            for k, i in np.argwhere(model.eligible_heads(neuron.layer)).tolist()
        ],
        agreement=[],
        estimate_error=EstimateErrors(
            estimate_error(estimate.activation, exact.activation),
            estimate_error(estimate.pre_activation, exact.pre_activation),
        ),
    )
    known = _attribution(study, neuron, chosen)
    told = agreements(exact, known, betas={neuron: _betas(study, neuron)}, gradient=estimate)
    return msgspec.structs.replace(found, agreement=[one for one in told if one.neuron == neuron])


def agreement_over(study: Study, neurons: Sequence[NeuronId]) -> AgreementMeasured:
    """Agreement over all prompts of neurons whose effects were measured, from the arrays of the study."""
    events = [study.state.effects[neuron] for neuron in neurons]
    arrays = [study.load_arrays(event.artefact) for event in events]
    every = [neuron for event in events for neuron in [event.neuron] * len(event.prompts)]
    exact = _stored(events[0], every, arrays, "")
    known = _joined([_attribution(study, event.neuron, event.prompts) for event in events])
    betas = {neuron: _betas(study, neuron) for neuron in neurons}
    told = agreements(exact, known, betas=betas, gradient=_stored(events[0], every, arrays, "estimated_"))
    return AgreementMeasured(
        replacement=events[0].replacement,
        position=events[0].position,
        neurons=len(neurons),
        agreement=[one for one in told if one.neuron is None],
    )


def _stored(event: EffectsMeasured, neurons: list[NeuronId], arrays: Sequence[Arrays], prefix: str) -> Effects:
    activation, pre = (
        np.concatenate([one[prefix + name] for one in arrays]).astype(np.float64)
        for name in ("activation", "pre_activation")
    )
    none = np.full(len(neurons), np.nan)
    return Effects(neurons, event.replacement, event.position, event.donors, activation, pre, none, none)


def _attribution(study: Study, neuron: NeuronId, chosen: Sequence[int]) -> Attribution:
    """The attribution of some of the neuron's prompts, as the study keeps it."""
    arrays = study.load_arrays(study.state.attributed[neuron].artefact)
    kept = {name: values[list(chosen)] for name, values in arrays.items() if name != "headline"}
    pre, activation = kept["pre_activation"], kept["activation"]
    product = pre.prod(1)
    gated = np.divide(activation, product, out=np.zeros_like(activation), where=product != 0)
    ratio = gated if pre.shape[1] == 2 else np.ones_like(activation)
    return Attribution(neurons=[neuron] * len(chosen), gate_ratio=ratio, **kept)


def _joined(parts: Sequence[Attribution]) -> Attribution:
    first, *_ = parts
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in vars(first)
        if name in first.__dataclass_fields__ and name != "neurons"
    }
    return replace(first, neurons=[neuron for part in parts for neuron in part.neurons], **arrays)


def _betas(study: Study, neuron: NeuronId) -> NDArray[np.float64]:
    """β [layer, head]; nan where it is not known."""
    attributed = study.state.attributed[neuron]
    shape = study.load_arrays(attributed.artefact)["headline"].shape[1:]
    found = np.full(shape, np.nan)
    for one in attributed.heads:
        if one.beta is not None:
            found[one.head.layer, one.head.index] = one.beta
    return found


class _SomePrompts(PartOf):
    """Tells the progress of `effects` as part of the whole stage, and that of nothing else."""

    def __init__(self, outer: Watch, before: int = 0, total: int | None = None) -> None:
        super().__init__(outer)
        self._before, self._total = before, total

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        if stage == "effects" and self._total is not None:
            self._outer.progress(stage, self._before + done, self._total, unit)
