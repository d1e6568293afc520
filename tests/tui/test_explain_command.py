"""Explaining with a language model from the command line: leave, limits, and another explainer on a finished study."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import Call, Places, data, refusal, write_corpus
from chat_server import ChatServer, Json, Reply, refused
from oracle import is_explaining, oracle

from headtorch.core.explain.llm.cache import answers_folder
from headtorch.core.study.study import Study

KEY = "sk-test-1234567890abcdef"
Explained = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(oracle) as running:
        yield running


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("letters") / "texts", documents=40, words=120)


@pytest.fixture
def asked(
    cli: Call, places: Places, letters: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    """`asked("run", …)`: a run on the tiny model that is explained by the model behind the server."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HEADTORCH_CONFIG", str(tmp_path))
    (tmp_path / "config.toml").write_text("[explainer]\ncontrol_n = 1\nrandom_n = 2\nattempts = 1\n")
    server.requests.clear()
    server.answer = oracle

    def call(command: str, *args: object) -> Any:
        return cli(command, *args, *OWL, "--base-url", server.base_url)

    return call


OWL = ("--explainer", "llm", "--explainer-model", "owl")


def question(places: Places, letters: Path) -> list[object]:
    return ["--model", places.model, "--corpus", letters, "--context", 32, "--top-k", 16, "--token", " States", "-n", 2,
            "--random-neurons", 2, "--layers", "last:2"]  # fmt: skip


def test_without_a_terminal_nothing_is_asked_unless_yes(
    asked: Call, server: ChatServer, places: Places, letters: Path
) -> None:
    said = refusal(asked("run", *question(places, letters), "--study", "unasked"))
    assert "--yes" in said and "--max-calls" in said
    assert server.calls == 0 and Study.open("unasked").state.explainable()


