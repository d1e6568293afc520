"""q values are Benjamini and Hochberg's, within families that random neurons are no part of."""

from __future__ import annotations

import pytest
from claims_study import BEST, HEADS_OF, RANDOM
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headtorch.core.study.claim_families import LEVEL, adjusted, families
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_q_is_that_of_benjamini_and_hochberg(p: list[float]) -> None:
    q = adjusted(dict(enumerate(p))).q
    assert [q[i] for i in range(len(p))] == pytest.approx(stats.false_discovery_control(p, method="bh").tolist())


def test_tests_without_a_p_do_not_count() -> None:
    family = adjusted({"a": 0.02, "b": None, "c": 0.04})
    assert family.q == {"a": pytest.approx(0.04), "c": pytest.approx(0.04)}


def test_the_cutoff_is_the_largest_p_that_passes() -> None:
    family = adjusted({"a": 0.001, "b": 0.02, "c": 0.9})
    assert family.cutoff == 0.02
    assert adjusted({"a": 0.9, "b": 0.8}).cutoff == LEVEL / 2, "the p at which a single one would pass"
    assert adjusted({}).cutoff == LEVEL


@pytest.fixture
def state(claims: Study) -> StudyState:
    return claims.state


def test_random_neurons_are_a_family_of_their_own(state: StudyState) -> None:
    real, baseline = (families(state, "rules", random=random) for random in (False, True))
    assert set(baseline.contrast.q) == {(RANDOM, HEADS_OF[RANDOM][0])} and RANDOM not in real.context_e.q
    assert (BEST, HEADS_OF[BEST][0]) in real.taken.q
    assert len(real.contrast.q) == len(real.head_e.q) == 8


def test_each_explainer_has_its_own_families(state: StudyState) -> None:
    assert not families(state, "llm:x", random=False).contrast.q
