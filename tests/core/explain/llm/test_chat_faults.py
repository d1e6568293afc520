"""Whatever goes wrong at an endpoint ends in one sentence that says what to do, and keys appear nowhere."""

from __future__ import annotations

import gzip
import json
import logging
import random
import socket
import threading
from collections.abc import Callable

import pytest
from chat_client import answer, chat, question, replies, reply, unanswered
from chat_server import ChatServer, Fault, Json, Reply, Said, in_turn, refused

from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, Question, Unanswered
from headtorch.core.text import visible

KEY = "sk-proj-7hD9sQm2vX4kTz81"
HTML = {"Content-Type": "text/html"}
COMPLETION = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()
BOTH = pytest.mark.parametrize("streamed", [False, True])


def put(server: ChatServer, streamed: bool, listener: Callable[[str], None] = lambda _text: None) -> Question:
    return question(server, on_text=listener if streamed else None)


def is_one_sentence(reason: str) -> bool:
    return (
        reason.endswith(".")
        and "\n" not in reason
        and "; " in reason
        and len(reason) <= 600
        and visible(reason) == reason
    )


# name: what the server does, words of the reason, whether it is final, how often it is asked of two attempts
FAULTS: dict[str, tuple[Reply, str, bool, int]] = {
    "401": (refused(401, "Incorrect API key provided"), "refuses the key in TEST_KEY (401: Incorrect API", True, 1),
    "403": (refused(403, "Country not supported."), "(403: Country not supported); check the key", True, 1),
    "404": (refused(404, "The model does not exist"), "knows no model 'small' (404: The model does", True, 1),
    "404 of another path": (Fault(404, {"detail": "Not Found"}), "base_url, which mostly ends in /v1", True, 1),
    "429": (refused(429, "Rate limit reached"), "too often or is busy (429: Rate limit reached), asked 2 t", False, 2),
    "out of quota": (refused(429, "You ran out", code="insufficient_quota"), "no credit left (429: You ran", True, 1),
    "402": (refused(402, "Insufficient balance"), "no credit left (402: Insufficient balance)", True, 1),
    "400": (refused(400, "Bad messages"), "does not take the question (400: Bad messages)", False, 1),
    "500": (refused(500, "Out of memory"), "failed (500: Out of memory), asked 2 times; run again later", False, 2),
    "502 with a page": (Fault(502, "<html>Bad gateway</html>", HTML), "failed (502), asked 2 times", False, 2),
    "redirect": (Fault(307, b"", {"Location": "https://x.example/v1"}), "on to https://x.example/v1 (307)", True, 1),
    "not a byte": (Fault(silence=30), "sent nothing for 0.2 s, asked 2 times; run again later, or raise", False, 2),
    "dropped before": (Fault(drop=0), "broke off the connection", False, 2),
    "dropped in the middle": (Fault(200, COMPLETION, drop=20), "broke off the connection", False, 2),
    "not JSON": (Fault(200, "Sorry?"), "answered with text that is not JSON", False, 2),
    "nothing at all": (Fault(200, b""), "answered with text that is not JSON", False, 2),
    "wrong encoding": (Fault(200, COMPLETION.replace(b"yes", b"\xff\xfe\xe9")), "not JSON in UTF-8", False, 2),
    "JSON without choices": (Fault(200, {"object": "list"}), "answered with JSON without choices", False, 2),
    "JSON that is a number": (Fault(200, b"7"), "answered with JSON without choices", False, 2),
    "JSON of wrong types": (Fault(200, {"choices": [{"message": "yes"}]}), "JSON without choices", False, 2),
    "JSON without end": (Fault(200, b"[" * 50_000), "answered with text that is not JSON", False, 2),
    "an error as an answer": (Fault(200, {"error": {"message": "busy", "code": 503}}), "failed (503: busy)", False, 2),
    "a page": (Fault(200, "<!DOCTYPE html><p>Sign in", HTML), "answered with a page", True, 1),
    "compressed": (Fault(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}), "compresses what", True, 1),
}  # fmt: skip


def patience(reply: Reply) -> float:
    """Seconds to wait for an answer: few only where the server is silent, for it may be slow elsewhere."""
    return 0.2 if isinstance(reply, Fault) and reply.silence else 30.0


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence_and_asked_again_where_that_helps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    reply, words, final, calls = FAULTS[name]
    with ChatServer(reply) as server:
        found = unanswered(chat(timeout=patience(reply)), question(server))
    assert words in found.reason
    assert is_one_sentence(found.reason), found.reason
    assert found.final == final
    assert server.calls == calls


