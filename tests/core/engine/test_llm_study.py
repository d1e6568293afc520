"""Studies explained and judged by a language model on loopback: nothing is paid twice, nothing lost."""

from __future__ import annotations

import dataclasses
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from chat_server import ChatServer, Json, Reply, refused
from oracle import asked, is_explaining, oracle
from wire import End, Wire

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.pipeline import explain_study, run_study, stages_left
from headtorch.core.engine.protocol import (
    CallsPlanned,
    Cancel,
    DocumentText,
    ExplainHead,
    Happened,
    OpenStudy,
    PlanCalls,
    ReadDocument,
    RequestCancelled,
    RequestDone,
    ShadePrompts,
    Shading,
)
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import BudgetReached, InputError, Interrupted
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    CallsMade,
    ExplanationSoFar,
    HeadExplained,
    HeadJudged,
    HeadScored,
    ScoresAdjusted,
    Spending,
    VerdictsSoFar,
    Warned,
    is_durable,
)
from headtorch.core.explain.llm.cache import answers_folder
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import PlannedCalls, Score
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.core.study.rescoring import rescore
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import SILENT, Watch

NAME = "llm:owl"
KEY = "sk-test-9f8e7d6c5b4a39281706"
WORDS = "the of and State States United Union Congress people Government apple pear tree has been just".split()  # noqa: SIM905


@dataclass
class Owls:
    """A study that has come to its heads, and the endpoint that it will ask."""

    server: ChatServer
    settings: Settings
    home: Path
    model: LanguageModel

    def study(self, name: str) -> str:
        """A copy of it under a name, and no answers kept from before."""
        shutil.copytree(self.home / "studies" / "prepared", self.home / "studies" / name)
        shutil.rmtree(answers_folder(), ignore_errors=True)
        self.server.requests.clear()
        self.server.answer = oracle
        return name

    def run(
        self, name: str, *, watch: Watch = SILENT, settings: Settings | None = None, **access: object
    ) -> StudyState:
        """The state after what is left of it, or of another explainer's part in it."""
        for _ in self.events(name, watch=watch, settings=settings, **access):
            pass
        return Study.open(name).state

    def events(
        self,
        name: str,
        *,
        watch: Watch = SILENT,
        settings: Settings | None = None,
        leave: Callable[[list[PlannedCalls]], None] | None = None,
        tell: Callable[[AnyEvent], None] | None = None,
        **access: object,
    ) -> Iterator[AnyEvent]:
        workspace = Workspace(self.settings, watch=watch, model=self.model)
        reached = msgspec.structs.replace(LlmAccess(attempts=1, timeout=5.0, concurrency=4), **access)
        workspace.llm = LanguageModels(reached, watch=watch, tell=tell, leave=leave)
        with Study.create(name, self.settings) as study:
            yield from run_study(study, workspace) if settings is None else explain_study(study, workspace, settings)


@pytest.fixture(scope="module")
def owls(own_home: Path, tiny_settings: Settings) -> Iterator[Owls]:
    texts = own_home / "texts"
    texts.mkdir()
    draw = random.Random(1)
    for i in range(40):
        (texts / f"{i:03}.txt").write_text(" ".join(draw.choices(WORDS, k=120)))
    with ChatServer(oracle) as server, pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("OPENAI_API_KEY", KEY)
        settings = msgspec.structs.replace(
            tiny_settings,
            corpus=str(texts),
            neurons_limit=3,
            random_neurons=3,
            top_k=32,
            explain_n=12,
            explainer="llm",
            llm=LlmSettings(model="owl", base_url=server.base_url, control_n=2, random_n=3),
        )
        made = Owls(server, settings, own_home, open_model(settings.model, device="cpu"))
        with pytest.raises(BudgetReached):
            made.run("prepared", max_calls=0)
        assert server.calls == 0
        yield made


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
        assert len(judged.random_verdicts) == 3 and all(len(one) == len(controls) for one in judged.others)
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
    assert stages_left(state) == ["explain", "score", "ablate"]
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
    assert calls <= made.calls <= calls + 8 and made.unanswered > 0
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


