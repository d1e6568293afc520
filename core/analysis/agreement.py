"""Do the cheap numbers tell what a head really does? Attributions and estimates against exact effects.

Within a prompt heads are ranked (Spearman), and the five largest in size compared; pooled over prompts and heads the
values themselves are correlated (Pearson). Ranks say which heads matter, values how much: they can differ widely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from headtorch.core.analysis.attribution import Attribution
from headtorch.core.analysis.effects import Effects
from headtorch.core.causes import Agreement
from headtorch.core.records import NeuronId

Estimate = Literal["dot", "direct", "removal", "beta", "gradient"]
Quantity = Literal["activation", "pre_activation"]
QUANTITIES: tuple[Quantity, ...] = ("activation", "pre_activation")
TOP = 5

Grid = Float[np.ndarray, "layer head"]
Grids = Float[np.ndarray, "prompt layer head"]


def agreements(
    exact: Effects,
    attribution: Attribution,
    *,
    betas: Mapping[NeuronId, Grid] | None = None,
    gradient: Effects | None = None,
) -> list[Agreement]:
    """Agreement of every estimate at hand with the exact effects: neuron by neuron, then over all.

    For the pre-activation of a gated neuron `dot` and `direct` are those of its gate, for its activation those of the
    half rule. All but the gradient say what a head adds; doubling adds it once more, so that their negatives stand
    against its effects, which are clean − replaced.
    """
    chosen: list[NeuronId | None] = [*sorted(set(exact.neurons)), None]
    found = []
    for quantity in QUANTITIES:
        effect: Grids = getattr(exact, quantity)
        for name, values in _estimates(exact, quantity, attribution, betas or {}, gradient).items():
            for neuron in chosen:
                mine = [i for i, one in enumerate(exact.neurons) if neuron in (None, one)]
                found.append(agreement(values[mine], effect[mine], name, quantity, neuron))
    order = {neuron: place for place, neuron in enumerate(chosen)}
    return sorted(found, key=lambda one: order[one.neuron])


def _estimates(
    exact: Effects,
    quantity: Quantity,
    attribution: Attribution,
    betas: Mapping[NeuronId, Grid],
    gradient: Effects | None,
) -> dict[Estimate, Grids]:
    of_gate = attribution.gated and quantity == "pre_activation"
    added: dict[Estimate, Grids] = {
        "dot": attribution.dot[:, 0] if of_gate else attribution.without_reads(attribution.dot),
        "direct": attribution.heads[:, 0] if of_gate else attribution.direct,
        "removal": attribution.removal,
    }
    if all(neuron in betas for neuron in attribution.neurons):
        added["beta"] = np.stack([betas[neuron] for neuron in attribution.neurons])
    sign = -1 if exact.replacement == "double" else 1
    found: dict[Estimate, Grids] = {name: sign * values for name, values in added.items()}
    if gradient is not None:
        found["gradient"] = getattr(gradient, quantity)
    return found


def agreement(
    values: Grids, effect: Grids, estimate: Estimate, quantity: Quantity, neuron: NeuronId | None = None
) -> Agreement:
    """One estimate against the effects, over the heads that both have a number for."""
    pairs = [_known(one, other) for one, other in zip(values, effect, strict=True)]
    ranks = [spearman(one, other) for one, other in pairs]
    tops = [top_overlap(one, other) for one, other in pairs]
    pooled = [np.concatenate(side) for side in zip(*pairs, strict=True)] if pairs else [np.zeros(0)] * 2
    return Agreement(
        neuron=neuron,
        estimate=estimate,
        quantity=quantity,
        n=len(pairs),
        spearman=_mean(ranks),
        n_spearman=_count(ranks),
        top=_mean(tops),
        n_top=_count(tops),
        pearson=pearson(*pooled),
        pairs=len(pooled[0]),
    )


def _known(one: Grid, other: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = np.isfinite(one) & np.isfinite(other)
    return one[both].astype(np.float64), other[both].astype(np.float64)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _count(values: Sequence[float | None]) -> int:
    return sum(value is not None for value in values)


def pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    """Pearson's r; None where one side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.clip(x @ y / size, -1, 1)) if size > 0 else None


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    """Spearman's ρ, ties sharing the mean of their ranks; None where one side does not vary."""
    return pearson(stats.rankdata(x), stats.rankdata(y))


def top_overlap(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], k: int = TOP) -> float | None:
    """Share of the k largest of x, in size, that are among the k largest of y; None where that says nothing.

    Where ties leave open who is among them, the expected share over all ways to break them.
    """
    if len(x) <= k or np.ptp(np.abs(x)) == 0 or np.ptp(np.abs(y)) == 0:
        return None
    return float(_among_top(np.abs(x), k) @ _among_top(np.abs(y), k)) / k


def _among_top(size: Float[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    """The chance of each to be among the k largest; between 0 and 1 for those that tie for the last places."""
    last = np.partition(size, -k)[-k]
    above, tied = size > last, size == last
    chance: NDArray[np.float64] = above + tied * (k - above.sum()) / tied.sum()
    return chance
