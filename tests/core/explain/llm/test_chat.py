"""Asking a language model: what is sent, what comes back, and what is not asked twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from chat_client import SCHEMA, answer, chat, question, replies, reply, unanswered
from chat_server import ChatServer, Fault, Json, Said, in_turn

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, Usage

STREAMED = [False, True]


@pytest.mark.parametrize("streamed", STREAMED)
def test_an_answer_is_the_text_and_the_endpoints_own_count(streamed: bool) -> None:
    heard: list[str] = []
    with ChatServer("Active after owls.") as server:
        found = answer(chat(), question(server, "Two words?", on_text=heard.append if streamed else None))
    assert found == Answer("Active after owls.", Usage(prompt_tokens=3, completion_tokens=3))
    assert heard[-1:] == (["Active after owls."] if streamed else [])


def test_the_request_holds_what_was_asked_and_nothing_else() -> None:
    with ChatServer("{}") as server:
        asked = chat()
        reply(asked, question(server, "Hm?", schema=SCHEMA, temperature=0.5, max_tokens=9))
        reply(asked, question(server, "Hm?", temperature=None))
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Hm?"}]
    full, plain = server.requests
    assert full.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "schema": SCHEMA.schema, "strict": True},
    }
    assert full == {"model": "small", "messages": messages, "temperature": 0.5, "max_tokens": 9}
    assert plain == {"model": "small", "messages": messages, "max_tokens": 64}


def test_replies_come_in_the_order_of_completion() -> None:
    first_may_go = threading.Event()

    def slow_first(request: Json) -> str:
        text: str = request["messages"][1]["content"]
        if text == "first":
            first_may_go.wait(5)
        return text

    with ChatServer(slow_first) as server:
        found = chat().ask([question(server, text) for text in ("first", "second")])
        places = [next(found)[0]]
        first_may_go.set()
        places += [place for place, _ in found]
    assert places == [1, 0]


def test_equal_questions_are_asked_once_and_answered_to_all() -> None:
    heard: list[str] = []
    ledger = Ledger(prices={})
    with ChatServer("yes") as server:
        asked = [question(server), question(server, on_text=heard.append), question(server, "Else?"), question(server)]
        found = replies(chat(ledger=ledger), asked)
    assert [each.text for each in found if isinstance(each, Answer)] == ["yes"] * 4
    assert server.calls == 2 and ledger.total().calls == 2
    assert set(heard) == {"yes"}


def test_a_kept_answer_is_given_without_a_call_and_before_the_caps(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    with ChatServer("yes") as server:
        first = answer(chat(cache=cache), question(server))
        broke = Ledger(prices={}, max_calls=0)
        again = answer(chat(cache=cache, ledger=broke), question(server))
    assert server.calls == 1
    assert again == Answer(first.text, first.usage, cached=True)
    assert (broke.total().cached, broke.total().calls) == (1, 0)
    assert cache.problem is None


def test_a_fault_is_not_kept(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    with ChatServer(in_turn("", "yes")) as server:
        unanswered(chat(cache=cache), question(server))
        assert answer(chat(cache=cache), question(server)).text == "yes"


def test_a_listener_hears_the_text_grow_in_the_thread_that_waits() -> None:
    heard: list[tuple[str, float, int]] = []

    def listen(text: str) -> None:
        heard.append((text, time.monotonic(), threading.get_ident()))

    words = [f"w{i} " for i in range(60)]
    with ChatServer(Said("".join(words), pieces=words, pause=0.01)) as server:
        found = answer(chat(), question(server, on_text=listen))
    texts = [text for text, _, _ in heard]
    assert len(texts) >= 3 and texts[-1] == found.text
    assert all(after.startswith(before) for before, after in pairwise(texts))
    seconds = heard[-1][1] - heard[0][1]
    assert len(texts) <= 2 + 10 * seconds  # the last comes with the answer
    assert {thread for _, _, thread in heard} == {threading.get_ident()}


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("streamed", STREAMED)
def test_an_endpoint_that_counts_nothing_is_estimated_and_said_so(streamed: bool, counted: bool) -> None:
    ledger = Ledger(prices={})
    with ChatServer(Said("Active after owls.", counted=counted)) as server:
        found = answer(chat(ledger=ledger), question(server, on_text=(lambda _: None) if streamed else None))
    assert found.usage.known == counted
    assert found.usage.prompt_tokens > 0 and found.usage.completion_tokens > 0
    assert ledger.by_model()[0].counted == counted


def test_half_characters_of_two_chunks_make_one_and_lone_ones_are_replaced() -> None:
    pieces = ["owl \ud83e", "\udd89 ", "\ud83e!"]
    with ChatServer(Said("".join(pieces), pieces=pieces)) as server:
        streamed = answer(chat(), question(server, on_text=lambda _: None))
        whole = answer(chat(), question(server))
        asked = answer(chat(), question(server, "half \ud83e"))
    assert streamed.text == whole.text == asked.text == "owl 🦉 �!"
    assert server.requests[-1]["messages"][1]["content"] == "half �"


@pytest.mark.parametrize("unknown", ["response_format", "temperature", "max_tokens", "stream_options", "stream"])
def test_what_an_endpoint_does_not_know_is_left_out_from_then_on(unknown: str) -> None:
    heard: list[str] = []
    with ChatServer("yes", refuses=[unknown]) as server:
        asked = chat()
        questions = [question(server, text, schema=SCHEMA, on_text=heard.append) for text in ("one", "two")]
        assert [answer(asked, each).text for each in questions] == ["yes", "yes"]
    assert set(heard) == {"yes"}
    assert [unknown in request for request in server.requests] == [True, False, False]
    kept = {"response_format", "temperature", "max_tokens", "stream_options", "stream"} - {unknown}
    if unknown == "stream":
        kept -= {"stream_options"}
    assert all(kept <= set(request) for request in server.requests)
    instead = [request.get("max_completion_tokens") for request in server.requests]
    assert instead == ([None, 64, 64] if unknown == "max_tokens" else [None] * 3)


def test_an_endpoint_may_know_nothing_but_messages() -> None:
    everything = ["response_format", "temperature", "max_tokens", "stream_options", "stream"]
    with ChatServer("yes", refuses=everything) as server:
        assert answer(chat(), question(server, schema=SCHEMA, on_text=lambda _: None)).text == "yes"
    assert set(server.requests[-1]) == {"model", "messages", "max_completion_tokens"}


def test_a_refused_parameter_is_remembered_for_its_model_alone() -> None:
    with ChatServer("yes", refuses=["temperature"]) as server:
        asked = chat()
        answer(asked, question(server, model="a"))
        answer(asked, question(server, model="b"))
    assert [(request["model"], "temperature" in request) for request in server.requests] == [
        ("a", True),
        ("a", False),
        ("b", True),
        ("b", False),
    ]


def test_a_prompt_that_is_too_long_is_no_complaint_about_parameters() -> None:
    words = "'max_tokens' is too large: 64. This model's maximum context length is 128 tokens"
    with ChatServer(Fault(400, {"error": {"message": words}})) as server:
        found = unanswered(chat(), question(server))
    assert server.calls == 1 and not found.final
    assert "too long" in found.reason and "maximum context length is 128" in found.reason


def test_an_answer_sent_whole_to_who_wanted_a_stream_is_asked_for_whole() -> None:
    heard: list[str] = []
    whole = {"choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
    with ChatServer(Fault(200, whole)) as server:
        assert answer(chat(), question(server, on_text=heard.append)).text == "yes"
    assert set(heard) == {"yes"}
    assert ["stream" in request for request in server.requests] == [True, False]


def test_each_endpoint_is_given_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "explainers-key")
    monkeypatch.setenv("TEST_JUDGE", "judges-key")
    with ChatServer("yes") as explainer, ChatServer("no") as judge:
        asked = chat(judge_base_url=judge.base_url + "/", judge_api_key_env="TEST_JUDGE")
        found = replies(asked, [question(explainer), question(judge)])
    assert [each.text for each in found if isinstance(each, Answer)] == ["yes", "no"]
    assert explainer.headers[0]["authorization"] == "Bearer explainers-key"
    assert judge.headers[0]["authorization"] == "Bearer judges-key"


def test_only_openai_learns_the_account_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    with ChatServer("yes") as server:
        assert answer(chat(), question(server)).text == "yes"
    assert not [name for name in server.headers[0] if name.startswith("openai-")]


def test_a_server_of_ones_own_needs_no_key_and_openai_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    with ChatServer("yes") as server:
        assert answer(chat(), question(server)).text == "yes"
    found = unanswered(chat(), question("https://api.openai.com/v1"))
    assert found.final
    assert found.reason == (
        "https://api.openai.com/v1 wants a key, and the environment variable TEST_KEY is not set; "
        "set it to your key, or give the base_url of another endpoint."
    )


def test_the_client_is_imported_with_the_first_call() -> None:
    code = "import sys, headtorch.core.explain.llm.chat; print('openai' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
