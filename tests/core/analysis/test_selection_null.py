"""The selection null: calibrated for independent heads, and different heads for different contexts are found."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.selection_null import context_variety

N, TOP = 320, 40


def independent(draw: np.random.Generator, n_heads: int = 4) -> NDArray[np.float64]:
    """Heads that fire now and then, each on its own."""
    found: NDArray[np.float64] = draw.normal(0, 0.2, (N, n_heads)) + 2.0 * (draw.random((N, n_heads)) < 0.15)
    return found


def exclusive(draw: np.random.Generator, n_heads: int = 4) -> NDArray[np.float64]:
    """Each head fires as often, and never two of them at once."""
    which = np.floor(draw.random(N) / 0.15).astype(int)  # 0, 1, 2, …: the head that fires, or none
    found: NDArray[np.float64] = draw.normal(0, 0.2, (N, n_heads)) + 2.0 * (which[:, None] == np.arange(n_heads))
    return found


def p_of(scores: NDArray[np.float64], seed: int, sign: int = 1) -> float:
    rest = np.random.default_rng(seed).normal(0, 0.1, N)
    found = context_variety(sign * scores, rest, sign=sign, top=TOP, permutations=99, seed=seed)
    assert found is not None
    return found.p


def test_independent_heads_are_found_as_often_as_chance_says() -> None:
    draw = np.random.default_rng(0)
    p = np.array([p_of(independent(draw), seed) for seed in range(200)])
    assert (p <= 0.05).mean() <= 0.09  # 200 draws: 0.05 ± 0.03
    assert 0.35 < p.mean() < 0.65


def test_heads_that_exclude_each_other_are_found() -> None:
    draw = np.random.default_rng(1)
    for sign in (1, -1):
        assert all(p_of(exclusive(draw), seed, sign) <= 0.01 for seed in range(10))


def test_heads_that_fire_together_are_not_different_heads() -> None:
    draw = np.random.default_rng(2)
    together = draw.normal(0, 0.2, (N, 4)) + 2.0 * (draw.random((N, 1)) < 0.15)
    assert p_of(together, 0) > 0.5


def test_the_top_of_independent_heads_anticorrelates_and_is_no_finding() -> None:
    scores = np.random.default_rng(3).normal(0, 1, (N, 2))
    top = np.argsort(-scores.sum(1))[:TOP]
    assert np.corrcoef(scores[top].T)[0, 1] < -0.5
    found = context_variety(scores, np.zeros(N), top=TOP, permutations=200)
    assert found is not None and found.p > 0.05


def test_the_numbers_are_those_of_their_definition() -> None:
    draw = np.random.default_rng(4)
    scores, rest = exclusive(draw), draw.normal(0, 0.1, N)
    found = context_variety(scores, rest, top=TOP, permutations=50, seed=7)
    assert found is not None
    chosen = np.argsort(-(scores.sum(1) + rest), kind="stable")[:TOP]
    shares = (scores[chosen] > scores.mean(0) + 2 * scores.std(0, ddof=1)).mean(0)
    assert (found.n, found.top) == (N, TOP)
    profiles = [scores[i] - scores.mean(0) for i in chosen]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(profiles, 2)]
    assert found.variety == pytest.approx(1 - np.mean(cosines))
    assert found.split == ((shares >= 0.25) & (shares <= 0.75)).sum()
    assert found.null.low <= found.null_mean <= found.null.high
    assert found == context_variety(scores, rest, top=TOP, permutations=50, seed=7)


def test_too_little_to_ask() -> None:
    assert context_variety(np.zeros((100, 1)), np.zeros(100)) is None
    assert context_variety(np.zeros((15, 4)), np.zeros(15)) is None
