"""The fold: what a study knows depends on its events alone, and telling it twice changes nothing."""

from __future__ import annotations

import msgspec
import pytest

from headtorch.core.event_lines import decode, encode
from headtorch.core.events import (
    AnyEvent,
    CallsMade,
    DeviceUse,
    HeadExplained,
    HeadJudged,
    HeadScored,
    HeadUnanswered,
    NeuronsFound,
    Progress,
    ScoresAdjusted,
    StageFinished,
    StageStarted,
    StudyFinished,
    Warned,
)
from headtorch.core.records import HeadId, Judgement, NeuronId
from headtorch.core.study import StudyState, fold

STATES, RANDOM, HEAD = NeuronId(3, 412), NeuronId(2, 7), HeadId(2, 1)


@pytest.fixture
def state(events: list[AnyEvent]) -> StudyState:
    return fold(events)


def test_the_fold_of_what_was_read_is_the_fold_of_what_was_written(state: StudyState, events: list[AnyEvent]) -> None:
    assert fold(decode(encode(event)) for event in events) == state


def test_the_same_events_again_replace_and_never_add(state: StudyState, events: list[AnyEvent]) -> None:
    assert fold([*events, *events]) == state
    assert fold(event for event in events for _ in range(2)) == state


def test_live_events_change_nothing(state: StudyState, events: list[AnyEvent]) -> None:
    live = [Progress(stage="scan", done=1, total=2, unit="tokens"), DeviceUse(device="cpu", memory_used=1)]
    assert fold([*events, *live]) == state


def test_the_random_baseline_is_kept_apart(state: StudyState) -> None:
    assert [found.neuron for found in state.next_token_neurons()] == [STATES]
    assert [found.neuron for found in state.random_neurons()] == [RANDOM]


def test_heads_come_in_the_order_of_their_rank(state: StudyState) -> None:
    assert [str(head) for head in state.heads(STATES)] == ["L2.H1", "L0.H3", "L0.H0"]
    assert state.heads(RANDOM) == {}


def test_what_belongs_to_a_neuron_is_found_by_it(state: StudyState) -> None:
    assert [str(said.head) for said in state.explanations_of(STATES)] == ["L2.H1", "L0.H3"]
    assert [score.e for score in state.scores_of(STATES)] == [0.7, None]
    assert [done.head for done in state.ablations_of(STATES)] == [HEAD]
    assert state.ablations_of(STATES, HeadId(0, 3)) == []
    active = state.activity_of(STATES, HEAD)
    assert active is not None and active.active == [True, False]
    assert state.activity_of(STATES, HeadId(0, 0)) is None
    assert state.activity_of(RANDOM, HEAD) is None


def test_adjusted_p_values_reach_their_scores_and_no_others(state: StudyState) -> None:
    assert state.scores[STATES, HEAD, "rules"].q == 0.02
    assert state.scores[RANDOM, HEAD, "rules"].q is None
    assert state.adjustments["rules"].tests == 2


def test_a_head_scored_anew_keeps_its_adjusted_p_only_where_its_p_is_the_same(
    state: StudyState, events: list[AnyEvent]
) -> None:
    scored = next(event for event in events if isinstance(event, HeadScored))
    adjusted = next(event for event in events if isinstance(event, ScoresAdjusted))
    assert state.apply(scored).scores[STATES, HEAD, "rules"].q == 0.02
    other = HeadScored(score=msgspec.structs.replace(scored.score, p=0.5))
    assert state.apply(other).scores[STATES, HEAD, "rules"].q is None
    assert state.apply(adjusted).scores[STATES, HEAD, "rules"].q == 0.02


def unanswered(head: HeadId, explainer: str) -> HeadUnanswered:
    return HeadUnanswered(neuron=STATES, head=head, explainer=explainer, step="explain", reason="It is asleep.")


def test_a_head_is_unanswered_until_it_is_answered(state: StudyState, events: list[AnyEvent]) -> None:
    said = next(event for event in events if isinstance(event, HeadExplained))
    scored = next(event for event in events if isinstance(event, HeadScored))
    for answer in (said, scored):
        state.apply(unanswered(HEAD, "rules")).apply(unanswered(HEAD, "llm:owl"))
        assert set(state.unanswered) == {(STATES, HEAD, "rules"), (STATES, HEAD, "llm:owl")}
        assert set(state.apply(answer).unanswered) == {(STATES, HEAD, "llm:owl")}
    assert state.explainers() == ["rules", "llm:owl"]


def test_other_words_make_void_what_was_judged_of_the_old_ones(state: StudyState, events: list[AnyEvent]) -> None:
    said = next(event for event in events if isinstance(event, HeadExplained)).explanation
    key = (STATES, HEAD, "rules")
    judgement = Judgement(neuron=STATES, head=HEAD, explainer="rules", judge="rule", prompts=[0], verdicts=[True])
    state.apply(HeadJudged(judgement=judgement)).apply(HeadExplained(explanation=said))
    assert state.judgements[key] == judgement and key in state.scores
    state.apply(HeadExplained(explanation=msgspec.structs.replace(said, text="something else")))
    assert key not in state.judgements and key not in state.scores


def test_what_was_spent_is_summed_by_model_and_unknown_stays_unknown() -> None:
    one = CallsMade(model="owl", base_url="u", calls=2, cached=1, unanswered=0, prompt_tokens=10, completion_tokens=4,
                    cost=0.5)  # fmt: skip
    other = msgspec.structs.replace(one, model="hawk", cost=None)
    spent = fold([one, other, one, msgspec.structs.replace(other, cost=1.0, counted=False)]).calls
    assert spent["u", "owl"] == msgspec.structs.replace(
        one, calls=4, cached=2, prompt_tokens=20, completion_tokens=8, cost=1.0
    )
    assert (spent["u", "hawk"].cost, spent["u", "hawk"].counted) == (None, False)


def test_a_resumed_run_knows_what_is_done_for_which_neuron(state: StudyState) -> None:
    assert state.is_done("discover")
    assert state.is_done("score", STATES)
    assert not state.is_done("score", RANDOM)
    assert not state.is_done("score")
    assert not state.is_done("ablate", RANDOM), "begun and not finished"
    assert list(state.running) == [("ablate", RANDOM)]


def test_a_stage_begun_again_is_not_done_and_neither_is_the_study(state: StudyState) -> None:
    assert state.finished == StudyFinished(seconds=100.0)
    state.apply(StageStarted(stage="discover"))
    assert not state.is_done("discover")
    assert state.finished is None
    assert state.apply(StageFinished(stage="discover", seconds=2.0)).done["discover", None] == 2.0


def test_a_new_list_of_neurons_replaces_the_old_one(state: StudyState, events: list[AnyEvent]) -> None:
    listed = next(event for event in events if isinstance(event, NeuronsFound))
    state.apply(msgspec.structs.replace(listed, neurons=listed.neurons[1:]))
    assert list(state.neurons) == [RANDOM]


def test_a_warning_is_kept_once_for_each_neuron() -> None:
    told = [Warned(text="a"), Warned(text="a", neuron=STATES), Warned(text="a"), Warned(text="b")]
    assert [(warning.text, warning.neuron) for warning in fold(told).warnings.values()] == [
        ("a", None),
        ("a", STATES),
        ("b", None),
    ]