# what a stream does, words of the reason, how often it is asked of two attempts
STREAMS: dict[str, tuple[Reply, str, int]] = {
    "cut off": (Said("Active after", finish_reason=None), "broke off in the middle of its answer", 2),
    "dropped": (
        Fault(200, b'data: {"choices": []}\n\n', {"Content-Type": "text/event-stream"}, drop=23),
        "broke off",
        2,
    ),
    "an error in the middle": (
        Fault(200, b'data: {"error": {"message": "GPU lost"}}\n\n', {"Content-Type": "text/event-stream"}),
        "failed (500: GPU lost)",
        2,
    ),
    "no JSON": (Fault(200, b"data: {oh\n\n", {"Content-Type": "text/event-stream"}), "not JSON", 2),
    "wrong encoding": (Fault(200, b"data: \xff\n\n", {"Content-Type": "text/event-stream"}), "not JSON", 2),
    "other JSON": (Fault(200, b"data: [1]\n\ndata: 3\n\n", {"Content-Type": "text/event-stream"}), "broke off", 2),
    "a page": (Fault(200, "<p>Sign in", HTML), "answered with a page", 1),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_an_answer_only_when_it_came_to_its_end(name: str) -> None:
    reply, words, calls = STREAMS[name]
    with ChatServer(reply) as server:
        found = unanswered(chat(), put(server, True))
    assert words in found.reason
    assert is_one_sentence(found.reason)
    assert server.calls == calls


@BOTH
@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(None, refusal="I cannot help with that."), "refuses to answer (I cannot help with that); take another"),
        (Said("Act", finish_reason="content_filter"), "refuses to answer"),
        (Said("Active after a", finish_reason="length"), "had not finished after 64 tokens; raise max_tokens"),
        (Said(None), "gave an empty answer"),
        (Said(" \n"), "gave an empty answer"),
    ],
)
def test_what_is_no_whole_answer_is_not_used_and_yet_paid_for(said: Said, words: str, streamed: bool) -> None:
    ledger = Ledger(prices={})
    with ChatServer(said) as server:
        found = unanswered(chat(ledger=ledger), put(server, streamed))
    assert words in found.reason and is_one_sentence(found.reason)
    assert server.calls == 1 and not found.final
    spent = ledger.total()
    assert (spent.calls, spent.unanswered) == (0, 1)
    assert (spent.prompt_tokens, spent.completion_tokens) == (4, len((said.text or "").split()))


@pytest.mark.parametrize("fault", ["500", "429", "not a byte", "dropped before", "dropped in the middle", "not JSON"])
def test_an_answer_after_a_fault_is_an_answer(fault: str) -> None:
    with ChatServer(in_turn(FAULTS[fault][0], "yes")) as server:
        assert answer(chat(timeout=patience(FAULTS[fault][0])), question(server)).text == "yes"
    assert server.calls == 2


def test_the_others_are_answered_when_one_is_not() -> None:
    def answer_most(request: Json) -> Reply:
        return refused(400, "no") if request["messages"][1]["content"] == "3" else "yes"

    with ChatServer(answer_most) as server:
        found = replies(chat(), [question(server, str(i)) for i in range(6)])
    assert [isinstance(each, Answer) for each in found] == [i != 3 for i in range(6)]


def test_nothing_more_is_asked_after_a_final_refusal() -> None:
    ledger = Ledger(prices={})
    with ChatServer(refused(401, "no such key"), delay=0.02) as server:
        found = replies(chat(concurrency=2, ledger=ledger), [question(server, str(i)) for i in range(20)])
    assert server.calls <= 2
    assert all(isinstance(each, Unanswered) and each.final for each in found)
    assert len(set(found)) == 1


def test_a_model_that_is_not_there_leaves_the_others_alone() -> None:
    def one_model(request: Json) -> Reply:
        return "yes" if request["model"] == "b" else refused(404, "no such model")

    with ChatServer(one_model) as server:
        found = replies(chat(concurrency=1), [question(server, str(i), model="ab"[i % 2]) for i in range(6)])
    assert [isinstance(each, Answer) for each in found] == [False, True] * 3
    assert server.calls == 4


def test_a_port_where_nobody_listens_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = unanswered(chat(), question(f"http://127.0.0.1:{port}/v1"))
    assert f"http://127.0.0.1:{port}/v1 cannot be reached" in found.reason and "asked 2 times" in found.reason
    assert is_one_sentence(found.reason)
    assert found.final


