"""How much synergy have random pairs of heads with the same effects?

What follows two heads is not linear, so that I(A, B) ≠ 0 for heads that have nothing to do with each other. The null
has the pair's effects and other heads: for every prompt i of (A, B), a random pair (C, D) is read on that of its
prompts where (e(C), e(D)) is nearest to (e_i(A), e_i(B)), in either order, and its I is averaged over them. Pairs whose
effects are too far away on the mean do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.statistics import percentile_interval
from headtorch.core.records import Interval

MATCH = 0.25  # of the size of the pair's own effects: how far away a random pair's may be
ENOUGH = 10  # random pairs that must match


@dataclass(frozen=True)
class PairNull:
    """Where a pair's mean synergy stands among those of random pairs of the same effects."""

    matched: int
    p: float | None  # two-sided, around their median; None where too few match
    interval: Interval | None  # the middle 95 % of theirs


def pair_null(
    effects: Float[np.ndarray, "prompt 2"],
    synergy: Float[np.ndarray, " prompt"],
    others: Sequence[Float[np.ndarray, "prompt 2"]],
    other_synergies: Sequence[Float[np.ndarray, " prompt"]],
) -> PairNull:
    """p = (1 + how many matched pairs lie as far from their median as this pair) / (1 + matched pairs)."""
    drawn = [matched_synergy(effects, *one) for one in zip(others, other_synergies, strict=True)]
    size = float(np.abs(effects).sum(1).mean())
    means = np.array([mean for mean, distance in drawn if distance <= MATCH * size])
    if len(means) < ENOUGH:
        return PairNull(len(means), None, None)
    centre = float(np.median(means))
    reached = int((np.abs(means - centre) >= abs(float(synergy.mean()) - centre)).sum())
    return PairNull(len(means), (1 + reached) / (1 + len(means)), percentile_interval(means))


def matched_synergy(
    effects: Float[np.ndarray, "prompt 2"],
    others: Float[np.ndarray, "prompt 2"],
    synergies: Float[np.ndarray, " prompt"],
) -> tuple[float, float]:
    """(mean synergy of the other pair on the prompts matched to this pair's, mean distance of the effects)."""
    distance = np.minimum(_distance(effects, others), _distance(effects, others[:, ::-1]))  # prompt other
    nearest = distance.argmin(1)
    return float(synergies[nearest].mean()), float(distance[np.arange(len(effects)), nearest].mean())


def _distance(
    effects: Float[np.ndarray, "prompt 2"], others: Float[np.ndarray, "other 2"]
) -> Float[np.ndarray, "prompt other"]:
    found: NDArray[np.float64] = np.abs(effects[:, None] - others[None]).sum(-1)
    return found
