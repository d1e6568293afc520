"""Answers as models give them: what is read in them, and what is refused."""

from __future__ import annotations

import json
import time

import pytest

from headtorch.core.explain.llm.answers import (
    ANSWER_LIMIT,
    EXPLANATION_LIMIT,
    Unusable,
    explanation_so_far,
    read_explanation,
)
from headtorch.core.explain.llm.reasoning import without_reasoning
from headtorch.core.explain.llm.verdicts import read_verdict, read_verdicts
from headtorch.core.text import visible

CLAIM = 'Active when the text ends in "United".'
IN_JSON = json.dumps({"explanation": CLAIM})


@pytest.mark.parametrize(
    "answer",
    [
        IN_JSON,
        json.dumps({"explanation": CLAIM}, indent=4) + "\n",
        f"```json\n{IN_JSON}\n```",
        f"```\n{IN_JSON}\n```",
        f"Here is my claim:\n\n```json\n{IN_JSON}\n```\nI hope this helps!",
        f"Sure! {IN_JSON}",
        IN_JSON[:-1] + ",}",
        IN_JSON[:-1] + ",\n}\n\n",
        json.dumps([{"explanation": CLAIM}]),
        json.dumps({"Explanation": CLAIM, "confidence": 0.9}),
        json.dumps({"result": CLAIM}),
        json.dumps(CLAIM),
        '{"explanation": "Active when the text\nends in \\"United\\"."}',
        IN_JSON[:-1],
        "{'explanation': " + json.dumps(CLAIM) + "}",
        '{"explanation": "draft"}\nOn reflection:\n' + IN_JSON,
        CLAIM,
        f"  {CLAIM}\n",
        f"**Explanation:** {CLAIM}",
        f"Explanation: {CLAIM}",
        f"Here's my claim: {CLAIM}",
        f"**{CLAIM}**",
        f"“{CLAIM}”",
        f"```text\n{CLAIM}\n```",
        'Active\twhen\u2028the text\u200b  ends\x00 in "United".\x1b',
        f"<think>The active texts all end in United.\n\nSo.</think>\n\n{IN_JSON}",
        f"<think></think>{IN_JSON}",
        f"<think>\n\n</think>\n\n{CLAIM}",
        f"<thinking>Hm, {{maybe}}</thinking>{CLAIM}",
        f"<reasoning>no <think>nested</reasoning>{IN_JSON}",
        f"Okay, the active texts end in United.\n</think>\n\n{IN_JSON}",
        f"[THINK]They end in United[/THINK]{IN_JSON}",
        f"<seed:think>They end in United</seed:think>{CLAIM}",
        f"<|channel|>analysis<|message|>They end<|end|><|start|>assistant<|channel|>final<|message|>{CLAIM}<|return|>",
        f"<|channel|>analysis<|message|>a<|end|><|start|>assistant"
        f"<|channel|>final <|constrain|>json<|message|>{IN_JSON}<|end|>",
        f"analysisWe need to find the pattern. All end in United.assistantfinal{IN_JSON}",
    ],
)
def test_an_explanation_is_found_in(answer: str) -> None:
    assert read_explanation(answer) == CLAIM


@pytest.mark.parametrize(
    "claim",
    [
        'Active when "an" or "a" came before.',
        "'an' and 'a' came before, or the text ends in 'the'",
        'Active when the text ends in ["an"].',
        'Active when the text holds {"a": "b"}.',
        "Active after the tag <b> in HTML.",
        "Active after a number [1] in brackets.",
        "Actif quand le texte se termine par un article.",
        'Active when the text is "the head".',
        "Active when the last token is “the”.",
        "Active when the text ends in 'the'.",
        'Active after a Chinese word such as "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字".',
        "Active when none of the words is capitalised.",
        "The answer to a question was given earlier in the text.",
        "Active when I cannot be followed by a verb.",
    ],
)
def test_what_a_claim_may_hold(claim: str) -> None:
    assert read_explanation(claim) == claim
    assert read_explanation(json.dumps({"explanation": claim})) == claim


