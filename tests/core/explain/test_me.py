"""The researcher's own explanation: regular expressions judge, sentences need a judge, patterns cannot hang."""

from __future__ import annotations

import time

import pytest

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.judge import RuleJudge
from headtorch.core.explain.me import MAX_PATTERN, TIMEOUT, MeExplainer
from headtorch.core.explain.protocol import Example, ExplainTask
from headtorch.core.records import Explanation, HeadId, NeuronId

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)


def explanation(text: str) -> Explanation:
    task = ExplainTask(neuron=NEURON, head=HEAD, examples=[Example((" a",), True)], target=" States")
    [said] = MeExplainer(text).explain_all([task])
    return said


def test_a_pattern_judges_the_joined_tokens() -> None:
    found = explanation(r"re:(the|these) United$")
    prompts = [[" the", " Un", "ited"], [" the", " United", " States"], [" these", " United"], []]
    assert RuleJudge().verdicts(found, prompts) == [True, False, True, False]
    assert found.explainer == "me" and found.text == found.rule == r"re:(the|these) United$"


def test_a_sentence_says_that_it_needs_a_judge() -> None:
    found = explanation("Active after the name of a country.")
    assert found.rule is None and found.text == "Active after the name of a country."
    with pytest.raises(ExplanationError, match="re:PATTERN"):
        RuleJudge().verdicts(found, [[" a"]])


def test_the_empty_explanation_calls_everything_active() -> None:
    empty = Explanation(neuron=NEURON, head=HEAD, explainer="me", text="")
    assert RuleJudge().verdicts(empty, [[" a"], []]) == [True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("re:", "nothing after"),
        ("re:  ", "nothing after"),
        ("re:(", "not a regular expression"),
        ("re:*", "not a regular expression"),
        ("re:" + "a" * (MAX_PATTERN + 1), "limit"),
        ("so " * 1000, "limit"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ExplanationError, match=message):
        MeExplainer(text)


@pytest.mark.parametrize("pattern", [r"re:(a+)+$", r"re:(a|a)*b$", r"re:(.*a){25}$"])
def test_catastrophic_patterns_end(pattern: str) -> None:
    text = [*"a" * 60, "!"]
    start = time.monotonic()
    try:
        RuleJudge().verdicts(explanation(pattern), [text])
    except ExplanationError as error:
        assert "took longer" in str(error)
    assert time.monotonic() - start < TIMEOUT + 10


def test_nested_repeats_do_not_blow_up_when_compiled() -> None:
    start = time.monotonic()
    try:
        found = explanation("re:((a{1,1000}){1,1000}){1,1000}b")
        RuleJudge().verdicts(found, [list("a" * 100)])
    except ExplanationError:
        pass
    assert time.monotonic() - start < TIMEOUT + 10
