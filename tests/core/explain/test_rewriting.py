"""Rewritten rows: of the edited ones the rule is false, of the placebos true, and the last token is the same."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import tiny_model

from headtorch.core.analysis.likely_tokens import LikelyTokens
from headtorch.core.explain.rewriting import RewritePlan, rewrite_places
from headtorch.core.explain.rule import Rule, Term
from headtorch.core.model.language_model import LanguageModel

Rows = list[list[int]]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def rows(model: LanguageModel) -> Rows:
    """Rows of 24 random tokens behind the first token, with " the" 2 to 4 tokens from the end of most."""
    rng, the = np.random.default_rng(0), model.single_token(" the")
    tokens = [i for i in range(model.facts.d_vocab) if i not in model.tokenizer.all_special_ids]
    made = []
    for number in range(30):
        row = [int(i) for i in rng.choice(tokens, 24)]
        if number % 6:
            row[-(2 + number % 3)] = the
        made.append(model.with_first_token(row))
    return made


def texts_of(model: LanguageModel, rows: Rows) -> list[tuple[str, ...]]:
    """The last 20 tokens of each row: texts may begin later than rows."""
    return [tuple(model.token_texts(row[-20:])) for row in rows]


def text_of(model: LanguageModel, row: list[int], original: list[int]) -> tuple[str, ...]:
    return tuple(model.token_texts(row[len(original) - 20 :]))


def check(model: LanguageModel, rows: Rows, rule: Rule, plan: RewritePlan) -> None:
    longer = plan.kind == "insert"
    for i, edited, placebo, places in zip(
        plan.originals, plan.edited_rows, plan.placebo_rows, plan.edited, strict=True
    ):
        assert rule.judges(texts_of(model, rows)[i]) and not rule.judges(text_of(model, edited, rows[i]))
        assert edited[-1] == rows[i][-1] and len(edited) == len(rows[i]) + longer
        for index, token in places.items():
            assert text_of(model, edited, rows[i])[index] == token
        if placebo is not None:
            assert rule.judges(text_of(model, placebo, rows[i]))
            assert placebo[-1] == rows[i][-1] and len(placebo) == len(edited)
            if not longer:
                assert differing(placebo, rows[i]) == differing(edited, rows[i]) == len(places)


def differing(one: list[int], other: list[int]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


RULE = Rule(terms=(Term(kind="token", value=" the", farthest=4),))


def test_tokens_that_make_the_rule_hold_are_replaced(model: LanguageModel, rows: Rows) -> None:
    plan = rewrite_places(LikelyTokens(model, rows), rows, RULE, texts_of(model, rows), seed=3)
    assert plan.kind == "replace" and plan.not_testable is None and plan.holds >= 25
    assert len(plan.originals) >= 20
    assert sum(row is not None for row in plan.placebo_rows) >= 20
    check(model, rows, RULE, plan)


def test_a_rule_of_absence_is_tested_by_insertion(model: LanguageModel, rows: Rows) -> None:
    rule = Rule(terms=(Term(kind="class", value="a preposition", farthest=6, negated=True),))
    plan = rewrite_places(LikelyTokens(model, rows), rows, rule, texts_of(model, rows), seed=3)
    assert plan.kind == "insert" and plan.not_testable is None and plan.originals
    check(model, rows, rule, plan)


def test_with_absence_and_a_term_about_the_last_token_a_token_is_put_in(model: LanguageModel, rows: Rows) -> None:
    absent = Term(kind="class", value="a preposition", farthest=6, negated=True)
    rule = Rule(terms=(absent, Term(kind="class", value="punctuation", farthest=1, negated=True)), join="and")
    plan = rewrite_places(LikelyTokens(model, rows), rows, rule, texts_of(model, rows), seed=3)
    assert plan.kind == "insert" and plan.originals
    check(model, rows, rule, plan)


def test_the_seed_decides_and_limits_hold(model: LanguageModel, rows: Rows) -> None:
    likely, texts = LikelyTokens(model, rows), texts_of(model, rows)
    first = rewrite_places(likely, rows, RULE, texts, seed=3, limit=12)
    assert first == rewrite_places(LikelyTokens(model, rows), rows, RULE, texts, seed=3, limit=12)
    assert first.edited_rows != rewrite_places(likely, rows, RULE, texts, seed=4, limit=12).edited_rows
    assert len(first.originals) == len({*first.originals}) == 12
    twice = rewrite_places(likely, rows, RULE, texts, seed=3, limit=12, draws=2)
    assert {*twice.originals} == {*first.originals} and len(twice.originals) == 24
    check(model, rows, RULE, twice)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ((), "There is no rule."),
        ((Term(kind="class", value="an article", farthest=1),), "The rule is about the last token, which"),
        ((Term(kind="token", value=" the", nearest=20, farthest=20),), "of the .* texts where the rule holds could be"),
    ],
)
def test_why_a_rule_cannot_be_tested_is_said(
    model: LanguageModel, rows: Rows, terms: tuple[Term, ...], reason: str
) -> None:
    plan = rewrite_places(LikelyTokens(model, rows), rows, Rule(terms=terms), texts_of(model, rows), seed=0)
    assert plan.not_testable is not None
    assert plan.not_testable.startswith(reason) or "could be rewritten" in plan.not_testable


def test_a_full_context_leaves_no_room_for_an_insertion(model: LanguageModel) -> None:
    token = model.encode(" the")[0]
    full = [model.with_first_token([token] * (model.facts.context - 1))] * 10
    rule = Rule(terms=(Term(kind="word", value="of", farthest=4, negated=True),))
    plan = rewrite_places(LikelyTokens(model, full), full, rule, texts_of(model, full), seed=0)
    assert (
        plan.originals == []
        and plan.not_testable == "0 of the 10 held-out texts where the rule holds could be rewritten."
    )