def test_a_claim_about_tags_survives_in_json() -> None:
    claim = "Active after the tag <think> and before </think>."
    assert read_explanation(json.dumps({"explanation": claim})) == claim


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty answer"),
        (" \n\t", "empty answer"),
        ("<think>The active texts", "reasoning and no answer"),
        ("<think>The active texts</think>\n", "reasoning and no answer"),
        ("<|channel|>analysis<|message|>We need to", "reasoning and no answer"),
        ("analysisWe need to find", "reasoning and no answer"),
        ("{}", "JSON without"),
        ('{"verdict": true, "a": 1}', "JSON without"),
        ('{"explanation": 5}', "JSON without"),
        ('{"explanation": null}', "JSON without"),
        ('{"explanation": "Active when the te', "cut off"),
        ('```json\n{"explanation": "Active when\n```', "cut off"),
        ('{"explanation": ""}', "without words"),
        ('""', "without words"),
        ("…", "without words"),
        ("42", "JSON without"),
        ("I'm sorry, but I can't help with that.", "declined"),
        ("I’m sorry, but I cannot assist with that request.", "declined"),
        ("Sorry, I am unable to do this.", "declined"),
        ("As an AI language model, I do not", "declined"),
        ("I cannot determine a pattern from these texts.", "declined"),
        ("Unfortunately, I don't see any texts.", "declined"),
        ("Please provide the texts.", "declined"),
        ('{"explanation": "I can\'t tell."}', "declined"),
        ('{"explanation": "N/A"}', "declined"),
        ("Active when the head is active.", "question back"),
        ("Active when …", "question back"),
        ('{"explanation": "string"}', "question back"),
        (
            'The head is active on these texts:\n1. "ng"\n2. "United"\n3. "I refer"\n\nThe head is active',
            "question back",
        ),
        ("Say what the active texts have that the inactive ones lack.", "question back"),
        ("当文本以介词结尾时处于活动状态。", "not answer in English"),
        ("Активна, когда текст заканчивается предлогом.", "not answer in English"),
        ("word " * 200, "no sentence that ends"),
        ("x" * 1_000_000, "1000000 characters"),
        ("<think>" * 150_000, "reasoning and no answer"),
    ],
)
def test_what_is_no_explanation_is_refused_with_a_reason(answer: str, reason: str) -> None:
    found = read_explanation(answer)
    assert isinstance(found, Unusable)
    assert reason in found.reason
    assert visible(found.reason) == found.reason and len(found.reason) < 200


def test_a_long_explanation_keeps_its_first_sentences() -> None:
    sentence = "Active when the text ends in a word that was named before. "
    found = read_explanation(sentence * 40)
    assert isinstance(found, str)
    assert found == (sentence * 40)[: len(found)] and found.endswith("before.")
    assert EXPLANATION_LIMIT - len(sentence) < len(found) <= EXPLANATION_LIMIT


