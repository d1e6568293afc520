"""Which rule the labelled texts support: its length chosen by cross-validation, clusters of documents kept together."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from headtorch.core.explain.features import FeatureTable
from headtorch.core.explain.rule import Rule
from headtorch.core.explain.search import MAX_TERMS, RuleSearch

FOLDS = 5
# Of cross-validated balanced accuracy: over guessing, for a rule to be worth stating, and for each further term. From
# few texts the former of the two is demanded, from many the latter over √(their number).
LEAST_GAIN = (0.05, 0.6)
LONGER_GAIN = (0.02, 0.15)


def find_rule(
    table: FeatureTable,
    labels: Sequence[bool] | Bool[np.ndarray, " text"],
    *,
    clusters: Sequence[int] | Int[np.ndarray, " text"] | None = None,
    suggested: Collection[str] = (),
) -> Rule:
    """A rule of up to three terms that separates the texts labelled True; one without terms where none does.

    The rule's length is the one whose search does best on texts left out of it (5 folds; texts of one cluster share a
    fold), and only a gain over guessing there makes a rule worth stating. Terms about `suggested` tokens (those that a
    head attends to) come before others that do as well. Raises ValueError for another number of labels than texts.
    """
    active = np.asarray(labels, dtype=bool)
    if active.shape != table.holds.shape[1:]:
        raise ValueError(f"{len(active)} labels for {table.holds.shape[1]} texts.")
    guess = Rule(default=bool(len(active) and active.sum() * 2 >= len(active)))
    if min(int(active.sum()), int((~active).sum())) < 2:
        return guess
    search = RuleSearch(table, active, suggested)
    length = _supported_length(search, folds_of(active, clusters))
    best = search.best()
    return search.rule(best[min(length, len(best)) - 1]) if length and best else guess


def _supported_length(search: RuleSearch, folds: Int[np.ndarray, " text"]) -> int:
    """The number of terms whose rules do best on left-out folds; 0 when none beats guessing."""
    active = search.labels
    verdicts = np.zeros((MAX_TERMS, len(active)), bool)
    longest = 0
    for fold in np.unique(folds):
        left_out = folds == fold
        best = search.best(~left_out, support=max(2, search.table.support - 1))
        for length in range(1, MAX_TERMS + 1):
            if best:
                verdicts[length - 1, left_out] = best[min(length, len(best)) - 1].mask[left_out]
        longest = max(longest, len(best))
    least, longer = (min(few, many / math.sqrt(len(active))) for few, many in (LEAST_GAIN, LONGER_GAIN))
    chosen, accuracy = 0, 0.5 + least - longer
    for length, verdict in enumerate(verdicts[:longest], start=1):
        right = verdict == active
        of_length = float(right[active].mean() + right[~active].mean()) / 2
        if of_length >= accuracy + longer:
            chosen, accuracy = length, of_length
    return chosen


def folds_of(
    labels: Bool[np.ndarray, " text"], clusters: Sequence[int] | Int[np.ndarray, " text"] | None = None
) -> NDArray[np.int64]:
    """The fold of each text: clusters as a whole, the largest first, each to the fold that lacks its classes most."""
    groups = np.arange(len(labels)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    n_groups = int(groups.max(initial=-1)) + 1
    counts = np.stack([np.bincount(groups, labels == label, n_groups) for label in (True, False)], axis=1)
    filled = np.zeros((FOLDS, 2))  # fold class
    share = 1 / np.maximum(counts.sum(axis=0), 1)
    fold_of_group = np.zeros(n_groups, np.int64)
    for group in np.argsort(-counts.sum(axis=1), kind="stable"):
        fold = int(np.argmin((filled * share) @ (counts[group] > 0)))
        fold_of_group[group] = fold
        filled[fold] += counts[group]
    return fold_of_group[groups]