def test_a_server_that_goes_away_is_given_up_and_one_that_comes_back_is_not() -> None:
    def goes_away(request: Json) -> Reply:
        return "yes" if len(server.requests) in (1, 2, 4) else refused(503, "restarting", retry_after="61")

    with ChatServer(goes_away) as server:
        asked = [question(server, str(i)) for i in range(20)]
        found = replies(chat(attempts=1, concurrency=1), asked)
    assert [isinstance(each, Answer) for each in found[:4]] == [True, True, False, True]
    assert server.calls == 6
    reasons = [each for each in found[4:] if isinstance(each, Unanswered)]
    assert [each.final for each in reasons] == [False] + [True] * 15
    assert "(503: restarting) and wants to be left alone for 61 s" in reasons[0].reason


def test_a_host_without_an_address_cannot_be_reached() -> None:
    found = unanswered(chat(), question("http://headtorch.invalid/v1"))
    assert "http://headtorch.invalid/v1 cannot be reached" in found.reason and is_one_sentence(found.reason)


def test_a_server_that_speaks_no_tls_is_named() -> None:
    with ChatServer() as server:
        found = unanswered(chat(), question(server.base_url.replace("http:", "https:")))
    assert server.base_url.removeprefix("http") in found.reason and is_one_sentence(found.reason)


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "ftp://host/v1", "http://", "http://[::1", "http://host:99999/v1", "http://a b/v1", "x\x1b[2J"],
)
def test_an_address_that_is_none_is_said_in_one_sentence_without_a_call(url: str) -> None:
    found = unanswered(chat(attempts=1), question(url))
    assert found.final
    assert "is not an address that a language model can have; give base_url as in http://" in found.reason
    assert is_one_sentence(found.reason)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SSL_CERT_FILE", "/nowhere/at-all.pem", "The certificates that SSL_CERT_FILE or"),
        ("ALL_PROXY", "gopher://me:hunter22@host", "The proxy that ALL_PROXY"),
    ],
)
def test_an_environment_that_the_client_cannot_use_is_named(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with ChatServer() as server:
        found = unanswered(chat(), question(server))
    assert found.final and found.reason.startswith(words) and "hunter22" not in found.reason
    assert is_one_sentence(found.reason)


def test_words_of_a_server_are_cut_short_and_made_inert() -> None:
    with ChatServer(refused(400, "\x1b]0;owned\x07 \u202e oh\n\nno " + "x" * 5000)) as server:
        reason = unanswered(chat(), question(server)).reason
    assert "\\x1b]0;owned\\x07 \\u202e oh no xxx" in reason and reason.count("x") < 200
    assert is_one_sentence(reason)


@BOTH
def test_keys_appear_nowhere(
    streamed: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judges = "judge-" + KEY[::-1]
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("TEST_JUDGE", judges)
    caplog.set_level(logging.DEBUG)
    echo = f"Key {KEY} or Bearer {KEY}, {judges}, is not yours"
    body = {"error": {"message": echo, "param": KEY}}
    statuses = (302, 400, 401, 403, 404, 422, 429, 500)
    faults: list[Reply] = [Fault(status, body, {"Location": f"/{KEY}"}) for status in statuses]
    said: list[object] = []
    with ChatServer(in_turn(*faults, Said(None, refusal=echo), Fault(200, body), Said(echo))) as server:
        asked = chat(attempts=1, judge_api_key_env="TEST_JUDGE")
        while server.calls < len(statuses) + 3:
            said.append(reply(asked, put(server, streamed, listener=said.append)))
        said += [asked, vars(asked), threading.enumerate()]
    everything = " ".join([*map(repr, said), caplog.text, *capfd.readouterr()])
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert everything.count("[key]") > len(statuses)
    assert KEY not in everything and judges not in everything


def test_a_key_with_a_line_break_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", f"{KEY}\nX-Other: 1")
    with ChatServer() as server:
        found = unanswered(chat(), question(server))
    assert found.reason == "TEST_KEY holds characters that no key has; set it to the key alone."
    assert server.calls == 0


LEAVES = [None, True, 7, -1, 10**400, 0.5, "", "yes", "\ud800", [], {}, [[]], [None], {"content": 3}]
MESSAGE = {"role": "assistant", "content": "yes", "refusal": None}
CHOICE = {"index": 0, "message": MESSAGE, "delta": MESSAGE, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
ERROR = {"message": "no", "param": None, "code": None, "type": "error", "detail": [{"loc": ["body", "a"], "msg": "no"}]}


def damaged(rng: random.Random, value: object, share: float = 0.1) -> object:
    """The same JSON with something else in some places."""
    if rng.random() < share:
        return rng.choice(LEAVES)
    if isinstance(value, dict):
        return {name: damaged(rng, inner, share) for name, inner in value.items() if rng.random() > share / 2}
    return [damaged(rng, inner, share) for inner in value] if isinstance(value, list) else value


@BOTH
def test_whatever_an_endpoint_sends_ends_in_a_reply(streamed: bool) -> None:
    rng = random.Random(0)

    def anything(_request: Json) -> Reply:
        status = rng.choice([200, 200, 200, 400, 429, 500])
        whole: Json = {"choices": [CHOICE], "usage": USAGE} if status == 200 else {"error": ERROR, "detail": "no"}
        bodies = [json.dumps(damaged(rng, whole)) for _ in range(2)]
        if streamed and status == 200:
            return Fault(200, "".join(f"data: {body}\n\n" for body in bodies), {"Content-Type": "text/event-stream"})
        return Fault(status, bodies[0])

    listener = (lambda _text: None) if streamed else None
    with ChatServer(anything) as server:
        asked = [question(server, str(i), model=str(i), on_text=listener) for i in range(200)]
        found = replies(chat(attempts=1), asked)
    assert all(isinstance(each, Answer) or is_one_sentence(each.reason) for each in found)
    assert 10 < sum(isinstance(each, Answer) for each in found) < 190


def test_an_error_in_an_error_in_an_error_ends_somewhere() -> None:
    body = b'{"error":' * 500 + b'"no"' + b"}" * 500
    with ChatServer(Fault(400, body)) as server:
        assert is_one_sentence(unanswered(chat(), question(server)).reason)


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with ChatServer() as server:
        found = unanswered(chat(), question(server.base_url.replace("//", "//me:hunter22@")))
    assert "holds a user name or password" in found.reason and "hunter22" not in found.reason
    assert server.calls == 0


def test_a_server_that_fails_two_questions_in_a_row_is_asked_no_more() -> None:
    with ChatServer(refused(500, "CUDA out of memory")) as server:
        found = replies(chat(concurrency=1), [question(server, str(i)) for i in range(20)])
    assert server.calls == 4  # two questions, asked twice
    lost = [each for each in found if isinstance(each, Unanswered)]
    assert [each.final for each in lost] == [False] + [True] * 19
    said = "failed (500: CUDA out of memory) at two questions in a row, asked 2 times; run again later."
    assert lost[1].reason.endswith(said) and is_one_sentence(lost[1].reason)
    assert set(lost[1:]) == {lost[1]}


def test_a_failing_server_is_asked_no_more_than_its_callers_had_begun() -> None:
    with ChatServer(refused(503, "overloaded"), delay=0.01) as server:
        found = replies(chat(concurrency=4), [question(server, str(i)) for i in range(60)])
    assert server.calls <= 10  # two attempts of each caller's question, and one that another had begun
    assert sum(isinstance(each, Unanswered) and each.final for each in found) >= 54


@pytest.mark.parametrize("between", ["yes", refused(400, "Bad messages")])
def test_a_server_that_answers_between_failures_is_not_given_up(between: Reply) -> None:
    """Every other question fails for good."""

    def every_other(request: Json) -> Reply:
        return refused(500, "crashed") if int(request["messages"][1]["content"]) % 2 else between

    with ChatServer(every_other) as server:
        found = replies(chat(concurrency=1), [question(server, str(i)) for i in range(12)])
    assert not any(isinstance(each, Unanswered) and each.final for each in found)
    assert [isinstance(each, Answer) for each in found] == [between == "yes", False] * 6
    assert server.calls == 6 + 6 * 2


def test_a_server_that_is_only_busy_at_one_attempt_is_not_failing() -> None:
    def busy_then_failing(_request: Json) -> Reply:
        return refused(429, "busy") if server.calls % 2 else refused(500, "crashed")

    with ChatServer(busy_then_failing) as server:
        found = replies(chat(concurrency=1), [question(server, str(i)) for i in range(4)])
    assert server.calls == 8
    assert not any(isinstance(each, Unanswered) and each.final for each in found)


def test_a_model_that_fails_leaves_the_others_alone() -> None:
    def one_model(request: Json) -> Reply:
        return "yes" if request["model"] == "b" else refused(502, "backend gone")

    with ChatServer(one_model) as server:
        found = replies(
            chat(concurrency=1, attempts=1), [question(server, str(i), model="ab"[i % 2]) for i in range(8)]
        )
    assert [isinstance(each, Answer) for each in found] == [False, True] * 4
    assert server.calls == 2 + 4