@pytest.mark.parametrize(
    "answer",
    [
        "<think>" * 3000,
        "{" * ANSWER_LIMIT,
        "[" * ANSWER_LIMIT,
        '{"a":' * 4000,
        "," + " " * (ANSWER_LIMIT - 1),
        ", " * (ANSWER_LIMIT // 2),
        '{"explanation": "' * 1000,
        '{"explanation": "' + "\\" * 19_000,
        "```" * 6000,
        "not " * 5000,
        "active " * 2800,
        '"' * ANSWER_LIMIT,
        "verdict: " * 2000,
        "1. " * 6000,
        "<|channel|>" * 1800,
        "<|channel|>a" * 1600,
        "-" * ANSWER_LIMIT,
    ],
)
def test_no_answer_takes_long_to_read(answer: str) -> None:
    start = time.process_time()
    read_explanation(answer)
    read_verdict(answer)
    read_verdicts(answer, 40)
    explanation_so_far(answer)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("so_far", "shown"),
    [
        ("", ""),
        ("<think>Let me", ""),
        ("<think>Let me</think>", ""),
        ('{"expla', ""),
        ('{"explanation": "', ""),
        ('{"explanation": "Active wh', "Active wh"),
        ('{"explanation": "ends in \\', "ends in"),
        ('{"explanation": "ends in \\u00', "ends in"),
        ('{"explanation": "ends in \\"Un', 'ends in "Un'),
        ('```json\n{"explanation": "Active', "Active"),
        ("Active wh", "Active wh"),
        (IN_JSON, CLAIM),
    ],
)
def test_an_explanation_can_be_read_while_it_arrives(so_far: str, shown: str) -> None:
    assert explanation_so_far(so_far) == shown


def test_reasoning_is_taken_away_wherever_it_stands() -> None:
    assert without_reasoning("a<think>b</think>c<THINK>d</Think>e") == "ace"
    assert without_reasoning("a</think>b</think>c") == "c"
    assert without_reasoning("a<think>b</think>c</think>d") == "d"
    assert without_reasoning("answer <think>and no end") == "answer"
    assert without_reasoning("analysis of the text") == "analysis of the text"


@pytest.mark.parametrize(
    "answer",
    [
        '{"verdict": "active"}',
        '{"verdict": "Active."}',
        '{"verdict": true}',
        '{"verdict": 1}',
        '{"active": true}',
        '{"is_active": "yes"}',
        '{"inactive": false}',
        '{"reason": "It is not inactive, it ends in a number.", "verdict": "active"}',
        '{"verdict": "active",}',
        '```json\n{"verdict": "active"}\n```',
        'The text ends in "an". {"verdict": "active"}',
        '{"verdict": "active"',
        "{'verdict': 'active'}",
        '"active"',
        "active",
        "Active",
        "ACTIVE.",
        "**Active**",
        "`active`",
        "Active\n\nThe text ends in a number.",
        "Active, because the text ends in a number.",
        "Active - the text ends in a number and the claim wants one.",
        "The head is active.",
        "The head would be active at the end of this text.",
        "Based on the claim, I would say the head is active here.",
        "Verdict: active",
        "Final answer: **active**",
        "The answer is active.",
        "Is there a name? No. Is there a number? Yes. Verdict: active",
        "Answer: 1",
        "1",
        " 1\n",
        "true",
        "True",
        "Yes",
        "yes.",
        "Yes, the head is active.",
        "Yes — it is active",
        "not inactive",
        "The head is not inactive.",
        "<think>It could be inactive. No, inactive?</think>active",
        "It seems inactive…</think>\n\nactive",
        "assistant final: active",
        "analysisThe claim says inactive.assistantfinalactive",
    ],
)
def test_active_is_read_in(answer: str) -> None:
    assert read_verdict(answer) is True


