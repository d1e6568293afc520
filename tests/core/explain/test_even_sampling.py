"""A few of many places: both ends, equal distances, both classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtorch.core.explain.even_sampling import balanced, evenly, evenly_of_each


@given(st.integers(0, 400), st.integers(0, 60))
def test_the_items_lie_at_equal_distances_and_reach_both_ends(n: int, count: int) -> None:
    chosen = evenly(range(n), count)
    assert len(chosen) == min(n, count) == len(set(chosen))
    if 2 <= count <= n:
        assert (chosen[0], chosen[-1]) == (0, n - 1)
        steps = np.diff(chosen)
        assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(("n_active", "expected"), [(30, (10, 10)), (4, (4, 16)), (57, (17, 3)), (0, (0, 20))])
def test_classes_are_balanced_as_far_as_either_goes(n_active: int, expected: tuple[int, int]) -> None:
    active = [True] * n_active + [False] * (60 - n_active)
    chosen = balanced(range(60), active, 20)
    assert chosen == sorted(set(chosen))
    assert (sum(active[i] for i in chosen), sum(not active[i] for i in chosen)) == expected


def test_each_class_is_spread_by_itself() -> None:
    active = [i < 10 for i in range(100)]
    chosen = evenly_of_each(range(100), active, 4)
    assert chosen == [0, 3, 6, 9, 10, 39, 69, 99]
    assert evenly_of_each(range(100), active, 1000) == list(range(100))
