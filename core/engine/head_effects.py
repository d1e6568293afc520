"""What every head really does to a neuron, on texts of any kind, beside what its attribution says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headtorch.core.analysis.agreement import agreements
from headtorch.core.analysis.attribution import Attribution, attribute
from headtorch.core.analysis.effects import Effects, effects
from headtorch.core.analysis.gradient import gradient_estimate
from headtorch.core.analysis.replacements import N_DONORS, check_replacement, replacements
from headtorch.core.causes import Agreement, Replacement, Where
from headtorch.core.engine.workspace import Workspace
from headtorch.core.records import NeuronId


@dataclass(frozen=True)
class Measured:
    """Exact effects on some prompts; the estimate where it was asked for."""

    exact: Effects
    estimate: Effects | None


def measure_effects(
    workspace: Workspace,
    rows: Sequence[Sequence[int]],
    neurons: Sequence[NeuronId],
    *,
    replacement: Replacement = "resample",
    where: Where = "last",
    donors: int = N_DONORS,
    estimate: bool = False,
) -> Measured:
    """Effects of every head on neuron i at the end of row i; donors and means come from random positions of the corpus.

    Raises as `headtorch.core.analysis.effects.effects` does.
    """
    model, watch = workspace.model, workspace.watch
    check_replacement(replacement, where)
    others = workspace.random_rows if replacement in ("resample", "mean") else []
    by = replacements(model, replacement, others, donors=donors, seed=workspace.settings.seed, watch=watch)
    exact = effects(model, rows, neurons, by, where=where, watch=watch)
    return Measured(exact, gradient_estimate(model, rows, neurons, by, where=where, watch=watch) if estimate else None)


def attributed(workspace: Workspace, rows: Sequence[Sequence[int]], neurons: Sequence[NeuronId]) -> Attribution:
    """The attribution of the same prompts."""
    return attribute(workspace.model, rows, neurons, watch=workspace.watch)


def compare(workspace: Workspace, measured: Measured, attribution: Attribution) -> list[Agreement]:
    """How well attributions, β and the estimate tell the exact effects: neuron by neuron, then over all."""
    neurons = sorted(set(measured.exact.neurons))
    beta = workspace.baselines(neurons).beta
    betas = dict(zip(neurons, beta, strict=True))
    return agreements(measured.exact, attribution, betas=betas, gradient=measured.estimate)
