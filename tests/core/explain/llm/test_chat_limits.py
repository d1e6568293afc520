"""How much is asked at once, how long and how much is waited for, and that stopping stops."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate
from pathlib import Path

import psutil
import pytest
from chat_client import answer, chat, question, replies, unanswered
from chat_server import ChatServer, Fault, Json, Reply, Said, in_turn, refused

from headtorch.core.errors import BudgetReached, Interrupted
from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.dialect import Dialect
from headtorch.core.explain.llm.endpoint import Endpoint
from headtorch.core.explain.llm.faults import retry_after
from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, Question
from headtorch.core.settings import LlmAccess, Price
from headtorch.core.watch import Watch

EVENTS = {"Content-Type": "text/event-stream"}


def numbered(server: ChatServer, count: int) -> list[Question]:
    return [question(server, str(i)) for i in range(count)]


def number_of(request: Json) -> str:
    text: str = request["messages"][1]["content"]
    return text


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds before long."""
    end = time.monotonic() + 30
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.01)
    return held


class StopAfter(Watch):
    """Interrupts at the first checkpoint at which `done` holds."""

    def __init__(self, done: Callable[[], bool]) -> None:
        self.done = done

    def checkpoint(self) -> None:
        if self.done():
            raise Interrupted("Stopped.")


def test_two_hundred_questions_sixteen_at_once() -> None:
    delay, count, at_once = 0.1, 200, 16
    with ChatServer(number_of, delay=delay) as server:
        answer(chat(), question(server, "first"))  # imports the client
        start = time.monotonic()
        found = replies(chat(concurrency=at_once), numbered(server, count))
        seconds = time.monotonic() - start
    assert [each.text for each in found if isinstance(each, Answer)] == [str(i) for i in range(count)]
    assert server.max_running == at_once
    assert seconds < delay * count / 2  # one after the other they take delay · count


def test_retries_are_no_more_at_once() -> None:
    rng, seen = random.Random(0), set[str]()

    def often_busy(request: Json) -> Reply:
        first = number_of(request) not in seen
        seen.add(number_of(request))
        return refused(rng.choice([429, 503]), "busy") if first else "yes"

    with ChatServer(often_busy, delay=0.01) as server:
        found = replies(chat(concurrency=4), numbered(server, 40))
    assert all(isinstance(each, Answer) for each in found)
    assert server.calls == 80 and server.max_running <= 4


def test_two_endpoints_do_not_wait_for_each_other() -> None:
    all_four = threading.Barrier(4)

    def together(_request: Json) -> str:
        all_four.wait(30)
        return "yes"

    with ChatServer(together) as one, ChatServer(together) as other:
        found = replies(chat(concurrency=2), [question(server, text) for text in "ab" for server in (one, other)])
    assert all(isinstance(each, Answer) for each in found)
    assert one.max_running == other.max_running == 2


def test_nothing_is_asked_while_the_endpoint_wants_to_be_left_alone() -> None:
    seen: list[str] = []

    def busy_for_a(request: Json) -> Reply:
        seen.append(number_of(request))
        if number_of(request) == "b":
            time.sleep(0.3)
        return refused(429, "wait", retry_after="0.5") if seen.count("a") == 1 and seen[-1] == "a" else "yes"

    with ChatServer(busy_for_a) as server:
        found = replies(chat(concurrency=2), [question(server, text) for text in "abcd"])
    assert all(isinstance(each, Answer) for each in found)
    assert sorted(seen[:2]) == ["a", "b"]
    assert min(server.times[2:]) - server.times[0] >= 0.5


def test_an_endpoint_is_left_alone_for_a_minute_at_most() -> None:
    with ChatServer(refused(429, "tomorrow", retry_after="86400")) as server:
        start = time.monotonic()
        with pytest.raises(Interrupted):
            replies(chat(watch=StopAfter(lambda: time.monotonic() - start > 0.5)), numbered(server, 3))
    endpoint = Endpoint("http://a", LlmAccess(), key_name="", secrets=(), dialects=lambda _: Dialect(), max_tokens=1)
    endpoint.pause(86400)
    assert 59 < endpoint.not_before - time.monotonic() <= 60


def test_retry_after_is_seconds_or_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 28 < retry_after(date) <= 30
    assert [retry_after(value) for value in ("2", "1.5", "3600", formatdate(0, usegmt=True))] == [2, 1.5, 3600, 0]
    assert [retry_after(value) for value in (None, "", "soon", "nan", "inf", "-3", "Wed, 99 Foo 2015")] == [0] * 7


def test_a_cap_stops_new_calls_and_running_ones_are_given_first() -> None:
    ledger = Ledger(prices={}, max_calls=5)
    found: list[object] = []
    with ChatServer(number_of, delay=0.05) as server:
        with pytest.raises(BudgetReached, match="cap of 5 calls"):
            found.extend(chat(concurrency=3, ledger=ledger).ask(numbered(server, 20)))
        assert server.calls == 5
    assert len(found) == 5
    assert ledger.total().calls == 5


def test_a_retry_counts_against_the_cap_too() -> None:
    ledger = Ledger(prices={}, max_calls=2)
    with ChatServer(in_turn(refused(500, "no"), "yes")) as server, pytest.raises(BudgetReached):
        replies(chat(concurrency=1, ledger=ledger), numbered(server, 2))
    assert server.calls == 2
    assert ledger.total().calls == 1


