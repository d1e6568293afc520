"""The tabs Evidence, Ablation, Sources and Notes: what is known about a head on a neuron."""

from __future__ import annotations

import re

import msgspec
import pytest
from detail_pages import page, words
from sample_answers import sample_shading
from sample_records import (
    ALWAYS,
    AN,
    DAMPING,
    HOSTILE,
    LOOKUP,
    LOWER,
    PREVIOUS,
    PROMPTS,
    is_active,
    sample_ablation,
    sample_arrays,
    sample_prompt,
)

from headtorch.core.engine.protocol import ShadePrompts
from headtorch.tui.claims import SPLITS
from headtorch.tui.panes.detail.judged import RIGHT, WRONG, marks_by_score
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.figures import fixed
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


# Evidence


def test_the_evidence_splits_the_prompts_by_the_heads_activity(session: Session) -> None:
    text = page(session, "Evidence")
    active, inactive = text.split("○")
    numbers = [i for i in range(PROMPTS) if is_active(LOOKUP, i)]
    assert [int(n) - 1 for n in re.findall(r"^.\s+(\d+) ", active, re.MULTILINE)] == numbers
    assert active.startswith(f"● active on {len(numbers)} of {PROMPTS} prompts")
    assert inactive.startswith(f" inactive on {PROMPTS - len(numbers)} of {PROMPTS} prompts")
    direct = sample_arrays(AN)["headline"][:, 2, 7]
    for i in range(PROMPTS):
        prompt = sample_prompt(AN, i)
        assert re.search(
            rf" {i + 1} +{re.escape(fixed(direct[i], sign=True))} +{prompt.activation:.2f} +{SPLITS[prompt.half]}", text
        )
    assert "▸  1 " in text and "the apple tree and picked → ·an" in text and "it ends with this → end" in text


def test_a_verdict_is_right_only_where_every_prompt_of_the_class_was_judged(session: Session) -> None:
    labels = labels_of(session, AN, LOOKUP)
    assert labels is not None
    score = session.state.scores[AN, LOOKUP, "rules"]
    half = [prompt.half == "score" for prompt in labels.prompts]
    active = sum(h and a for h, a in zip(half, labels.active, strict=True))
    verdicts = marks_by_score(labels, msgspec.structs.replace(score, n_active=active, n_inactive=99))
    for i, verdict in enumerate(verdicts):
        assert verdict == (WRONG if i in (1, 5) else RIGHT if half[i] and labels.active[i] else "")
    assert set(marks_by_score(labels, None)) == {""}


def test_prompts_from_lower_bins_are_among_the_evidence_and_marked(session: Session) -> None:
    session.selection.head = ALWAYS
    text = page(session, "Evidence")
    assert f"○ inactive on {LOWER} of {PROMPTS + LOWER} prompts" in text and text.count("lower, ") == LOWER
    assert " –    1.50  lower, train" in text  # its attribution was not kept


def test_a_head_that_was_not_worth_explaining_is_labelled_by_the_same_rule(session: Session) -> None:
    event = session.state.activity[AN]
    for head in (LOOKUP, PREVIOUS, DAMPING):
        kept = labels_of(session, AN, head)
        session.state.activity[AN] = msgspec.structs.replace(event, heads=[])
        again = labels_of(session, AN, head)
        assert kept is not None and again is not None
        assert (again.active, again.suppressing) == (kept.active, kept.suppressing)
        session.state.activity[AN] = event


def test_the_evidence_of_an_undecided_head_has_the_numbers_all_the_same(session: Session) -> None:
    del session.state.activity[AN]
    text = page(session, "Evidence")
    assert "is not decided yet" in text and "+3.11" in text and "the apple tree" in text


# Ablation


def test_the_ablation_is_a_table_of_changes_active_against_inactive(session: Session) -> None:
    text = page(session, "Ablation")
    assert "Replaced by the mean over random positions at the firing token" in text
    assert re.search(r"● active, n 8 +○ inactive, n 4", text)
    for row in (
        r"Δ log p +−1.31 +█+│ +−0.02 +▐│",
        r"Δ p +−0.30 █+│ +0 +│",
        r"Δ logit +−1.20 █+│ +\+0.01 +│▌",
        r"Δ activation +−2.90 █+│ +−0.10 +▐│",
        r"Δ rank +\+4.50 +│█+ +– +│",
    ):
        assert re.search(row, text), row
    assert "KS 0.80   p 2e-6" in text


