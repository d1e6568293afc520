"""Many explanations judged at once: one stream of calls, verdicts where they belong, nothing asked twice."""

from __future__ import annotations

import json

from fake_chat import FakeChat, case, explanation, sent, user_text

from headtorch.core.explain.llm.judge import LlmJudge
from headtorch.core.explain.llm.questions import Question, Unanswered
from headtorch.core.explain.protocol import Case, NoAnswer
from headtorch.core.records import Judgement, Verdict
from headtorch.core.settings import LlmSettings

SETTINGS = LlmSettings(model="big", base_url="http://a/v1")


def text_of(question: Question) -> str:
    """The one text that is asked about."""
    return user_text(question).split("Text: ")[1].split("\n")[0]


def by_word(question: Question) -> str:
    """Active where the text holds the letter a; nothing usable for the letter d."""
    text = text_of(question)
    return "maybe" if " d" in text else '{"verdict": "active"}' if " a" in text else '{"verdict": "inactive"}'


def judged(cases: list[Case], chat: FakeChat, settings: LlmSettings = SETTINGS) -> list[Judgement | NoAnswer]:
    return list(LlmJudge(settings, chat).judge_all(cases))


def test_verdicts_land_where_they_belong() -> None:
    chat = FakeChat(by_word)
    [found] = judged([case(others=[explanation(9)], random_texts=[(" x",), (" a",)])], chat)
    assert found == Judgement(
        neuron=explanation().neuron,
        head=explanation().head,
        explainer="llm:big",
        judge="llm:big",
        prompts=[10, 11, 12],
        verdicts=[True, False, None],
        control_prompts=[10, 12],
        others=[[True, None]],
        empty=[True, None],
        random_active=[True, True],
        random_verdicts=[False, True],
        dropped=2,
    )
    assert chat.batches == [3 + 2 + 2 + 2] and chat.closed == 1


def test_controls_are_asked_about_the_other_and_the_empty_claim() -> None:
    claims = [user_text(question).split("\n")[0] for question in questions([case(others=[explanation(9)])])]
    assert claims == [
        *['Claim: "Active after word 4."'] * 3,
        *['Claim: "Active after word 9."'] * 2,
        *["Claim: none is known. Decide from the text alone."] * 2,
    ]


def questions(cases: list[Case], settings: LlmSettings = SETTINGS) -> list[Question]:
    return LlmJudge(settings, FakeChat(by_word)).questions(cases)


def test_heads_are_judged_one_after_the_other_so_that_a_cut_leaves_whole_ones() -> None:
    heads = [case(index, random_texts=[(" r",)]) for index in (1, 2)]
    one, both = questions(heads[:1]), questions(heads)
    assert both[: len(one)] == one
    paid = {sent(question) for question in both[: len(one)]}
    no_credit = Unanswered("No credit left.", final=True)
    chat = FakeChat(lambda question: by_word(question) if sent(question) in paid else no_credit)
    found = {said.head.index: said for said in judged(heads, chat)}
    assert isinstance(found[1], Judgement) and isinstance(found[2], NoAnswer)


def test_cases_share_what_they_ask_alike() -> None:
    same = [case(index, others=[explanation(9)]) for index in range(5)]
    asked = questions(same)
    assert len(asked) == len({sent(one) for one in asked}) == 5 * 3 + 2 + 2
    found = judged(same, FakeChat(by_word))
    assert len(found) == 5
    assert all(
        isinstance(one, Judgement) and one.empty == [True, None] and one.others == [[True, None]] for one in found
    )


def test_a_judgement_comes_as_soon_as_it_is_whole() -> None:
    first, last = case(1, texts=[(" a",)], controls=[]), case(2, texts=[(" b",)], controls=[])
    chat = FakeChat(by_word)
    found = LlmJudge(SETTINGS, chat).judge_all([first, last])
    assert next(found).head.index == 2  # the fake answers the last question first
    assert chat.closed == 0
    assert [one.head.index for one in found] == [1]


def test_a_case_with_a_lost_call_has_no_judgement_and_the_others_go_on() -> None:
    lost = Unanswered("The endpoint timed out.")
    chat = FakeChat(
        lambda question: lost if "word 1." in user_text(question) and "c" in text_of(question) else by_word(question)
    )
    found = {one.head.index: one for one in judged([case(1), case(2)], chat)}
    assert isinstance(found[2], Judgement)
    assert found[1] == NoAnswer(
        neuron=explanation(1).neuron, head=explanation(1).head, reason="The endpoint timed out.", unanswered=1, calls=5
    )