def test_what_calls_under_way_may_cost_is_waited_for_and_not_refused() -> None:
    price = Price(prompt=0.0, completion=1e6 / 64)  # a dollar for the longest answer
    ledger = Ledger(prices={"small": price}, max_cost=1.5)
    with ChatServer("yes", delay=0.01) as server:
        found = replies(chat(concurrency=4, ledger=ledger), numbered(server, 20))
    assert all(isinstance(each, Answer) for each in found)
    assert server.max_running == 1
    assert ledger.total().cost == pytest.approx(20 / 64)


def test_calls_that_break_off_count_with_the_most_that_they_may_cost() -> None:
    ledger = Ledger(prices={"small": Price(prompt=0.0, completion=1e6 / 64)})
    with ChatServer(in_turn(Fault(drop=0), refused(429, "busy"), "yes")) as server:
        answer(chat(attempts=3, ledger=ledger), question(server))
    assert ledger.total().cost == pytest.approx(1 + 1 / 64)


def test_an_interruption_stops_all_calls_at_once_and_what_was_answered_is_never_asked_again(tmp_path: Path) -> None:
    cache, ledger, count = AnswerCache(tmp_path), Ledger(prices={}), 40
    before = threading.active_count()

    def half(request: Json) -> str:
        if int(number_of(request)) >= count // 2 and not rerun:
            server.closing.wait(30)
        return "yes"

    rerun: list[bool] = []
    with ChatServer(half) as server:
        watch = StopAfter(lambda: ledger.total().calls >= count // 2)
        asked = chat(cache=cache, ledger=ledger, watch=watch, concurrency=4, timeout=30)
        start = time.monotonic()
        with pytest.raises(Interrupted):
            list(asked.ask(numbered(server, count)))
        assert time.monotonic() - start < 20
        assert threading.active_count() - server.connections <= before + 1  # the server's own thread
        assert soon(lambda: ledger.total().unanswered == 4)  # those that were stopped
        rerun.append(True)
        again = Ledger(prices={})
        found = replies(chat(cache=cache, ledger=again, concurrency=4), numbered(server, count))
    assert all(isinstance(each, Answer) for each in found)
    assert ledger.total().calls + again.total().calls == count
    assert again.total().cached == count // 2


def test_closing_the_generator_stops_the_calls() -> None:
    with ChatServer(lambda request: "yes" if number_of(request) == "0" else Fault(silence=30)) as server:
        found = chat(timeout=30).ask(numbered(server, 8))
        assert next(found)[0] == 0
        start = time.monotonic()
        found.close()
        assert time.monotonic() - start < 10
        assert not [thread for thread in threading.enumerate() if thread.name == "headtorch-chat"]


def test_a_listener_that_raises_is_heard_and_stops_the_calls() -> None:
    def listen(_text: str) -> None:
        raise Interrupted("Enough.")

    with ChatServer(Said("a b c d e f", pause=0.2)) as server, pytest.raises(Interrupted, match="Enough"):
        answer(chat(), question(server, on_text=listen))
    assert not [thread for thread in threading.enumerate() if thread.name == "headtorch-chat"]


def test_asking_leaves_no_thread_and_no_open_socket() -> None:
    process = psutil.Process()
    with ChatServer("yes") as server:
        replies(chat(), numbered(server, 9))
        assert soon(lambda: server.connections == 0)
        before = process.num_fds(), threading.active_count()
        for _ in range(3):
            replies(chat(), numbered(server, 9))
        assert soon(lambda: server.connections == 0)
        assert soon(lambda: (process.num_fds(), threading.active_count()) == before)


LONG = json.dumps({"choices": [{"message": {"content": "x" * 1_000_000}, "finish_reason": "stop"}]})
START = b'{"choices": [{"message": {"content": "'
WORD = b'data: {"choices": [{"delta": {"content": "owl "}}]}\n\n'


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [
        (Fault(200, LONG), False),
        (Fault(200, START, endless=b"x" * 65536), False),
        (Fault(500, b"no", endless=b"x" * 65536), False),
        (Fault(200, b"", EVENTS, endless=WORD * 100), True),
        (Fault(200, b"data: ", EVENTS, endless=b"x" * 65536), True),
        (Said("x" * 1_000_000, pieces=["x" * 100_000] * 10), True),
    ],
    ids=["1 MB", "endless", "endless error", "endless stream", "endless line of a stream", "1 MB stream"],
)
def test_an_answer_without_measure_is_cut_while_it_is_read(fault: Reply, streamed: bool) -> None:
    with ChatServer(fault) as server:
        found = unanswered(chat(), question(server, on_text=(lambda _: None) if streamed else None))
    assert "sent far more than max_tokens allows" in found.reason
    assert server.calls == 1
    assert server.bytes_sent < 12_000_000  # what fits into the buffers of both sides and no more


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_drips_without_end_is_cut(streamed: bool) -> None:
    drip = Fault(200, b"", EVENTS if streamed else {}, endless=b": wait\n\n" if streamed else b" ", pause=0.03)
    with ChatServer(drip) as server:
        start = time.monotonic()
        found = unanswered(
            chat(timeout=0.1, attempts=1), question(server, on_text=(lambda _: None) if streamed else None)
        )
        assert time.monotonic() - start < 20
    assert "did not come to an end of its answer; lower max_tokens or take another model." in found.reason
