"""The tab Explanation: the claim about a head, its score and what to compare it with, or why there is none."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from detail_pages import page, words
from sample_records import ALWAYS, AN, AS, DAMPING, LOOKUP, PROMPTS, STATES, sample_arrays
from sample_study import sample_session

from headtorch.core.records import Explanation, HeadId
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio

UNEXPLAINED = HeadId(0, 0)


def test_the_explanation_shows_the_claim_its_score_and_what_to_compare_it_with(session: Session) -> None:
    text = words(page(session, "Explanation"))
    assert text.startswith("Active when the text has named, a few words earlier")
    assert "by rules on the prompts it was made from 0.90" in text
    assert "E 0.83 [0.71, 0.92] n 8 + 4 F1 0.81 MCC 0.60 p 0.0004 q 0.004" in text
    assert "other head 0.52 n 12 empty 0.50 n 12 shuffled – n 0" in text
    assert "right 7/8 active 3/4 inactive precision on random text 0.20" in text
    assert "near-copies dropped 2 unusable answers 1" in text
    assert "active on 8 of 12 mean A(h) +3.10 active +0.05 inactive" in text
    assert "ablated: Δ log p −1.31 active −0.02 inactive q 0.0021" in text
    assert "next-token neurons: mean E 0.72 [0.64, 0.80] 6 heads, 3 neurons" in text
    assert "random neurons 0.57 [0.50, 0.63] 4 heads, 2 neurons difference +0.15 [0.04, 0.26]" in text


def test_the_prompts_judged_wrongly_stand_under_what_they_are(session: Session) -> None:
    text = page(session, "Explanation")
    assert re.search(r"✗ active, judged inactive \(1\)\n +2 plate of oranges, he ate → ·an", text)
    assert re.search(r"✗ inactive, judged active \(1\)\n +6 after the other, was → ·a\n", text)


def test_a_wrong_prompt_may_come_from_a_lower_bin_or_not_exist(session: Session) -> None:
    session.selection.head = ALWAYS
    score = session.state.scores[AN, LOOKUP, "rules"]
    said = session.state.explanations[AN, LOOKUP, "rules"]
    session.state.explanations[AN, ALWAYS, "rules"] = msgspec.structs.replace(said, head=ALWAYS)
    session.state.scores[AN, ALWAYS, "rules"] = msgspec.structs.replace(
        score, head=ALWAYS, wrong_active=[], wrong_inactive=[PROMPTS + 1, 99], lower=4
    )
    text = page(session, "Explanation")
    assert "✗ inactive, judged active (2)" in text and f"{PROMPTS + 2} plate of oranges, he ate" in text
    assert "from lower activation bins 4" in text


def test_the_validity_of_the_neuron_is_in_words_and_numbers(session: Session) -> None:
    text = words(page(session, "Explanation"))
    assert "L3.N892 predicts its token P(next = t | fires) 0.88 (n 64) base rate 0.004 lift 218.8" in text
    assert "AUROC 0.97 logit attribution +2.50 Δ log p at 0 −0.50" in text
    session.select_neuron(STATES)
    assert "! Only 12 prompts were found." in page(session, "Explanation")


def test_a_head_that_cannot_be_scored_says_why(session: Session) -> None:
    session.selection.head = DAMPING
    text = words(page(session, "Explanation"))
    assert "Not scorable: of 8 unseen prompts none is inactive, so there is nothing to tell apart." in text
    assert "suppressing, active on 6 of 12" in text and "✗" not in text


def test_other_explainers_of_the_same_head_stand_side_by_side_with_their_score(session: Session) -> None:
    said = Explanation(neuron=AN, head=LOOKUP, explainer="me", text="re:an$")
    session.state.explanations[AN, LOOKUP, "me"] = said
    text = words(page(session, "Explanation"))
    assert text.startswith("rules E 0.83 [0.71, 0.92] n 8 + 4 F1 0.81 ▸ me not scored re:an$ Not scored yet. by me")


def test_a_head_without_an_explanation_says_why_and_what_to_press(session: Session) -> None:
    session.selection.head = UNEXPLAINED
    assert "Never active on this neuron's prompts" in page(session, "Explanation")
    session.selection.head = ALWAYS
    assert "Active on 6 of the 6 prompts to explain from. Not explained yet: e does it." in page(session, "Explanation")
    event = session.state.activity[AN]
    session.state.activity[AN] = msgspec.structs.replace(event, heads=[])
    assert "Active on 6 of the 6 prompts to explain from: too nearly always" in page(session, "Explanation")
    del session.state.activity[AN]
    assert "is not decided yet" in page(session, "Explanation")
    del session.state.attributed[AN]
    session.state.running["trim", None] = None
    assert "The heads of L3.N892 are not attributed yet; now running: trim." in page(session, "Explanation")
    session.state.prompts[AN] = []
    assert "L3.N892 never fires on this corpus" in page(session, "Explanation")


def test_a_rarely_active_head_says_so(session: Session) -> None:
    arrays = sample_arrays(AN)
    arrays["headline"][:, 0, 0] = np.where(np.arange(PROMPTS) == 4, 5.0, 0.05)  # on one of six explaining prompts
    session.arrays = lambda: arrays  # type: ignore[method-assign]
    session.selection.head = UNEXPLAINED
    text = words(page(session, "Explanation"))
    assert "Active on only 1 of the 6 prompts to explain from: too rarely to learn from. e explains it" in text


def test_without_arrays_the_counts_over_all_heads_are_said() -> None:
    session = sample_session()
    session.selection.head = UNEXPLAINED
    text = words(page(session, "Explanation"))
    assert "Of 32 heads 28 are never active, 1 nearly always, and 3 have a contrast. e explains" in text


def test_another_neuron_has_its_own_numbers(session: Session) -> None:
    session.select_neuron(AS)
    assert session.selection.head == LOOKUP
    assert "E 0.77" in page(session, "Explanation") and "q 0.008" in page(session, "Explanation")
