"""Agreement of those who judge, against scikit-learn and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa as of_table

from headtorch.core.analysis.ratings import cohens_kappa
from headtorch.core.records import Verdict


def answers(seed: int, n: int, agree: float = 0.75) -> tuple[list[Verdict], list[Verdict]]:
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.4
    second = np.where(rng.random(n) < agree, first, ~first)
    return first.tolist(), second.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    first, second = answers(seed, 80, agree=seed / 5)
    seen = cohens_kappa(first, second, list(range(80)))
    assert seen.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert seen.agreed == pytest.approx(np.mean(np.array(first) == np.array(second)))
    assert (seen.n, seen.left_out) == (80, 0)


def test_with_a_cluster_for_each_prompt_the_interval_is_the_usual_one() -> None:
    first, second = answers(1, 400)
    seen = cohens_kappa(first, second, list(range(400)))
    table = [[sum(a == i and b == j for a, b in zip(first, second, strict=True)) for j in (0, 1)] for i in (0, 1)]
    expected = of_table(np.array(table))
    assert seen.interval is not None
    assert seen.interval.low == pytest.approx(expected.kappa_low, abs=0.015)
    assert seen.interval.high == pytest.approx(expected.kappa_upp, abs=0.015)


def test_prompts_of_one_head_count_as_one_when_they_agree_for_one_reason() -> None:
    first, second = answers(2, 30)
    repeated = [one for one in first for _ in range(10)], [other for other in second for _ in range(10)]
    apart = cohens_kappa(*repeated, list(range(300)))
    together = cohens_kappa(*repeated, [i // 10 for i in range(300)])
    once = cohens_kappa(first, second, list(range(30)))
    assert apart.kappa == pytest.approx(together.kappa) == pytest.approx(once.kappa)
    assert apart.interval and together.interval and once.interval
    assert together.interval == once.interval
    assert together.interval.high - together.interval.low > 2 * (apart.interval.high - apart.interval.low)


def test_answers_that_are_neither_are_left_out_and_counted() -> None:
    seen = cohens_kappa([True, None, False, True, False], [True, True, None, True, False], [0, 0, 1, 1, 2])
    assert (seen.n, seen.left_out, seen.agreed, seen.kappa) == (3, 2, 1.0, 1.0)


def test_kappa_is_unknown_where_nothing_can_be_told() -> None:
    for first, second in (([], []), ([None], [True]), ([True] * 4, [True] * 4)):
        seen = cohens_kappa(first, second, list(range(len(first))))  # type: ignore[arg-type]
        assert (seen.kappa, seen.interval) == (None, None)
    assert cohens_kappa([True] * 4, [True] * 4, range(4)).agreed == 1.0
    assert cohens_kappa([True, False], [True, False], [0, 0]).interval is None


def test_blind_answers_have_a_kappa_of_nought() -> None:
    rng = np.random.default_rng(0)
    values = [
        cohens_kappa((rng.random(200) < 0.3).tolist(), (rng.random(200) < 0.6).tolist(), range(200)).kappa or 0.0
        for _ in range(50)
    ]
    assert abs(np.mean(values)) < 0.03
