"""Scores of many heads: one line per neuron, and next-token neurons against random ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headtorch.core.analysis.statistics import clustered_means, percentile_interval
from headtorch.core.records import HeadId, Interval, NeuronId, Record, Score


class NeuronSummary(Record, frozen=True, kw_only=True):
    """A neuron's scores. The best of several heads is biased upwards, so the median and the count stand beside it."""

    neuron: NeuronId
    n_heads: int
    n_scorable: int
    median: float | None
    best: float | None
    best_head: HeadId | None


class GroupScores(Record, frozen=True, kw_only=True):
    """The mean E over all scorable heads of a group of neurons."""

    n_neurons: int  # with a scorable head
    n_heads: int  # scorable
    mean: float | None
    sd: float | None
    interval: Interval | None  # bootstrap over neurons; None with fewer than two


class GroupComparison(Record, frozen=True, kw_only=True):
    """Next-token neurons against random neurons of the same layers."""

    next_token: GroupScores
    random: GroupScores
    difference: float | None  # of the means
    interval: Interval | None  # of the difference, bootstrap over neurons


def neuron_summary(neuron: NeuronId, scores: Sequence[Score]) -> NeuronSummary:
    """Median, best and count of the scores of this neuron among `scores`."""
    own = [score for score in scores if score.neuron == neuron]
    known = sorted(((score.e, score.head) for score in own if score.e is not None), key=lambda one: (-one[0], one[1]))
    return NeuronSummary(
        neuron=neuron,
        n_heads=len(own),
        n_scorable=len(known),
        median=float(np.median([e for e, _ in known])) if known else None,
        best=known[0][0] if known else None,
        best_head=known[0][1] if known else None,
    )


def compare_groups(next_token: Sequence[Score], random: Sequence[Score], *, seed: int = 0) -> GroupComparison:
    """Mean E of both groups and their difference; whole neurons are resampled, for heads of one are not independent."""
    first, second = _values(next_token), _values(random)
    difference = interval = None
    if first[0] and second[0]:
        difference = float(np.mean(first[0]) - np.mean(second[0]))
        if min(len(set(first[1])), len(set(second[1]))) > 1:
            draws = clustered_means(*first, seed=seed) - clustered_means(*second, seed=seed + 1)
            interval = percentile_interval(draws)
    return GroupComparison(
        next_token=group_scores(next_token, seed=seed),
        random=group_scores(random, seed=seed + 1),
        difference=difference,
        interval=interval,
    )


def _values(scores: Sequence[Score]) -> tuple[list[float], list[NeuronId]]:
    scorable = [(score.e, score.neuron) for score in scores if score.e is not None]
    return [e for e, _ in scorable], [neuron for _, neuron in scorable]


def group_scores(scores: Sequence[Score], *, seed: int = 0) -> GroupScores:
    """The mean E of the scorable heads, with the spread of the heads and an interval over neurons."""
    values, neurons = _values(scores)
    return GroupScores(
        n_neurons=len(set(neurons)),
        n_heads=len(values),
        mean=float(np.mean(values)) if values else None,
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        interval=percentile_interval(clustered_means(values, neurons, seed=seed)) if len(set(neurons)) > 1 else None,
    )