def test_every_kind_of_ablation_of_the_head_has_its_table(session: Session) -> None:
    zero = msgspec.structs.replace(sample_ablation(AN, LOOKUP), replacement="zero", position="all", lower=3)
    session.state.ablations[AN, LOOKUP, "zero", "all", ()] = zero
    text = words(page(session, "Ablation"))
    assert "Replaced by zero at every token, 3 of the prompts from lower activation bins" in text
    assert text.count("Δ rank") == 2


def test_without_an_ablation_the_key_is_named(session: Session) -> None:
    session.selection.head = DAMPING
    assert page(session, "Ablation") == "L2.H4 has not been taken away yet: a does it."


# Sources


def test_the_sources_are_sorted_by_size_and_sum_to_the_attribution(session: Session) -> None:
    shading = sample_shading()
    sources = [-0.5, 2.0, 0.25, 0.0, 0.125, -1.0]
    session.take(msgspec.structs.replace(shading, sources=[sources, *shading.sources[1:]], elsewhere=[0.25] * PROMPTS))
    text = page(session, "Sources")
    assert "Σ tokens +0.88   + elsewhere +0.25   = A(L2.H7) +1.12   p(·an | shown) 0.71" in text
    rows = text.splitlines()[3:]
    assert [float(row.split()[2].replace("−", "-")) for row in rows] == [2.0, -1.0, -0.5, 0.25, 0.12, 0.0]
    assert rows[0].startswith("the  ") and rows[0].split()[1] == "−4" and rows[1].split()[:2] == ["·picked", "here"]
    assert rows[0].endswith("│" + "█" * 14) and rows[1].endswith("█" * 7 + "│")


def test_the_sources_are_those_of_the_selected_prompt(session: Session) -> None:
    session.select_prompt(1)
    direct = sample_arrays(AN)["headline"][1, 2, 7]
    text = page(session, "Sources")
    assert "prompt 2 " in text and f"= A(L2.H7) {direct:+.2f}" in text and "·oranges" in text


def test_sources_that_are_not_there_are_asked_for_or_unknown(session: Session) -> None:
    session.selection.head = PREVIOUS
    assert "is not known" in page(session, "Sources")
    session.requests.waiting[3] = ShadePrompts(id=3, neuron=AN, head=PREVIOUS)
    assert page(session, "Sources") == "Asking the engine …"
    session.take(sample_shading(head=None))
    assert page(session, "Sources") == "Asking the engine …"
    session.requests.end(3, failure="no corpus")
    assert page(session, "Sources") == "What the tokens gave is not known: no corpus"
    session.selection.head, session.selection.prompt = LOOKUP, PROMPTS
    assert "A(" not in page(session, "Sources")


# Notes


def test_notes_on_the_head_the_neuron_and_the_study_stand_there_in_this_order(session: Session) -> None:
    assert page(session, "Notes").startswith("No notes here yet.")
    notes = {
        "study": "S",
        "L3.N892": "N",
        "L2.H7": "H",
        "L3.N892 L2.H7": f"first\n\n{HOSTILE}",
        "L3.N17": "another neuron",
    }
    session.notes = msgspec.structs.replace(session.notes, notes=notes)
    text = page(session, "Notes")
    headings = [line for line in text.splitlines() if line in ("L2.H7 on L3.N892", "L3.N892", "L2.H7", "study")]
    assert headings == ["L2.H7 on L3.N892", "L3.N892", "L2.H7", "study"]
    assert "another" not in text and "  first\n\n" in text and "\\x1b[31mred" in text
    assert "n writes a note about L3.N892:" in words(text)
    session.selection.deepest = 4
    assert "n writes a note about L3.N892, L2.H7:" in words(page(session, "Notes"))
