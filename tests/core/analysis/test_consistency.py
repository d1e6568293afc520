"""Agreement of heads between two corpora, against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from headtorch.core.analysis.consistency import rank_agreement, rate_difference


@pytest.mark.parametrize("seed", range(5))
def test_rank_agreement_is_scipys_over_what_both_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first: dict[int, float | None] = dict(enumerate(rng.integers(0, 6, 40).astype(float).tolist()))
    second: dict[int, float | None] = {key: float(rng.normal(value or 0.0)) for key, value in first.items()}
    expected = stats.spearmanr(list(first.values()), list(second.values())).statistic
    seen = rank_agreement(first, second)
    assert (seen.n, seen.spearman) == (40, pytest.approx(expected))
    gaps = first | {3: None, 4: None, 99: 1.0}
    of_both = [key for key in second if key not in (3, 4)]
    expected = stats.spearmanr([first[key] for key in of_both], [second[key] for key in of_both]).statistic
    assert rank_agreement(gaps, second).n == 38
    assert rank_agreement(gaps, second).spearman == pytest.approx(expected)


def test_rank_agreement_is_unknown_where_there_is_nothing_to_rank() -> None:
    assert rank_agreement({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}).spearman is None
    assert rank_agreement({1: 1.0, 2: 1.0, 3: 1.0}, {1: 1.0, 2: 2.0, 3: 4.0}).spearman is None
    empty = rank_agreement({}, {1: 1.0})
    assert (empty.n, empty.spearman) == (0, None)


@pytest.mark.parametrize(("a", "n", "b", "m"), [(10, 40, 22, 35), (0, 12, 5, 9), (7, 7, 0, 6), (3, 100, 4, 11)])
def test_a_difference_of_rates_has_newcombes_interval(a: int, n: int, b: int, m: int) -> None:
    seen = rate_difference(a, n, b, m)
    assert seen.difference == pytest.approx(a / n - b / m)
    low, high = confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
    assert seen.interval is not None
    assert (seen.interval.low, seen.interval.high) == (pytest.approx(low), pytest.approx(high))


def test_rates_without_prompts_are_unknown() -> None:
    seen = rate_difference(0, 0, 3, 4)
    assert (seen.first, seen.second, seen.difference, seen.interval) == (None, 0.75, None, None)