def test_a_run_goes_on_where_its_cap_stopped_it_and_says_what_it_cost(
    asked: Call, server: ChatServer, places: Places, letters: Path
) -> None:
    about = [*question(places, letters), "--study", "owls", "--yes"]
    stopped = asked("run", *about, "--max-calls", 5)
    assert stopped.code == 2 and server.calls == 5
    assert stopped.err.splitlines()[-1].startswith("headtorch: The cap of 5 calls is reached")
    assert "price unknown" in stopped.err and "about" in stopped.err  # the plan, before the first call
    left = asked("run", *about)
    assert left.code == 0 and "price unknown" in left.out
    said = [line for line in left.out.splitlines() if "owl: " in line and "Explanations by" not in line]
    assert said[0].startswith(f"owl: {server.calls - 5} calls (")
    assert said[1].startswith(f"The whole study until now, owl: {server.calls} calls (") and len(said) == 2
    assert "Explanations by llm:owl: of next-token neurons" in left.out
    calls = server.calls
    again = data(asked("run", *about, "--json"))
    assert server.calls == calls
    assert {row["explainer"] for row in again["scores"]} == {"llm:owl"}
    assert again["unanswered"] == [] and again["calls"][0]["calls"] == calls and again["asked"] == []
    shown = asked("run", *about).out
    assert "no call was made" in shown and f"The whole study until now, owl: {calls} calls (" in shown
    assert "\nowl: " not in shown
    written = [path for path in [*places.home.rglob("*"), *places.cache.rglob("*")] if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in left.out + left.err + stopped.err


def test_another_explainer_is_added_to_a_finished_study(
    cli: Call, asked: Call, server: ChatServer, places: Places, letters: Path
) -> None:
    """After the run above."""
    assert cli("run", *question(places, letters), "--study", "ruled").code == 0
    found = data(asked("explain", "ruled", "--yes", "--json"))
    state = Study.open(places.home / "studies" / "ruled").state
    heads = {(str(one.neuron), str(one.head)) for one in state.explainable()}
    assert {(row["neuron"], row["head"]) for row in found["heads"]} == heads
    assert all(row["explanation"].startswith("Active when there are") for row in found["heads"])
    unusable = sum(row["unusable"] or 0 for row in found["heads"])
    assert unusable and f"neither active nor inactive {unusable} times" in asked("explain", "ruled", "--yes").out
    assert state.explainers() == ["rules", "llm:owl"] and state.baseline.keys() == {"rules", "llm:owl"}
    neuron, head = sorted(heads)[0]
    calls = server.calls
    [row] = data(cli("explain", "ruled", neuron, head, "--explainer", "me", "--explanation", "re:Congress", "--json"))[
        "heads"
    ]
    assert row["explanation"] == "re:Congress" and row["q"] is None and server.calls == calls
    shown = cli("explain", "ruled", neuron, head, "--explainer", "me", "--explanation", "re:Congress")
    assert shown.code == 0 and "re:Congress" in shown.out


def test_a_sentence_is_judged_by_the_model_named_for_that(
    cli: Call, asked: Call, server: ChatServer, places: Places
) -> None:
    state = Study.open(places.home / "studies" / "ruled").state
    one = next(one for one in state.explainable() if state.scores[one.neuron, one.head, "rules"].e is not None)
    sentence = ["explain", "ruled", one.neuron, one.head, "--explainer", "me", "--explanation", "After three owls."]
    assert "--judge-model" in refusal(cli(*sentence, "--yes"))
    assert "--yes" in refusal(cli(*sentence, "--judge-model", "owl", "--base-url", server.base_url))
    [row] = data(cli(*sentence, "--judge-model", "owl", "--base-url", server.base_url, "--yes", "--json"))["heads"]
    assert row["e"] is not None and not any(is_explaining(request) for request in server.requests)
    assert Study.open("ruled").state.judgements[one.neuron, one.head, "me"].judge == "llm:owl"


def test_what_is_sent_is_what_was_shown_before_but_for_the_marks(
    cli: Call, asked: Call, server: ChatServer, places: Places
) -> None:
    state = Study.open(places.home / "studies" / "ruled").state
    one = next(one for one in state.explainable() if state.scores[one.neuron, one.head, "rules"].e is not None)
    found = data(cli("prompts-for", "ruled", one.neuron, one.head, "--explainer-model", "hawk", "--json"))
    named = ("--explainer", "llm", "--explainer-model", "hawk", "--base-url", server.base_url, "--yes", "--json")
    [row] = data(cli("explain", "ruled", one.neuron, one.head, *named))["heads"]
    assert row["e"] is not None and row["contrast"] is not None
    [explaining] = [request for request in server.requests if is_explaining(request)]
    said = re.sub("[⟦⟧]|source [0-9]+%, ", "", explaining["messages"][1]["content"])
    shown = found["messages"][1]["content"]
    assert said.split("\n\n")[:3] == shown.split("\n\n")[:3] and "effect" in shown
    assert shown.count("(effect") == 20  # explain_n
    assert found["calls"]["explainer"]["calls"] == 1
    assert 0 <= found["calls"]["judge"]["calls"] - (server.calls - 1) <= 2  # another head's claim, which nobody made


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "There is no study"),
        (["ruled", "L2.N9999"], "no heads worth explaining"),
        (["ruled", "N4"], "is not the address of a neuron"),
        (["ruled", "--explainer", "me"], "go together"),
        (["ruled", "--explanation", "re:x"], "go together"),
        (["ruled", "--explainer", "me", "--explanation", "re:("], "not a regular expression"),
        (["ruled", "--explainer", "llm", "--yes"], "--explainer-model"),
        (
            ["ruled", "--explainer-model", "owl", "--max-calls", "3"],
            "--explainer-model, --max-calls: no language model",
        ),
        (
            ["ruled", "--explainer", "me", "--explanation", "re:x", "--base-url", "http://h/v1"],
            "--base-url: no language",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(cli: Call, asked: Call, args: list[str], said: str) -> None:
    assert said in refusal(cli("explain", *args))


def test_a_run_that_is_killed_pays_again_for_no_answer_that_it_was_given(
    asked: Call, server: ChatServer, places: Places, letters: Path
) -> None:
    about = [*question(places, letters), "--study", "killed", "--yes"]
    answers = answers_folder()
    for path in answers.glob("*"):
        path.unlink()
    server.delay = 0.03
    command = [sys.executable, "-m", "headtorch", "run", *map(str, about), *OWL, "--base-url", server.base_url]
    running = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while server.calls < 20 and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    finally:
        running.kill()
        server.delay = 0.0
    assert 20 <= server.calls < 60
    assert asked("run", *about).code == 0
    bodies = [json.dumps(request, sort_keys=True) for request in server.requests]
    needed = len(set(bodies))
    assert needed == sum(made.calls for made in Study.open("owls").state.calls.values())
    assert needed <= len(bodies) <= needed + 8  # as many are in flight at once
    assert len(Study.open("killed").state.scores) == len(Study.open("owls").state.scores)


def test_without_a_terminal_what_is_answered_in_the_cache_needs_no_yes(
    asked: Call, server: ChatServer, places: Places, letters: Path, tmp_path: Path
) -> None:
    """After the refusal at the top."""
    with (tmp_path / "config.toml").open("a") as config:
        config.write("concurrency = 1\n")  # so that heads are always held against the same others
    about = question(places, letters)
    assert asked("run", *about, "--study", "unasked", "--yes").code == 0
    scores = Study.open("unasked").state.scores
    calls = server.calls
    for study in ("unasked", "anew"):
        again = asked("run", *about, "--study", study)
        assert again.code == 0, again.err
        assert Study.open(study).state.scores == scores and scores
    assert server.calls == calls


def test_a_command_that_gets_no_answer_at_all_is_no_success_and_one_that_gets_some_is(
    cli: Call, asked: Call, server: ChatServer, places: Places, letters: Path
) -> None:
    about = [*question(places, letters), "--study", "dead", "--yes"]
    for path in answers_folder().glob("*"):
        path.unlink()
    server.answer = lambda _request: refused(503, "overloaded")
    dead = asked("run", *about)
    state = Study.open("dead").state
    heads = len(state.explainable())
    assert dead.code == 2 and "report: " in dead.out and state.finished is not None
    assert len(state.unanswered) == heads > 2
    last = dead.err.splitlines()[-1]
    assert last.startswith(
        f"headtorch: None of {heads} heads got an answer: {server.base_url} failed (503: overloaded)"
    )
    assert last.endswith("; run again later; the same command asks again.") and "Traceback" not in dead.err
    failed = asked("explain", "dead", "--yes", "--json")
    assert failed.code == 2 and len(json.loads(failed.out)["heads"]) == heads

    explained = []

    def all_but_one(request: Json) -> Reply:
        if is_explaining(request):
            explained.append(request)
            return refused(400, "no") if len(explained) == 1 else oracle(request)
        return oracle(request)

    server.answer = all_but_one
    partly = asked("run", *about)
    assert partly.code == 0, partly.err
    assert f"Unanswered, 1 of {heads} heads: " in partly.out
    server.answer = lambda _request: refused(400, "no")
    one = next(one for one in Study.open("dead").state.unanswered.values())
    left = asked("explain", "dead", one.neuron, one.head, "--yes")
    assert left.code == 2 and "headtorch: The head got no answer: " in left.err