@pytest.fixture(scope="module")
def wire(owls: Owls) -> Iterator[Wire]:
    """An engine with the study open, at its heads."""
    with Wire() as engine:
        _, end = engine.ask(OpenStudy(id=0, where=owls.study("opened"), run=False, device="cpu"))
        assert isinstance(end, RequestDone), end
        yield engine


def asking(owls: Owls, place: int) -> ExplainHead:
    """A request about one of the heads that can be scored."""
    state = Study.open("opened").state
    heads = [
        one
        for one in state.explainable()
        if len(
            {
                label
                for label, prompt in zip(one.active, state.prompts[one.neuron], strict=True)
                if prompt.half == "score"
            }
        )
        == 2
    ]
    access = LlmAccess(attempts=1, timeout=30.0, concurrency=4)
    return ExplainHead(
        id=0, neuron=heads[place].neuron, head=heads[place].head, explainer="llm", llm=owls.settings.llm, access=access
    )


def told(wire: Wire, number: int) -> list[AnyEvent]:
    return [one.event for one in wire.heard if isinstance(one, Happened) and one.request == number]


def test_other_requests_are_served_while_a_language_model_is_waited_for(owls: Owls, wire: Wire) -> None:
    go = threading.Event()

    def slow(request: Json) -> Reply:
        assert go.wait(30)
        said = oracle(request)
        return dataclasses.replace(said, pause=0.05)

    owls.server.answer = slow
    request = asking(owls, 0)
    number = wire.send(request)
    wire.answer(ShadePrompts(id=0, neuron=request.neuron, head=request.head), Shading)
    wire.answer(ReadDocument(id=0, document=0), DocumentText)
    assert not any(isinstance(one, End) and one.request == number for one in wire.heard)
    go.set()
    assert isinstance(wire.end(number), RequestDone)
    events = told(wire, number)
    kinds = [type(event) for event in events if is_durable(event)]
    assert kinds == [HeadExplained, HeadJudged, HeadScored, CallsMade]
    order = [type(event) for event in events]
    assert ExplanationSoFar in order[: order.index(HeadExplained)]
    assert VerdictsSoFar in order[order.index(HeadExplained) : order.index(HeadJudged)]
    assert not {ExplanationSoFar, VerdictsSoFar} & set(order[order.index(HeadJudged) :])
    [final] = [event for event in events if isinstance(event, HeadExplained)]
    so_far = [event.text for event in events if isinstance(event, ExplanationSoFar)]
    assert all(final.explanation.text.startswith(text) for text in so_far)


def test_waiting_for_a_language_model_can_be_cancelled(owls: Owls, wire: Wire) -> None:
    held, reached = threading.Event(), threading.Event()

    def slow(request: Json) -> Reply:
        reached.set()
        return oracle(request) if held.wait(60) else "late"

    owls.server.answer = slow
    number = wire.send(asking(owls, 1))
    assert reached.wait(60)
    began = time.monotonic()
    wire.ask(Cancel(id=0, target=number))
    assert isinstance(wire.end(number), RequestCancelled)
    assert time.monotonic() - began < 20
    held.set()


def test_a_plan_names_the_calls_that_are_made_then_and_shows_their_texts(owls: Owls, wire: Wire) -> None:
    owls.server.answer = oracle
    request = asking(owls, 1)
    shutil.rmtree(answers_folder(), ignore_errors=True)
    before = owls.server.calls
    planned = wire.answer(PlanCalls(id=0, head=request), CallsPlanned)
    assert owls.server.calls == before
    [plan] = planned.plans
    assert (plan.model, plan.cached, plan.cost) == ("owl", 0, None)
    explaining, judging = planned.examples
    assert "attention head" in explaining and "You apply a claim" in judging
    _, end = wire.ask(request)
    assert isinstance(end, RequestDone)
    assert owls.server.calls - before == plan.calls
    [again] = wire.answer(PlanCalls(id=0, head=request), CallsPlanned).plans
    assert again.cached >= 1  # the claim is kept; what it says is not known to a plan
