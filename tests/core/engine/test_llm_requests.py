"""While a language model is waited for, the engine answers; what it would be asked is said before."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
from chat_server import Json, Reply
from oracle import is_explaining, oracle
from owls import Owls
from wire import End, Wire

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
from headtorch.core.events import (
    AnyEvent,
    CallsMade,
    ExplanationSoFar,
    HeadClaimTested,
    HeadExplained,
    HeadJudged,
    HeadScored,
    VerdictsSoFar,
    is_durable,
)
from headtorch.core.explain.llm.cache import answers_folder
from headtorch.core.settings import LlmAccess
from headtorch.core.study.study import Study


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
                for label, prompt in zip(one.active, state.labelled_prompts(one), strict=True)
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
    go, told_of_some = threading.Event(), threading.Event()

    def slow(request: Json) -> Reply:
        assert go.wait(30)
        if not is_explaining(request) and next(judged) > 2:
            assert told_of_some.wait(30)
        return dataclasses.replace(oracle(request), pause=0.05)

    judged = count(1)
    owls.server.answer = slow
    request = asking(owls, 0)
    number = wire.send(request)
    wire.answer(ShadePrompts(id=0, neuron=request.neuron, head=request.head), Shading)
    wire.answer(ReadDocument(id=0, document=0), DocumentText)
    assert not any(isinstance(one, End) and one.request == number for one in wire.heard)
    go.set()
    while not any(isinstance(event, VerdictsSoFar) for event in told(wire, number)):
        wire.next()
    told_of_some.set()
    assert isinstance(wire.end(number), RequestDone)
    events = told(wire, number)
    kinds = [type(event) for event in events if is_durable(event)]
    assert kinds == [HeadExplained, HeadJudged, HeadScored, CallsMade, HeadClaimTested]
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
