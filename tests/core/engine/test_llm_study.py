"""Studies explained and judged by a language model on loopback: nothing is paid twice, nothing lost."""

from __future__ import annotations

import msgspec
import pytest
from chat_server import ChatServer, Json, Reply, refused
from oracle import asked, is_explaining, oracle
from owls import KEY, NAME, Owls

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.pipeline import stages_left
from headtorch.core.errors import BudgetReached, InputError, Interrupted
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    CallsMade,
    HeadScored,
    ScoresAdjusted,
    Spending,
    Warned,
)
from headtorch.core.records import PlannedCalls, Score
from headtorch.core.study.rescoring import rescore
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import Watch


@pytest.fixture(scope="module")
def whole(owls: Owls) -> tuple[StudyState, int]:
    """The study run through without a pause, and the calls that it took."""
    state = owls.run(owls.study("whole"))
    bodies = [repr(request) for request in owls.server.requests]
    assert len(set(bodies)) == len(bodies) > 50
    return state, len(bodies)


def scores(state: StudyState) -> dict[object, Score]:
    return {key: score for key, score in state.scores.items() if key[2] == NAME}


def without_controls(score: Score) -> Score:
    return msgspec.structs.replace(score, controls=[])


def test_every_head_is_explained_and_judged_and_the_calls_are_counted(
    owls: Owls, whole: tuple[StudyState, int]
) -> None:
    state, calls = whole
    heads = {(one.neuron, one.head, NAME) for one in state.explainable()}
    assert heads == set(state.explanations) == set(state.scores) == set(state.judgements) and len(heads) > 8
    assert all(said.text.startswith("Active when there are") for said in state.explanations.values())
    [made] = state.calls.values()
    assert (made.model, made.calls, made.unanswered, made.cost) == ("owl", calls, 0, None)
    by_stage = [event for event in Study.open("whole").replay() if isinstance(event, CallsMade)]
    assert len(by_stage) == 2 and all(event.prompt_tokens > 0 and event.counted for event in by_stage)
    assert sum(is_explaining(request) for request in owls.server.requests) <= len(heads)
    assert state.baseline[NAME].next_token.heads > 0 and state.adjustments[NAME].tests > 0


def test_the_score_is_what_the_verdicts_and_labels_say(whole: tuple[StudyState, int]) -> None:
    state, _ = whole
    scorable = 0
    for activity in state.explainable():
        key = (activity.neuron, activity.head, NAME)
        score, judged = state.scores[key], state.judgements[key]
        labels = [activity.active[i] for i in judged.prompts]
        if score.e is None:
            assert len(set(labels)) < 2 and judged.verdicts == []
            continue
        scorable += 1
        right = [verdict is label for verdict, label in zip(judged.verdicts, labels, strict=True)]
        rates = [
            sum(r for r, label in zip(right, labels, strict=True) if label is of) / labels.count(of)
            for of in (True, False)
        ]
        assert score.e == pytest.approx(sum(rates) / 2)
        assert score.unusable == judged.verdicts.count(None)
        controls = [activity.active[i] for i in judged.control_prompts]
        assert controls.count(True) == min(2, labels.count(True)) and controls.count(False) == min(
            2, labels.count(False)
        )
        assert judged.random_verdicts == [] and all(len(one) == len(controls) for one in judged.others)
    assert scorable > 4
    assert sum(score.unusable for score in state.scores.values()) > 0


