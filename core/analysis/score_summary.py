"""Scores of a group of neurons. Heads of one neuron are alike, so a neuron's mean is the unit, not a head."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from headtorch.core.records import Interval, Record, Score

FEWEST_NEURONS = 8  # in a group, below which nothing that is computed from it has an interval
SURE = 0.05  # q below which a claim counts as above chance

Floats = NDArray[np.float64]


class GroupScores(Record, frozen=True, kw_only=True):
    """Scores E of a group of neurons."""

    n_neurons: int  # with a scorable head
    n_heads: int  # scorable
    mean: float | None  # over neurons, of the mean over each one's heads
    sd: float | None  # of the neurons' means
    interval: Interval | None  # of the mean: t over neurons; None with fewer than FEWEST_NEURONS
    above_chance: int = 0  # heads whose E has its lower bound above 0.5 and q < SURE


def group_scores(scores: Sequence[Score]) -> GroupScores:
    """The mean E of a group with its interval, and apart from it how many of its heads are above chance."""
    scorable = [score for score in scores if score.e is not None]
    means = neuron_means([score.e or 0.0 for score in scorable], [score.neuron for score in scorable])
    return GroupScores(
        n_neurons=len(means),
        n_heads=len(scorable),
        mean=float(means.mean()) if means.size else None,
        sd=float(means.std(ddof=1)) if means.size > 1 else None,
        interval=mean_interval(means),
        above_chance=sum(is_above_chance(score) for score in scorable),
    )


def is_above_chance(score: Score) -> bool:
    """Whether the interval of E lies above 0.5 and its q is below SURE."""
    return score.interval is not None and score.interval.low > 0.5 and score.q is not None and score.q < SURE


def neuron_means(values: ArrayLike, neurons: Sequence[Hashable]) -> Float[np.ndarray, " neuron"]:
    """The mean of each neuron's values, neurons in order of first appearance."""
    numbers = {neuron: i for i, neuron in enumerate(dict.fromkeys(neurons))}
    codes = np.array([numbers[neuron] for neuron in neurons], np.int64)
    means: Floats = np.bincount(codes, np.asarray(values, np.float64)) / np.bincount(codes)
    return means


def mean_interval(means: Float[np.ndarray, " neuron"]) -> Interval | None:
    """95 % interval of the mean over neurons: mean ± t₉₇.₅(n − 1)·sd/√n; None with fewer than FEWEST_NEURONS."""
    n = len(means)
    if n < FEWEST_NEURONS:
        return None
    half = float(stats.t.ppf(0.975, n - 1)) * float(means.std(ddof=1)) / math.sqrt(n)
    return Interval(float(means.mean()) - half, float(means.mean()) + half)


def difference_interval(first: Float[np.ndarray, " neuron"], second: Float[np.ndarray, " neuron"]) -> Interval | None:
    """95 % interval of mean₁ − mean₂ over the neurons of two groups, by Welch's t.

    None where a group has fewer than FEWEST_NEURONS.
    """
    if min(len(first), len(second)) < FEWEST_NEURONS:
        return None
    difference = float(first.mean() - second.mean())
    if first.std() == 0 and second.std() == 0:
        return Interval(difference, difference)
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return Interval(float(low), float(high))
