"""P("active") of a verdict: from the log probabilities that an endpoint gives, and none where it gives none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from chat_client import answer, chat, question
from chat_server import ChatServer, Fault, Json, Said, refused
from fake_chat import FakeChat, case

from headtorch.core.explain.llm.cache import AnswerCache, answer_key
from headtorch.core.explain.llm.judge import LlmJudge
from headtorch.core.explain.llm.logprobs import option_probabilities
from headtorch.core.explain.llm.prompts import OPTIONS
from headtorch.core.explain.llm.questions import Answer, Question, Usage
from headtorch.core.records import Judgement
from headtorch.core.settings import LlmSettings

Alternatives = Sequence[Mapping[str, float]]
JSON_TOKENS = [{'{"': 1.0}, {"verdict": 1.0}, {'":': 1.0}, {' "': 1.0}]
VERDICT = [*JSON_TOKENS, {"in": 0.6, "active": 0.3, "yes": 0.1}, {"active": 1.0}, {'"}': 1.0}]
SAID = Said('{"verdict": "inactive"}', alternatives=VERDICT)


def told(tokens: Alternatives) -> SimpleNamespace:
    """As the client reads it."""

    def one(text: str, p: float) -> SimpleNamespace:
        return SimpleNamespace(token=text, logprob=math.log(p))

    return SimpleNamespace(
        content=[
            SimpleNamespace(token=next(iter(top)), top_logprobs=[one(*each) for each in top.items()]) for top in tokens
        ]
    )


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (VERDICT, 0.3 / 0.9),
        ([*JSON_TOKENS[:3], {' "active': 0.8, ' "in': 0.1, ' "inactive': 0.1}, {'"}': 1.0}], 0.8),
        ([{"Inactive": 0.9, "Active": 0.09, "The": 0.01}, {".": 1.0}], 0.09 / 0.99),
        ([{"a": 0.5, "i": 0.5}, {"ctive": 1.0}], 0.5),
        ([{"active": 1.0}], 1.0),
        ([{"<think>active or": 1.0}, {" inactive</think>": 1.0}, *VERDICT], 0.3 / 0.9),
        ([{"yes": 0.9, "no": 0.1}], None),
        ([{"active": 0.9, "inactive": 0.1}, {" or inactive": 1.0}], None),  # it names both
        ([{" proactive": 1.0}], None),
        ([], None),
    ],
)
def test_the_probability_is_read_at_the_token_that_decides(tokens: Alternatives, expected: float | None) -> None:
    found = option_probabilities(told(tokens), OPTIONS)
    if expected is None:
        assert found is None
    else:
        assert found is not None and found[0] == pytest.approx(expected) and sum(found) == pytest.approx(1)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "logprobs",
        SimpleNamespace(content=None),
        SimpleNamespace(content=[None, SimpleNamespace(token=3, top_logprobs="x")]),
        SimpleNamespace(content=[SimpleNamespace(token="active", top_logprobs=None)]),
        SimpleNamespace(content=[SimpleNamespace(token="active", top_logprobs=[SimpleNamespace(token="active")])]),
        SimpleNamespace(
            content=[SimpleNamespace(token="active", top_logprobs=[SimpleNamespace(token="active", logprob=math.nan)])]
        ),
    ],
)
def test_what_is_no_list_of_tokens_gives_none(broken: object) -> None:
    assert option_probabilities(broken, OPTIONS) is None


def asked(server: ChatServer, text: str = "Is it active?") -> Question:
    plain = question(server, text)
    return Question(base_url=plain.base_url, model=plain.model, messages=plain.messages, options=OPTIONS)


def test_they_are_asked_for_where_there_are_options_and_kept_with_the_answer(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    with ChatServer(SAID) as server:
        first = answer(chat(cache=cache), asked(server))
        plain = answer(chat(cache=cache), question(server))
        again = answer(chat(cache=cache), asked(server))
    assert [(request.get("logprobs"), request.get("top_logprobs")) for request in server.requests] == [
        (True, 5),
        (None, None),
    ]
    assert first.probabilities is not None and first.probabilities[0] == pytest.approx(1 / 3)
    assert plain.probabilities is None
    assert again.cached and again.probabilities == pytest.approx(first.probabilities)


def test_answers_with_and_without_are_kept_apart() -> None:
    plain = Question(base_url="http://a/v1", model="m", messages=())
    with_options = Question(base_url="http://a/v1", model="m", messages=(), options=OPTIONS)
    assert answer_key(plain) != answer_key(with_options)


@pytest.mark.parametrize(
    "refusal",
    [
        refused(400, "Unsupported parameter: 'logprobs' is not supported with this model."),
        refused(403, "You are not allowed to request logprobs from this model."),
        refused(422, "top_logprobs: extra fields not permitted"),
        Fault(500, {"detail": "logprobs are not implemented"}),
    ],
)
def test_an_endpoint_that_refuses_them_is_asked_without_from_then_on(refusal: Fault) -> None:
    def reply(request: Json) -> Said | Fault:
        return refusal if "logprobs" in request else SAID

    with ChatServer(reply) as server:
        client = chat()
        answers = [answer(client, asked(server, text)) for text in ("one", "two")]
    assert [one.text for one in answers] == [SAID.text] * 2
    assert [one.probabilities for one in answers] == [None, None]
    assert ["logprobs" in request for request in server.requests] == [True, False, False]


def test_a_forbidden_key_is_no_complaint_about_them() -> None:
    with ChatServer(refused(403, "This key may not be used here.")) as server:
        [(_, reply)] = list(chat().ask([asked(server)]))
    assert not isinstance(reply, Answer) and reply.final and server.calls == 1


def sure(question: Question) -> Answer:
    """Says active with the probability that stands in the text, where one does."""
    text = question.messages[-1].content.split("Text: ")[1].split("\n")[0].strip('"')
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    if text.strip() == "refuses":
        return Answer("Who knows?", usage)
    p = float(text)
    return Answer(f'{{"verdict": "{"active" if p > 0.5 else "inactive"}"}}', usage, probabilities=(p, 1 - p))


def test_a_judgement_holds_them_in_the_order_of_its_prompts() -> None:
    texts = [("0.9",), ("refuses",), ("0.2",)]
    judge = LlmJudge(LlmSettings(model="m"), FakeChat(sure))
    [found] = judge.judge_all([case(texts=texts, controls=[])])
    assert isinstance(found, Judgement)
    assert found.verdicts == [True, None, False] and found.probabilities == [0.9, None, 0.2]


def test_batches_and_silent_endpoints_have_none() -> None:
    batch = LlmJudge(LlmSettings(model="m", judge_batch=2), FakeChat(lambda question: None))
    assert all(not one.options for one in batch.questions([case()]))
    silent = LlmJudge(LlmSettings(model="m"), FakeChat(lambda question: '{"verdict": "active"}'))
    [found] = silent.judge_all([case()])
    assert isinstance(found, Judgement) and found.probabilities == [] and len(found.verdicts) == 3
