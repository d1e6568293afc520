"""Explainer and judge over the real client, to a server that answers as models do."""

from __future__ import annotations

import json
from pathlib import Path

from chat_client import chat
from chat_server import ChatServer, Json, Reply, refused
from fake_chat import case, task

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.explainer import LlmExplainer
from headtorch.core.explain.llm.judge import LlmJudge
from headtorch.core.explain.protocol import NoAnswer
from headtorch.core.records import Explanation, Judgement
from headtorch.core.settings import LlmSettings


def model(request: Json) -> Reply:
    """Explains by the owl's number; judges a text by the letter a, and fails on the letter z."""
    user = request["messages"][-1]["content"]
    if "explanation" in user:
        number = user.split("owl")[1].split('"')[0]
        return f"<think>Which owl?</think>\n```json\n{json.dumps({'explanation': f'Active after owl {number}.'})}\n```"
    text = user.split("Text: ")[1].split("\n")[0]
    if "z" in text:
        return refused(400, "This text is not allowed.")
    return '{"verdict": "active"}' if " a" in text else "Inactive."


def test_heads_are_explained_and_judged(tmp_path: Path) -> None:
    heard: dict[int, str] = {}
    cache = AnswerCache(tmp_path)
    with ChatServer(model) as server:
        settings = LlmSettings(model="small", base_url=server.base_url)
        explainer = LlmExplainer(
            settings, chat(cache=cache), on_text=lambda neuron, head, text: heard.update({head.index: text})
        )
        said = {one.head.index: one for one in explainer.explain_all([task(1), task(2)])}
        assert all(isinstance(one, Explanation) for one in said.values())
        assert heard == {1: "Active after owl 1.", 2: "Active after owl 2."}
        cases = [case(1), case(2, texts=[(" a",), (" z",)], controls=[])]
        found = {}
        for one in LlmJudge(settings, chat(cache=cache)).judge_all(cases):
            found[one.head.index] = one
        asked = server.calls
        again = list(LlmJudge(settings, chat(cache=cache)).judge_all(cases[:1]))
    assert isinstance(found[1], Judgement) and found[1].verdicts == [True, False, False]
    assert isinstance(found[2], NoAnswer) and (found[2].unanswered, found[2].calls) == (1, 2)
    assert again == [found[1]] and server.calls == asked


def test_an_answer_without_an_explanation_is_asked_for_again(tmp_path: Path) -> None:
    said = iter(["I'm sorry, but I can't help with that.", '{"explanation": "Active after an owl."}'])
    cache = AnswerCache(tmp_path)
    with ChatServer(lambda request: next(said)) as server:
        explainer = LlmExplainer(LlmSettings(model="small", base_url=server.base_url), chat(cache=cache))
        [first], [second], [third] = (list(explainer.explain_all([task(1)])) for _ in range(3))
        assert server.calls == 2
    assert isinstance(first, NoAnswer)
    assert isinstance(second, Explanation) and second == third