def test_a_cap_stops_between_calls_and_the_next_run_pays_for_the_rest_only(
    owls: Owls, whole: tuple[StudyState, int]
) -> None:
    uninterrupted, calls = whole
    name = owls.study("capped")
    for spent in (calls // 4, calls // 2):
        with pytest.raises(BudgetReached, match="The cap of"):
            owls.run(name, max_calls=spent - owls.server.calls)
        assert owls.server.calls == spent
        kept = Study.open(name).state
        assert sum(made.calls for made in kept.calls.values()) == spent
    assert kept.explanations and not kept.is_done("score")
    state = owls.run(name)
    assert owls.server.calls == calls
    assert scores(state) == scores(uninterrupted) and state.baseline == uninterrupted.baseline
    assert {one.calls for one in state.calls.values()} == {calls}


class Stopped(Watch):
    """Stops the work when so many calls have been made."""

    def __init__(self, server: ChatServer, after: int) -> None:
        self.server, self.after = server, after

    def checkpoint(self) -> None:
        if self.server.calls >= self.after:
            raise Interrupted("Enough.")


def test_an_interrupted_run_asks_again_only_what_was_in_flight(owls: Owls, whole: tuple[StudyState, int]) -> None:
    uninterrupted, calls = whole
    name = owls.study("interrupted")
    with pytest.raises(Interrupted):
        owls.run(name, watch=Stopped(owls.server, calls // 2))
    state = owls.run(name)
    assert calls <= owls.server.calls <= calls + 4  # as many are in flight at once
    assert scores(state) == scores(uninterrupted)


def test_heads_without_an_answer_are_kept_in_mind_and_asked_again(owls: Owls, whole: tuple[StudyState, int]) -> None:
    uninterrupted, calls = whole
    name = owls.study("faulty")
    explaining = 0

    def faulty(request: Json) -> Reply:
        nonlocal explaining
        if is_explaining(request):
            explaining += 1
            if explaining == 2:
                return refused(500, f"The key {KEY} hit a bug.")
        elif "2 owls" in asked(request) or "7 owls" in asked(request):
            return refused(429, f"Slow down, {KEY}.")
        return oracle(request)

    owls.server.answer = faulty
    state = owls.run(name)
    lost = state.unanswered
    assert {one.step for one in lost.values()} == {"explain", "score"}
    assert state.finished is not None and state.is_done("score")
    assert 0 < len(scores(state)) < len(scores(uninterrupted))
    assert lost.keys() | scores(state).keys() == scores(uninterrupted).keys()
    report = (owls.home / "studies" / name / "report" / "report.md").read_text()
    assert f"{len(lost)} heads" in report and "500" in report
    assert stages_left(state) == ["explain", "score", "claims", "ablate"]
    assert {key for key in state.head_claims if key in lost} == set()
    of_all = uninterrupted.adjustments[NAME].tests
    assert len(scores(state)) < state.adjustments[NAME].tests >= of_all  # those without an answer were to be tested too
    assert rescore(state)[1].differing == []

    owls.server.answer = oracle
    state = owls.run(name)
    assert state.unanswered == {} and stages_left(state) == []
    # Which head's words another is held against may differ: not all were there when the first ones were judged.
    assert {key: without_controls(one) for key, one in scores(state).items()} == {
        key: without_controls(one) for key, one in scores(uninterrupted).items()
    }
    assert state.baseline == uninterrupted.baseline
    [made] = state.calls.values()
    assert abs(made.calls - calls) <= 8 and made.unanswered > 0
    assert state.head_claims == uninterrupted.head_claims
    done = owls.server.calls
    owls.run(name)
    assert owls.server.calls == done


def test_no_key_is_written_anywhere(owls: Owls) -> None:
    """After the runs above, in which the endpoint repeated the key in its errors."""
    written = [path for path in owls.home.rglob("*") if path.is_file()]
    assert len(written) > 20 and any(path.name == "events.jsonl" for path in written)
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_another_explainer_is_put_beside_the_studys_own(owls: Owls, whole: tuple[StudyState, int]) -> None:
    before, _ = whole
    name = owls.study("beside")
    owls.run(name)
    calls = owls.server.calls
    rules = msgspec.structs.replace(owls.settings, explainer="rules", llm=None)
    state = owls.run(name, settings=rules)
    assert owls.server.calls == calls
    assert scores(state) == scores(before)
    assert {key[:2] for key in state.explanations if key[2] == "rules"} == {key[:2] for key in scores(before)}
    assert state.baseline.keys() == state.adjustments.keys() == {NAME, "rules"}
    assert state.explainers() == [NAME, "rules"]
    other = msgspec.structs.replace(owls.settings, llm=msgspec.structs.replace(owls.settings.llm, model="hawk"))
    events = list(owls.events(name, settings=other))
    assert {event.score.explainer for event in events if isinstance(event, HeadScored)} == {"llm:hawk"}
    assert [event.explainer for event in events if isinstance(event, ScoresAdjusted | BaselineCompared)] == [
        "llm:hawk"
    ] * 2
    assert [type(event) for event in owls.events(name, settings=other)].count(HeadScored) == 0  # nothing is left
    report = (owls.home / "studies" / name / "report" / "report.md").read_text()
    assert all(explainer in report for explainer in ("llm:owl", "llm:hawk", "rules"))
    computed, result = rescore(Study.open(name).state)
    assert result.differing == [] and result.kept == 0 and result.computed == len(computed)


def test_a_sentence_of_ones_own_is_judged_by_the_model(owls: Owls) -> None:
    name = owls.study("sentence")
    mine = msgspec.structs.replace(owls.settings, explainer="me", explanation="Active when there are 3 owls.")
    state = owls.run(name, settings=mine)
    assert not any(is_explaining(request) for request in owls.server.requests)
    judged = [one for one in state.judgements.values() if one.explainer == "me"]
    assert judged and {one.judge for one in judged} == {NAME}
    assert {said.text for said in state.explanations.values()} == {"Active when there are 3 owls."}


def test_batches_of_prompts_are_warned_of_once(owls: Owls) -> None:
    assert owls.settings.llm is not None
    models = LanguageModels()
    for batch in (1, 2, 2):
        models.judge(msgspec.structs.replace(owls.settings.llm, judge_batch=batch))
    said = [event for event in models.accounted(iter(())) if isinstance(event, Warned)]
    assert len(said) == 1 and "2 prompts in one call" in said[0].text
    assert list(models.accounted(iter(()))) == []


def test_leave_is_asked_once_with_the_calls_that_are_made_then(owls: Owls, whole: tuple[StudyState, int]) -> None:
    _, calls = whole
    planned: list[PlannedCalls] = []
    name = owls.study("leave")

    def refuse(plans: list[PlannedCalls]) -> None:
        planned.extend(plans)
        raise InputError("No.")

    with pytest.raises(InputError, match=r"No\."):
        list(owls.events(name, leave=refuse))
    assert owls.server.calls == 0
    [plan] = planned
    assert plan.cost is None and plan.prompt_tokens > 100 * plan.calls
    assert calls <= plan.calls <= 1.02 * calls  # two heads may get the same words, which are judged once

    heard: list[AnyEvent] = []
    list(owls.events(name, leave=planned.extend, tell=heard.append))
    assert len(planned) == 2
    spent = [event for event in heard if isinstance(event, Spending)]
    assert spent[-1].calls == owls.server.calls == calls
    assert [event.calls for event in spent] == sorted(event.calls for event in spent)


@pytest.mark.parametrize("judge", [False, True])
def test_openai_without_a_key_is_refused_before_any_work(
    owls: Owls, monkeypatch: pytest.MonkeyPatch, judge: bool
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    name = owls.study(f"keyless {judge}")
    openai = {"judge_base_url" if judge else "base_url": "https://api.openai.com/v1"}
    settings = msgspec.structs.replace(owls.settings, llm=msgspec.structs.replace(owls.settings.llm, **openai))
    with pytest.raises(InputError, match="OPENAI_API_KEY is not set"):
        owls.run(name, settings=settings)
    assert owls.server.calls == 0
