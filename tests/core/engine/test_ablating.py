"""Which heads a study ablates, and on which prompts."""

from __future__ import annotations

from types import SimpleNamespace

import made_up
import pytest

from headtorch.core.claims import ClaimHead
from headtorch.core.engine.ablating import (
    ABLATED_HEADS,
    ABLATED_PLACES,
    ABLATED_PROMPTS,
    ablated_prompts,
    strongest_heads,
)
from headtorch.core.events import ClaimHeadsChosen, HeadActivityFound, HeadScored
from headtorch.core.records import HeadActivity, HeadId, Interval, NeuronId, Prompt
from headtorch.core.study import StudyState

NEURON = NeuronId(3, 412)


def activity(head: int, active: list[bool] | None = None) -> HeadActivity:
    return HeadActivity(
        neuron=NEURON,
        head=HeadId(1, head),
        rule="baseline",
        suppressing=False,
        active=active or [True, False],
        explain_share=0.5,
        mean_active=1.0,
        mean_inactive=0.0,
    )


def claim_head(head: int, effect: float) -> ClaimHead:
    return ClaimHead(
        head=HeadId(1, head),
        effect=effect,
        suppressing=effect < 0,
        sparse=False,
        label="attribution",
        label_effect_spearman=0.9,
        active_share=0.5,
    )


@pytest.fixture
def state() -> StudyState:
    """Seven labelled heads; four are scored, the highest E on the fewest prompts."""
    state = StudyState()
    state.apply(
        HeadActivityFound(
            neuron=NEURON,
            heads=[activity(i) for i in range(7)],
            eligible=9,
            never_active=0,
            always_active=0,
            explainable=7,
        )
    )
    for head, (e, low) in enumerate([(0.95, 0.4), (0.7, 0.65), (0.8, 0.6), (0.5, 0.5)]):
        score = made_up.score(NEURON, HeadId(1, head), e, interval=Interval(low, 1.0))
        state.apply(HeadScored(score=score))
    return state


def test_without_effects_heads_are_ranked_by_the_lower_bound_of_e(state: StudyState) -> None:
    assert [one.head.index for one in strongest_heads(state, NEURON)] == [1, 2, 3, 0]


def test_heads_of_claims_are_ranked_by_the_size_of_their_effect_whatever_their_score(state: StudyState) -> None:
    """Suppressing ones too; a head that is not labelled, for it is too rare, is not ablated."""
    heads = [
        claim_head(i, effect)
        for i, effect in ((6, 0.1), (0, 0.05), (4, -0.3), (8, 0.9), (5, 0.2), (2, 0.01), (1, 0.02))
    ]
    state.apply(
        ClaimHeadsChosen(
            neuron=NEURON,
            heads=heads,
            replacement="mean",
            artefact="a",
            means="b",
            eligible=9,
            estimate_spearman=None,
        )
    )
    chosen = [one.head.index for one in strongest_heads(state, NEURON)]
    assert chosen == [4, 5, 6, 0, 1] and len(chosen) == ABLATED_HEADS
    assert strongest_heads(state, NeuronId(3, 1)) == []


def prompts(halves: str) -> list[Prompt]:
    return [SimpleNamespace(half={"e": "explain", "s": "score"}[one]) for one in halves]  # type: ignore[misc]


def test_examples_are_the_first_of_either_class_as_they_come() -> None:
    active = [i % 2 == 0 for i in range(100)]
    chosen = ablated_prompts(active, prompts("es" * 50), firing=False)
    assert chosen == [*range(0, 2 * ABLATED_PROMPTS, 2), *range(1, 2 * ABLATED_PROMPTS, 2)]


def test_firing_places_are_held_out_ones_spread_over_all_there_are() -> None:
    """100 places of the training split come first; of the 200 held-out ones 150 are active."""
    active = [True] * 250 + [False] * 50
    chosen = ablated_prompts(active, prompts("e" * 100 + "s" * 200), firing=True)
    of_active, of_inactive = chosen[:ABLATED_PLACES], chosen[ABLATED_PLACES:]
    assert (of_active[0], of_active[-1]) == (100, 249) and len(set(of_active)) == ABLATED_PLACES
    assert (of_inactive[0], of_inactive[-1]) == (250, 299) and len(set(of_inactive)) == ABLATED_PLACES
    assert ablated_prompts([True, False, False], prompts("sse"), firing=True) == [0, 1]
