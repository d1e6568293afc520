"""Which tokens a rule names, and which rules are about context."""

from __future__ import annotations

import pytest

from headtorch.core.explain.named_tokens import is_about_last_token, named_tokens, needs_insertion
from headtorch.core.explain.rule import Rule, Term

TEXT = (" the", " United", " States", ' "', "of", " the", " (", " The", " States")


def rule(*terms: Term) -> Rule:
    return Rule(terms=terms)


def word(value: str, farthest: int = 0, **options: object) -> Term:
    return Term(kind="word", value=value, farthest=farthest, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ([word("the", 4)], [5, 7]),
        ([word("the")], [0, 5, 7]),
        ([Term(kind="token", value=" The", nearest=2, farthest=2)], [7]),
        ([Term(kind="class", value="an article", farthest=3), Term(kind="token", value=" States", farthest=1)], [7, 8]),
        ([word("the", clause=True)], [0, 5, 7]),
        ([word("the", negated=True)], []),
        ([word("nowhere")], []),
        ([Term(kind="repeat", farthest=1)], [2]),
        ([Term(kind="repeat", farthest=2)], []),
        ([Term(kind="inside", value="quotes")], [3]),
        ([Term(kind="inside", value="brackets")], [6]),
        ([Term(kind="inside", value="no such marks")], []),
        ([Term(kind="short", farthest=99)], []),
    ],
)
def test_the_tokens_that_satisfy_terms_are_named(terms: list[Term], named: list[int]) -> None:
    assert named_tokens(rule(*terms), TEXT) == named


def test_all_earlier_occurrences_of_the_last_tokens_are_named() -> None:
    tokens = (" a", " b", " c", " a", " b", " a", " b")
    assert named_tokens(rule(Term(kind="repeat", farthest=2)), tokens) == [0, 1, 3, 4]


def test_a_mark_that_is_closed_is_not_named() -> None:
    assert named_tokens(rule(Term(kind="inside", value="brackets")), ("(", "a", ")", " (", "b", "[")) == [3, 5]
    assert named_tokens(rule(Term(kind="inside", value="quotes")), ('"', "a", '"', ' "', "b")) == [3]


@pytest.mark.parametrize(
    ("terms", "last_only", "insertion"),
    [
        ([word("the", 1)], True, False),
        ([word("the", 2)], False, False),
        ([Term(kind="class", value="a comma", nearest=2, farthest=2)], False, False),
        ([word("the", 1), word("of")], False, False),
        ([word("the", 1, negated=True)], True, False),
        ([word("the", 8, negated=True), word("of", 1)], False, True),
        ([word("the", 8, negated=True)], False, True),
        ([word("the", 8, negated=True), word("of", 2)], False, False),
        ([Term(kind="repeat", farthest=1)], False, False),
        ([Term(kind="inside", value="quotes")], False, False),
        ([Term(kind="short", farthest=4)], True, False),
        ([word("the", clause=True)], False, False),
        ([], True, False),
    ],
)
def test_rules_of_the_last_token_and_of_absence(terms: list[Term], last_only: bool, insertion: bool) -> None:
    assert is_about_last_token(rule(*terms)) is last_only
    assert needs_insertion(rule(*terms)) is insertion


def test_only_the_present_clause_is_named_by_a_term_about_it() -> None:
    tokens = (" the", " Union", ",", " the", " people", " of", " the", ",")
    assert named_tokens(rule(word("the", clause=True)), tokens) == [3, 6]