@pytest.mark.parametrize(
    "answer",
    [
        '{"verdict": "inactive"}',
        '{"verdict": "not active"}',
        '{"verdict": false}',
        '{"verdict": 0}',
        '{"verdict": "no"}',
        '{"active": false}',
        '{"head_is_active": "False"}',
        '{"inactive": true}',
        '{"verdict": "inactive", "reason": "The claim says active when a number comes."}',
        '{"verdict": "inactive',
        "inactive",
        "Inactive.",
        "INACTIVE",
        "in-active",
        "non-active",
        "not active",
        "Not active.",
        "Inactive: the claim says the head is active after a number, and there is none.",
        "Inactive. The head is active when a number comes.",
        "The head is inactive.",
        "The head is not active here.",
        "The head isn't active.",
        "The head isn’t active at the end of this text.",
        "The head would not be active.",
        "It is no longer active.",
        "No",
        "No.",
        "No, the head is not active.",
        "No, it's inactive.",
        "False",
        "0",
        "Answer: no",
        "Verdict: Inactive",
        "The text holds no number, so the head is inactive",
        "<think>active, active, active</think>\n\nInactive",
        "Inactive [1]",
        'The claim is not active at the end of the text. The claim is active when the last token is "United", which is',
        "The claim is not active. The text is not active.\n\nThe claim is not active because the claim is not active",
    ],
)
def test_inactive_is_read_in(answer: str) -> None:
    assert read_verdict(answer) is False


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "<think>active",
        "Yes, the head is inactive.",
        "Yes, inactive",
        "No, it is active.",
        "active or inactive",
        "active/inactive",
        '{"verdict": "active" or "inactive"}',
        '{"verdict": "active|inactive"}',
        "Neither active nor inactive.",
        "Active. Inactive.",
        "Active.\nFinal thought: inactive.",
        '{"verdict": "active", "active": false}',
        '{"verdict": "unsure"}',
        '{"verdict": null}',
        '{"verdict": 2}',
        '{"verdict": ["active"]}',
        "{}",
        "2",
        "10",
        "maybe",
        "I'm sorry, but I can't help with that.",
        "I cannot tell whether the head is active.",
        "It might be active.",
        "It is unclear if it is active",
        "The claim says active when a number comes. The text does not fit.",
        "The text speaks of activists and hyperactive children.",
        "proactive",
        'The claim is "active when the last token is "United"."',
        "The claim is based on a piece of text that is a JSON string. The JSON string is a JSON object that contains",
        "x" * 1_000_000,
    ],
)
def test_what_says_neither_is_neither(answer: str) -> None:
    assert read_verdict(answer) is None


@pytest.mark.parametrize(
    "answer",
    [
        '{"verdicts": [{"number": 1, "verdict": "active"}, {"number": 2, "verdict": "inactive"}]}',
        '{"verdicts": [{"number": 2, "verdict": "inactive"}, {"number": 1, "verdict": "active"}]}',
        '[{"number": "1", "verdict": true}, {"number": "Text 2", "verdict": false}]',
        '{"verdicts": ["active", "inactive"]}',
        "[1, 0]",
        '{"1": "active", "2": "inactive"}',
        '{"verdicts": {"1": "active", "2": "inactive"}}',
        '{"text 1": {"verdict": "active"}, "text 2": {"verdict": "inactive"}}',
        '```json\n{"verdicts": [{"number": 1, "verdict": "active"}, {"number": 2, "verdict": "inactive"},]}\n```',
        '{"verdicts": [{"number": 1, "verdict": "active"}, {"number": 2, "verdict": "inactive"}, {"num',
        "1. active\n2. inactive",
        "1: Active\n2: Not active, no number",
        "Text 1: active\nText 2: inactive\nText 3: active",
        "**1.** active\n\n**2.** inactive",
        "<think>1. inactive 2. active</think>1) active\n2) inactive",
    ],
)
def test_verdicts_on_several_texts_are_read_by_number(answer: str) -> None:
    assert read_verdicts(answer, 2) == [True, False]


@pytest.mark.parametrize(
    ("answer", "verdicts"),
    [
        ("", [None, None, None]),
        ('["active", "inactive"]', [None, None, None]),
        ('{"verdicts": [{"number": 3, "verdict": "active"}]}', [None, None, True]),
        ('{"1": "active", "2": "perhaps", "7": "active"}', [True, None, None]),
        ("1. active\n1. inactive\n2. active", [None, True, None]),
        ("1. active\n1. active", [True, None, None]),
        ("All are active.", [None, None, None]),
        ("active\n" * 200_000, [None, None, None]),
    ],
)
def test_missing_and_contradictory_verdicts_are_neither(answer: str, verdicts: list[bool | None]) -> None:
    assert read_verdicts(answer, 3) == verdicts
