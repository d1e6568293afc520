"""Where texts are edited and by which tokens: the edit makes the rule false, the placebo leaves it true."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.explain.named_tokens import named_tokens
from headtorch.core.explain.rewriting_plans import (
    MOST_EDITS,
    Likely,
    draw_insertions,
    draw_replacement,
    insertion_places,
    plan_edit,
    plan_placebo,
)
from headtorch.core.explain.rule import Rule, Term

VOCABULARY = [" the", " The", " a", " of", " in", " it", " was", ",", ".", " (", ' "', " house", "ing", " 1848", " not"]
LIKELY = [Likely(i, text, 1 / (i + 1)) for i, text in enumerate(VOCABULARY)]

texts = st.lists(st.sampled_from(VOCABULARY), min_size=2, max_size=24)
values = {"token": VOCABULARY, "word": ["the", "of", "it"], "class": ["an article", "a comma", "a function word"]}


@st.composite
def terms(draw: st.DrawFn) -> Term:
    kind = draw(st.sampled_from(["token", "word", "class", "repeat", "inside"]))
    negated = draw(st.booleans())
    if kind == "repeat":
        return Term(kind="repeat", farthest=draw(st.integers(1, 2)), negated=negated)
    if kind == "inside":
        return Term(kind="inside", value=draw(st.sampled_from(["quotes", "brackets"])), negated=negated)
    farthest = draw(st.sampled_from([0, 1, 2, 3, 6]))
    nearest = draw(st.sampled_from([1, farthest or 1]))
    value = draw(st.sampled_from(values[kind]))
    if draw(st.integers(0, 3)) == 0:
        return Term(kind=kind, value=value, clause=True, negated=negated)  # type: ignore[arg-type]
    return Term(kind=kind, value=value, nearest=nearest, farthest=farthest, negated=negated)  # type: ignore[arg-type]


rules = st.builds(Rule, terms=st.lists(terms(), min_size=1, max_size=3).map(tuple), join=st.sampled_from(["and", "or"]))


@settings(max_examples=1000, deadline=None)
@given(rules, texts, st.integers(0, 5))
def test_edits_and_placebos_do_what_they_are_for(rule: Rule, text: list[str], seed: int) -> None:
    indices, rng = plan_edit(rule, text), random.Random(seed)
    if not rule.judges(text) or indices is None:
        return
    assert 1 <= len(indices) <= MOST_EDITS
    assert len(text) - 1 not in indices and {*indices} <= {*named_tokens(rule, text)}
    everywhere = dict.fromkeys(range(len(text)), LIKELY)
    edit = draw_replacement(rule, text, indices, everywhere, False, rng)
    if edit is not None:
        edited = edit.apply(text)
        assert not rule.judges(edited)
        assert changed(text, edited) == indices
        assert edit.apply_ids([0, 0, *range(len(text))], 2)[2:] == [
            edit.tokens[i].token_id if i in indices else i for i in range(len(text))
        ]
    others = plan_placebo(rule, text, indices, rng)
    if others is not None:
        assert len(others) == len(indices) and not {*others} & {*indices, *named_tokens(rule, text), len(text) - 1}
        placebo = draw_replacement(rule, text, others, everywhere, True, rng)
        assert placebo is None or (rule.judges(placebo.apply(text)) and changed(text, placebo.apply(text)) == others)


def changed(before: Sequence[str], after: Sequence[str]) -> list[int]:
    assert len(before) == len(after)
    return [i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]


absences = rules.map(
    lambda rule: Rule(terms=tuple(msgspec.structs.replace(term, negated=True) for term in rule.terms), join=rule.join)
)


@settings(max_examples=300, deadline=None)
@given(absences, texts, st.integers(0, 5))
def test_insertions_make_a_rule_of_absence_false_and_the_placebo_leaves_it_true(
    rule: Rule, text: list[str], seed: int
) -> None:
    pair = draw_insertions(rule, text, dict.fromkeys(insertion_places(text), LIKELY), random.Random(seed))
    if not rule.judges(text) or pair is None:
        return
    edit, placebo = pair
    edited, same = edit.apply(text), placebo.apply(text)
    assert not rule.judges(edited) and rule.judges(same)
    assert [*edit.tokens] == [*placebo.tokens]
    for new in (edited, same):
        [index] = edit.tokens
        assert new[-1] == text[-1] and (*new[:index], *new[index + 1 :]) == tuple(text)


def absent(value: str, farthest: int) -> Rule:
    return Rule(terms=(Term(kind="word", value=value, farthest=farthest, negated=True),))


def test_a_rule_of_absence_can_be_made_false_wherever_the_model_finds_the_word_likely() -> None:
    text = [" house"] * 20
    for seed in range(20):
        only_at_17 = {i: LIKELY if i == 17 else LIKELY[5:] for i in insertion_places(text)}
        edit, _ = draw_insertions(absent("the", 4), text, only_at_17, random.Random(seed)) or (None, None)
        assert edit is not None and [*edit.tokens] == [17] and edit.texts[17].strip().lower() == "the"
    assert draw_insertions(absent("the", 4), text, {10: LIKELY}, random.Random(0)) is None


@pytest.mark.parametrize(
    ("rule", "text", "indices"),
    [
        (Rule(terms=(Term(kind="word", value="the", farthest=3),)), [" The", " of", " the", " it"], [2]),
        (Rule(terms=(Term(kind="word", value="the"),)), [" The", " of", " the", " it"], [0, 2]),
        (Rule(terms=(Term(kind="word", value="it", farthest=3),)), [" it", " of", " it"], None),
        (Rule(terms=(Term(kind="repeat", farthest=2),)), [" a", " it", " of", " a", " it", ".", " a", " it"], [1, 4]),
        (Rule(terms=(Term(kind="short", farthest=9),)), [" a", " it"], None),
        (Rule(terms=(Term(kind="token", value=" a"),)), [" a"] * (MOST_EDITS + 1) + ["."], None),
    ],
)
def test_all_tokens_that_make_the_rule_hold_are_replaced(rule: Rule, text: list[str], indices: list[int]) -> None:
    assert plan_edit(rule, text) == indices


def test_of_both_terms_the_one_with_fewest_tokens_is_broken_of_either_both() -> None:
    pair = (Term(kind="word", value="of"), Term(kind="word", value="it", farthest=3))
    text = [" of", " of", " it", " house"]
    assert plan_edit(Rule(terms=pair, join="and"), text) == [2]
    assert plan_edit(Rule(terms=pair, join="or"), text) == [0, 1, 2]


def test_with_or_a_term_of_absence_that_holds_cannot_be_broken_by_replacing() -> None:
    pair = (Term(kind="word", value="of"), Term(kind="word", value="it", negated=True))
    assert plan_edit(Rule(terms=pair), [" of", " house", " ."]) is None
    assert plan_edit(Rule(terms=pair), [" of", " it", " ."]) == [0]


def test_the_same_word_in_another_case_is_no_replacement() -> None:
    rule = Rule(terms=(Term(kind="token", value=" the"),))
    drawn = {
        draw_replacement(rule, [" the", "."], [0], {0: LIKELY[:3]}, False, random.Random(seed)).texts[0]  # type: ignore[union-attr]
        for seed in range(20)
    }
    assert drawn == {" a"}


def test_placebos_lie_near_the_edit_and_take_whole_words_for_whole_words() -> None:
    text = [" house"] * 10 + [" con", "vi", "ction"] + [" was"] * 3 + [" the", " house", " was", " so"]
    rule = Rule(terms=(Term(kind="word", value="the", farthest=8),))
    drawn = [plan_placebo(rule, text, [16], random.Random(seed)) for seed in range(40)]
    assert {index for indices in drawn for index in indices or []} == {15, 17}
    far = plan_placebo(rule, text, [13], random.Random(0))
    assert far is not None and far[0] in (14, 15)


def test_draws_follow_the_probabilities() -> None:
    rule = Rule(terms=(Term(kind="word", value="the"),))
    likely = {0: [Likely(0, " a", 0.9), Likely(1, " of", 0.1)]}
    drawn = [draw_replacement(rule, [" the", "."], [0], likely, False, random.Random(seed)) for seed in range(400)]
    share = sum(edit is not None and edit.texts[0] == " a" for edit in drawn) / 400
    assert share == pytest.approx(0.9, abs=0.05)