def test_what_is_never_asked_counts_as_unanswered_for_the_final_reason() -> None:
    final = Unanswered("The key was refused.", final=True)
    chat = FakeChat(
        lambda question: final if "none is known" in user_text(question) and " d" in text_of(question) else None
    )
    [found] = judged([case()], chat)
    assert isinstance(found, NoAnswer)
    assert (found.reason, found.unanswered, found.calls) == ("The key was refused.", 5, 5)


def test_verdicts_are_heard_as_they_come_in() -> None:
    heard: list[tuple[int, list[int], list[Verdict], int]] = []
    judge = LlmJudge(
        SETTINGS,
        FakeChat(by_word),
        on_verdicts=lambda one, prompts, verdicts, total: heard.append(
            (one.explanation.head.index, prompts, verdicts, total)
        ),
    )
    list(judge.judge_all([case(random_texts=[(" x",)])]))
    assert heard == [
        (4, [12], [None], 3),
        (4, [11, 12], [False, None], 3),
        (4, [10, 11, 12], [True, False, None], 3),
    ]


def test_batches_are_numbered_and_the_rest_is_asked_alone() -> None:
    def answer(question: Question) -> str:
        if "Texts:" not in user_text(question):
            return "inactive"
        lines = [line for line in user_text(question).splitlines() if line[:1].isdigit()]
        return json.dumps({"verdicts": [{"number": i, "verdict": "active"} for i in range(len(lines), 0, -1)]})

    settings = LlmSettings(model="big", judge_batch=2, max_tokens=10)
    chat = FakeChat(answer)
    [found] = judged([case(controls=[])], chat, settings)
    assert isinstance(found, Judgement) and found.verdicts == [True, True, False]
    assert [question.schema.name for question in chat.asked if question.schema] == ["verdicts", "verdict"]
    assert [question.max_tokens for question in chat.asked] == [48, 24]


def test_the_judge_may_be_another_model_elsewhere() -> None:
    settings = LlmSettings(model="big", judge_model="small", judge_base_url="http://b/v1", temperature=None)
    [first, *_] = questions([case()], settings)
    assert (first.model, first.base_url, first.temperature) == ("small", "http://b/v1", None)
    [found] = judged([case(controls=[])], FakeChat(by_word), settings)
    assert isinstance(found, Judgement) and (found.judge, found.explainer) == ("llm:small", "llm:big")


def test_an_explanation_with_a_rule_is_judged_by_its_words() -> None:
    with_rule = Case(explanation=explanation(text="Active when …", rule='{"terms": []}'), prompts=[0], texts=[(" a",)])
    [question] = questions([with_rule])
    assert "terms" not in sent(question)


def test_a_case_without_prompts_needs_no_call() -> None:
    chat = FakeChat(by_word)
    [found] = judged([case(texts=(), controls=())], chat)
    assert isinstance(found, Judgement) and found.verdicts == [] and chat.asked == []


def test_stopping_early_closes_the_chat() -> None:
    chat = FakeChat(by_word)
    found = LlmJudge(SETTINGS, chat).judge_all([case(1), case(2)])
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert chat.closed == 1


def test_200_heads_of_140_calls_are_one_stream_of_distinct_questions() -> None:
    texts = [(f" word{i}", " and", " more") for i in range(80)]
    cases = [
        case(index, texts=texts, controls=range(20), others=[explanation(index + 1)], random_texts=texts[60:])
        for index in range(200)
    ]
    chat = FakeChat(lambda question: "active")
    found = judged(cases, chat)
    # 80 of each claim, of which controls and random texts are some; the last head's neighbour; the empty claim's 20.
    assert chat.batches == [200 * 80 + 20 + 20]
    assert len(found) == 200
    assert all(isinstance(one, Judgement) and len(one.verdicts) == 80 for one in found)


def test_a_text_that_the_model_refuses_to_judge_has_an_unusable_verdict() -> None:
    refusal = Unanswered("The model refuses to answer.", refused=True)
    chat = FakeChat(lambda question: refusal if " a" in text_of(question) else by_word(question))
    [found] = judged([case()], chat)
    assert isinstance(found, Judgement) and found.verdicts == [None, False, None]
