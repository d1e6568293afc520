"""Is a neuron fed by the same heads elsewhere? One neuron on two corpora, compared head by head.

Ranks say whether the same heads matter; rates whether they are active as often. Heads of one neuron depend on one
another, so that a rank correlation has its n here and no p value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

from headtorch.core.analysis.statistics import spearman, wilson_interval
from headtorch.core.records import Interval, Record

Key = TypeVar("Key", bound=Hashable)


class RankAgreement(Record, frozen=True, kw_only=True):
    """Spearman's ρ over what both sides have a number for; None for fewer than 3 of them, or a constant."""

    n: int
    spearman: float | None


class RateDifference(Record, frozen=True, kw_only=True):
    """Two shares of prompts and their difference, first − second."""

    first: float | None  # None: no prompts
    second: float | None
    n_first: int
    n_second: int
    difference: float | None
    interval: Interval | None  # 95 %, Wilson's intervals combined (Newcombe 1998); prompts taken as independent


def rank_agreement(first: Mapping[Key, float | None], second: Mapping[Key, float | None]) -> RankAgreement:
    """ρ of the numbers that two sides give to the same things, ties sharing the mean of their ranks."""
    pairs = [(one, other) for key, one in first.items() if one is not None and (other := second.get(key)) is not None]
    return RankAgreement(n=len(pairs), spearman=spearman([a for a, _ in pairs], [b for _, b in pairs]))


def rate_difference(active: int, n: int, other_active: int, other_n: int) -> RateDifference:
    """p₁ − p₂ of active/n and other_active/other_n.

    low = p₁ − p₂ − √((p₁ − l₁)² + (u₂ − p₂)²), high = p₁ − p₂ + √((u₁ − p₁)² + (p₂ − l₂)²), with Wilson's limits l, u.
    """
    first, second = active / n if n else None, other_active / other_n if other_n else None
    difference = interval = None
    if first is not None and second is not None:
        one, other = wilson_interval(active, n), wilson_interval(other_active, other_n)
        difference = first - second
        low = difference - math.hypot(first - one.low, other.high - second)
        high = difference + math.hypot(one.high - first, second - other.low)
        interval = Interval(max(-1.0, low), min(1.0, high))
    return RateDifference(
        first=first,
        second=second,
        n_first=n,
        n_second=other_n,
        difference=difference,
        interval=interval,
    )
