"""Many heads explained at once: each question asked once, answers read, what is no explanation named."""

from __future__ import annotations

import pytest
from fake_chat import NEURON, FakeChat, sent, task, user_text

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.llm.explainer import LlmExplainer
from headtorch.core.explain.llm.questions import Question, Reply, Unanswered
from headtorch.core.explain.protocol import NoAnswer
from headtorch.core.records import Explanation, HeadId
from headtorch.core.settings import LlmSettings

SETTINGS = LlmSettings(model="big", base_url="http://localhost:1/v1", temperature=0.3, max_tokens=99)


def claim(question: Question) -> str:
    head = 1 if "owl1" in user_text(question) else 2
    return f'{{"explanation": "Active after the word owl{head}."}}'


def test_each_task_gets_its_own_explanation_whatever_the_order() -> None:
    chat = FakeChat(claim)
    explainer = LlmExplainer(SETTINGS, chat)
    made = list(explainer.explain_all([task(1), task(2)]))
    assert explainer.name == "llm:big"
    assert made == [
        Explanation(neuron=NEURON, head=HeadId(2, 2), explainer="llm:big", text="Active after the word owl2."),
        Explanation(neuron=NEURON, head=HeadId(2, 1), explainer="llm:big", text="Active after the word owl1."),
    ]
    assert chat.batches == [2] and chat.closed == 1


def test_a_question_carries_the_settings() -> None:
    [question] = LlmExplainer(SETTINGS, FakeChat(claim)).questions([task()])
    assert (question.base_url, question.model) == ("http://localhost:1/v1", "big")
    assert (question.temperature, question.max_tokens) == (0.3, 99)
    assert question.schema is not None and question.schema.schema["required"] == ["explanation"]
    assert question.on_text is None


def test_the_target_can_be_hidden() -> None:
    hidden = LlmSettings(model="big", hide_target=True)
    [shown] = LlmExplainer(SETTINGS, FakeChat(claim)).questions([task(target=" Zanzibar")])
    [kept] = LlmExplainer(hidden, FakeChat(claim)).questions([task(target=" Zanzibar")])
    assert "Zanzibar" in sent(shown) and "Zanzibar" not in sent(kept)


def test_heads_with_the_same_examples_share_one_question() -> None:
    chat = FakeChat(claim)
    examples = task(1).examples
    made = list(LlmExplainer(SETTINGS, chat).explain_all([task(1, examples=examples), task(3, examples=examples)]))
    assert len(chat.asked) == 1
    assert [one.head for one in made] == [HeadId(2, 1), HeadId(2, 3)]


def test_what_is_no_explanation_says_why() -> None:
    replies: dict[str, Reply | str] = {
        "owl1": Unanswered("The endpoint did not answer."),
        "owl2": "<think>hm",
        "owl3": "I'm sorry, but I can't help with that.",
    }
    chat = FakeChat(lambda question: next(reply for word, reply in replies.items() if word in user_text(question)))
    made = list(LlmExplainer(SETTINGS, chat).explain_all([task(1), task(2), task(3)]))
    assert all(isinstance(one, NoAnswer) and (one.unanswered, one.calls) == (1, 1) for one in made)
    reasons = {one.head.index: one.reason for one in made if isinstance(one, NoAnswer)}
    assert reasons[1] == "The endpoint did not answer."
    assert "reasoning" in reasons[2]
    assert "declined" in reasons[3] and "sorry" in reasons[3]
    assert {word for word in replies for one in chat.forgotten if word in user_text(one)} == {"owl2", "owl3"}


def test_tasks_that_were_never_asked_get_the_reason_why() -> None:
    final = Unanswered("The key was refused.", final=True)
    chat = FakeChat(lambda question: final if "owl3" in user_text(question) else None)
    made = list(LlmExplainer(SETTINGS, chat).explain_all([task(1), task(2), task(3)]))
    assert [(one.head.index, one.reason) for one in made if isinstance(one, NoAnswer)] == [
        (3, "The key was refused."),
        (1, "The key was refused."),
        (2, "The key was refused."),
    ]


def test_an_explanation_is_heard_while_it_arrives() -> None:
    heard: list[tuple[HeadId, str]] = []
    explainer = LlmExplainer(SETTINGS, FakeChat(claim), on_text=lambda neuron, head, text: heard.append((head, text)))
    [question] = explainer.questions([task(1)])
    assert question.on_text is not None
    for so_far in ("", "<think>is it", '<think>x</think>{"expl', '{"explanation": "Active af', '{"explanation": "A"}'):
        question.on_text(so_far)
    assert heard == [(HeadId(2, 1), text) for text in ("", "", "", "Active af", "A")]


def test_stopping_early_closes_the_chat() -> None:
    chat = FakeChat(claim)
    made = LlmExplainer(SETTINGS, chat).explain_all([task(1), task(2)])
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert chat.closed == 1


def test_nothing_to_explain_gives_nothing() -> None:
    assert list(LlmExplainer(SETTINGS, FakeChat(claim)).explain_all([])) == []


def test_an_unknown_version_of_the_prompts_is_refused() -> None:
    with pytest.raises(ExplanationError, match="version 1"):
        LlmExplainer(LlmSettings(model="big", prompts=1), FakeChat(claim))
