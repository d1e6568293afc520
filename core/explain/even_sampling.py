"""A few of many items in an order, such as places by activation: evenly, not the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items at equal distances, the first and the last among them; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[i * (len(items) - 1) // max(count - 1, 1)] for i in range(count)]


def evenly_of_each(indices: Sequence[int], active: Sequence[bool], per_class: int) -> list[int]:
    """At most `per_class` of the active and of the inactive indices, each class evenly, in ascending order."""
    of_class = [[i for i in indices if active[i] == label] for label in (True, False)]
    return sorted(i for members in of_class for i in evenly(members, per_class))


def balanced(indices: Sequence[int], active: Sequence[bool], count: int) -> list[int]:
    """`count` of the indices, half of them active as far as either class goes, each class evenly, ascending."""
    positives = [i for i in indices if active[i]]
    negatives = [i for i in indices if not active[i]]
    n_positive = min(len(positives), max(count // 2, count - len(negatives)))
    return sorted(evenly(positives, n_positive) + evenly(negatives, count - n_positive))
