"""Matched pairs side by side: what the heads take of all pairs is what the claim says they take."""

from __future__ import annotations

import numpy as np
import pytest
from claims_study import BEST, HELD_OUT

from headtorch.core.errors import StudyError
from headtorch.core.study.matched_pairs import context_claim_of, matched_pairs, pair_texts
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.text import visible


def test_the_pairs_add_up_to_the_shares_of_the_claim(claims: Study) -> None:
    claim = claims.state.context_claims[BEST, "rules"]
    pairs = matched_pairs(claims.state, claim)
    difference = sum(pair.firing.activation - pair.off.activation for pair in pairs)
    assert len(pairs) == claim.pairs == HELD_OUT
    for at, head in enumerate(claim.heads):
        assert [pair.heads[at].head for pair in pairs] == [head.head] * len(pairs)
        assert sum(pair.heads[at].taken for pair in pairs) / difference == pytest.approx(head.taken.value, rel=1e-5)
        assert sum(pair.heads[at].restored for pair in pairs) / difference == pytest.approx(
            head.restored.value, rel=1e-5
        )
    share = pairs[0].heads[0].taken_share
    assert share == pytest.approx(pairs[0].heads[0].taken / (pairs[0].firing.activation - pairs[0].off.activation))


def test_both_sides_end_on_the_same_token_and_say_whether_the_rule_holds(claims: Study) -> None:
    pairs = matched_pairs(claims.state, claims.state.context_claims[BEST, "rules"])
    assert all(pair.firing.tokens[-1] == pair.off.tokens[-1] for pair in pairs)
    right = [pair.firing.holds for pair in pairs] + [not pair.off.holds for pair in pairs]
    assert np.mean(right) == pytest.approx(claims.state.context_claims[BEST, "rules"].e)
    on, off = pair_texts(pairs[0], visible)
    assert on.endswith(f" ⟦{pairs[0].firing.tokens[-1].strip()}⟧") and " the ⟦" in on and "\x1b" not in on + off


def test_without_what_heads_did_the_texts_are_shown(claims: Study) -> None:
    claim = claims.state.context_claims[BEST, "rules"]
    with_heads = matched_pairs(claims.state, claim)
    claims.state.claim_artefacts.clear()
    without = matched_pairs(claims.state, claim)
    assert [(pair.pair, pair.firing.tokens) for pair in without] == [
        (one.pair, one.firing.tokens) for one in with_heads
    ]
    assert not without[0].heads and without[0].firing.holds is None


def test_a_state_without_places_is_refused(claims: Study) -> None:
    claim = claims.state.context_claims[BEST, "rules"]
    with pytest.raises(StudyError, match=r"does not hold the places of L18\.N98"):
        matched_pairs(StudyState(), claim)


def test_the_claim_is_that_of_the_explainer_asked_for(claims: Study) -> None:
    assert context_claim_of(claims.state, BEST) is claims.state.context_claims[BEST, "rules"]
    assert context_claim_of(claims.state, BEST, "llm:x") is None
