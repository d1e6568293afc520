"""Findings pass every test of the method; everything else is a candidate that says why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from claims_study import BEST, BY_TOKEN, HEADS_OF, NOT_VALID, RAISED, RANDOM, SUPPRESSED

from headtorch.core.claims import Estimate, Rewriting
from headtorch.core.records import Interval
from headtorch.core.settings import Settings
from headtorch.core.study.claim_rows import ClaimRow, HeadClaimRow
from headtorch.core.study.conclusions import conclusions, in_order
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

HEAD = HEADS_OF[BEST][0]


@pytest.fixture
def state(claims: Study) -> StudyState:
    return claims.state


def about(rows: list[ClaimRow]) -> list[tuple[str, str | None]]:
    return [(row.neuron, row.head if isinstance(row, HeadClaimRow) else None) for row in rows]


def reasons(state: StudyState, neuron: object, head: object = None) -> list[str]:
    """Why the claim is no finding; empty: it is one."""
    concluded = conclusions(state)
    rows = [*concluded.findings, *concluded.candidates, *concluded.last_token]
    wanted = (str(neuron), None if head is None else str(head))
    return next(row.reasons for row, one in zip(rows, about(rows), strict=True) if one == wanted)


def test_the_claims_that_pass_every_test_are_findings_a_neurons_context_first(state: StudyState) -> None:
    assert about(conclusions(state).findings) == [
        (str(BEST), None),
        (str(BEST), "L1.H2"),
        (str(SUPPRESSED), None),
        (str(SUPPRESSED), "L12.H8"),
        (str(RAISED), "L2.H6"),
    ]


def test_candidates_say_what_they_fail(state: StudyState) -> None:
    assert reasons(state, BEST, "L7.H6") == ["rewriting does not agree"]
    assert reasons(state, NOT_VALID) == ["neuron not valid"]
    assert reasons(state, RAISED)[0].startswith("E not above chance (q 0.")


def changed(state: StudyState, **fields: Any) -> StudyState:
    """The context claim of the best neuron with other fields."""
    key = (BEST, "rules")
    state.context_claims[key] = msgspec.structs.replace(state.context_claims[key], **fields)
    return state


def changed_head(state: StudyState, **fields: Any) -> StudyState:
    key = (BEST, HEAD, "rules")
    state.head_claims[key] = msgspec.structs.replace(state.head_claims[key], **fields)
    return state


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"e": None, "interval": None}, "E not scorable"),
        ({"interval": Interval(0.5, 0.9)}, "E not above chance (q 1.3e-05)"),
        ({"p": 0.2}, "E not above chance (q 0.27)"),
        ({"heads": []}, "matched patching not measured"),
        ({"rewriting": None}, "rewriting not tested"),
        ({"rewriting": Rewriting(pairs=9, documents=9, change=Estimate(-0.9))}, "rewriting does not agree"),
    ],
)
def test_a_context_claim_that_fails_one_test_is_a_candidate(
    state: StudyState, fields: dict[str, Any], reason: str
) -> None:
    assert reasons(state, BEST) == []
    assert reasons(changed(state, **fields), BEST) == [reason]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contrast": Estimate(-0.1, -0.2, 0.0), "p": 1e-4}, "effect contrast against the claimed direction"),
        ({"contrast": None, "p": None}, "no effect contrast"),
        ({"p": 0.3}, "effect contrast not above 0 (q 0.3)"),
        ({"tag": "last token"}, "contrast not surely above 0 among places with the same last token"),
    ],
)
def test_a_head_claim_that_fails_one_test_is_no_finding(state: StudyState, fields: dict[str, Any], reason: str) -> None:
    assert reasons(state, BEST, HEAD) == []
    assert reasons(changed_head(state, **fields), BEST, HEAD) == [reason]


def test_no_head_with_a_sure_share_is_a_reason(state: StudyState) -> None:
    heads = [msgspec.structs.replace(one, p=0.4) for one in state.context_claims[BEST, "rules"].heads]
    assert reasons(changed(state, heads=heads), BEST) == ["no head takes a share above 0 (q 0.4)"]


def test_rewriting_that_is_not_testable_is_no_reason(state: StudyState) -> None:
    untestable = Rewriting(pairs=0, documents=0, not_testable="the rule names no token")
    assert reasons(changed(state, rewriting=untestable), BEST) == []


def test_claims_about_the_last_token_stand_apart(state: StudyState) -> None:
    concluded = conclusions(state)
    assert about(concluded.last_token) == [(str(SUPPRESSED), "L4.H4")]
    assert (str(SUPPRESSED), "L4.H4") not in about([*concluded.findings, *concluded.candidates])


def test_a_suppressing_head_is_told_in_the_claimed_direction(state: StudyState) -> None:
    row = next(one for one in conclusions(state).findings if one.neuron == str(SUPPRESSED) and one.kind == "head")
    assert isinstance(row, HeadClaimRow) and row.effect_holds is not None and row.effect_elsewhere is not None
    assert row.contrast == pytest.approx(row.effect_holds - row.effect_elsewhere) and row.contrast > 0


def test_an_excitatory_head_whose_ablation_raises_the_token_says_so(state: StudyState) -> None:
    rows = {(row.neuron, getattr(row, "head", None)): row for row in conclusions(state).findings}
    raised = rows[str(RAISED), "L2.H6"]
    assert isinstance(raised, HeadClaimRow) and raised.raises_p and raised.delta_log_p == 0.12


def test_candidates_of_valid_neurons_come_first_and_e_alone_ranks_nothing(state: StudyState) -> None:
    candidates = conclusions(state).candidates
    assert [row.valid for row in candidates] == sorted((row.valid for row in candidates), reverse=True)
    weak, strong = (msgspec.structs.replace(candidates[0], neuron=name) for name in ("L1.N1", "L1.N2"))
    weak = msgspec.structs.replace(weak, e=1.0, e_low=0.51, contrast_low=0.3)
    strong = msgspec.structs.replace(strong, e=0.7, e_low=0.65, contrast_low=0.3)
    assert [row.neuron for row in in_order([weak, strong])] == ["L1.N2", "L1.N1"]


def test_random_neurons_are_no_findings_but_are_counted(state: StudyState) -> None:
    concluded = conclusions(state)
    assert {row.neuron for row in concluded.random} == {str(RANDOM)}
    assert str(RANDOM) not in {row.neuron for row in [*concluded.findings, *concluded.candidates]}
    counts = concluded.verdict.random
    assert (counts.neurons, counts.head_claims, counts.head_passed, counts.context_passed) == (1, 1, 0, 0)
    claim = state.context_claims[RANDOM, "rules"]
    state.context_claims[RANDOM, "rules"] = msgspec.structs.replace(
        claim, p=1e-5, interval=Interval(0.6, 0.9), heads=[], rewriting=None
    )
    assert conclusions(state).verdict.random.context_passed == 1, "heads and texts of random neurons are not tested"


def test_controls_pass_by_the_tests_of_findings(state: StudyState) -> None:
    counts = conclusions(state).verdict.controls
    assert (counts.same_neuron.claims, counts.same_neuron.passed) == (8, 1)
    assert (counts.other_neuron.passed, counts.shuffled.passed, counts.context_shuffled.passed) == (0, 0, 0)
    assert counts.other_neuron.mean_contrast == pytest.approx(0.01) and counts.context_shuffled.mean_contrast is None
    best = state.controls[BEST]
    passing = next(one for one in best if one.p_e == 1e-5)
    for fields in ({"e_low": 0.5}, {"p_e": 0.01}, {"contrast": -0.1}, {"p_contrast": 0.01}):
        state.controls[BEST] = [msgspec.structs.replace(one, **fields) if one is passing else one for one in best]
        assert conclusions(state).verdict.controls.same_neuron.passed == 0, fields


def test_the_verdict_counts_neurons_by_what_drives_them(state: StudyState) -> None:
    verdict = conclusions(state).verdict
    assert (verdict.neurons, verdict.valid, verdict.driven_by_heads, verdict.driven_by_last_token) == (5, 4, 4, 1)
    assert (verdict.valid_driven_by_heads, verdict.valid_driven_by_last_token) == (3, 1)
    assert (verdict.claims, verdict.findings, verdict.candidates, verdict.last_token_claims) == (12, 5, 6, 1)


def test_the_sentence_says_neurons_claims_findings_and_controls(state: StudyState) -> None:
    assert conclusions(state).verdict.sentence == (
        "4 of 5 neurons predict “ of”; heads drive 3 of them, the last token alone drives 1. "
        "12 claims were tested on held-out text: 5 are findings (2 about when a neuron fires and 3 about when a head "
        "drives it), 6 are candidates and 1 is not shown to go beyond the last token. "
        "Of the controls, which should fail, 0 of 8 with a rule of another neuron, 0 of 8 with shuffled labels and 0 "
        "of 4 with shuffled pairs passed the same tests. 1 of 8 passed with the rule of another head of the same "
        "neuron; part of these may, for heads of one neuron share contexts."
    )


def test_without_a_finding_the_sentence_says_what_most_claims_fail(state: StudyState) -> None:
    state.validity.clear()
    state.controls.clear()
    assert conclusions(state).verdict.sentence == (
        "Nothing passed every test. None of 5 neurons predicts “ of”. 12 claims were tested on held-out text, of which "
        "1 is not shown to go beyond the last token; the most common reasons: validity not measured (11), E not above "
        "chance (3), effect contrast against the claimed direction (2)."
    )


def test_a_study_whose_neurons_are_driven_by_their_last_tokens_has_nothing_to_test(state: StudyState) -> None:
    state.neurons = {BY_TOKEN: state.neurons[BY_TOKEN]}
    sentence = conclusions(state).verdict.sentence
    assert sentence == "The neuron predicts “ of”; its last token alone drives it. No claim could be tested."


@pytest.mark.parametrize(
    ("settings", "done", "sentence"),
    [
        (Settings(), ["contrast"], "This study was made before claims were tested"),
        (Settings(preset="paper"), ["contrast"], "The paper's preset tests no claims"),
        (Settings(), ["scan"], "No claim has been tested yet."),
    ],
)
def test_a_study_without_claims_says_why(settings: Settings, done: list[str], sentence: str) -> None:
    verdict = conclusions(StudyState(settings=settings, done={(stage, None): 1.0 for stage in done})).verdict
    assert verdict.sentence.startswith(sentence) and not verdict.tested
