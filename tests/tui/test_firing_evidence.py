"""The Evidence tab where heads are labelled on firing places: which they are, and what the head does there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from claimed_study import claimed_session
from claims_study import BEST, BY_TOKEN, HELD_OUT, TRAIN
from detail_pages import page, words

from headtorch.core.records import HeadId, Judgement
from headtorch.tui.panes.detail import evidence
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.figures import fixed, percent
from headtorch.tui.session import Session

HEAD = HeadId(1, 2)


@pytest.fixture
def session(claimed: Path) -> Session:
    session = claimed_session(claimed, BEST)
    session.select_head(HEAD)
    return session


def test_the_labels_are_those_of_the_firing_places_with_what_the_head_gives_and_carries(session: Session) -> None:
    labels, event = labels_of(session, BEST, HEAD), session.state.claim_heads[BEST]
    assert labels is not None and session.study is not None
    arrays = session.study.load_arrays(event.artefact)
    at = [one.head for one in event.heads].index(HEAD)
    assert labels.firing and len(labels.prompts) == TRAIN + HELD_OUT
    assert labels.active == arrays["active"][:, at].tolist()
    assert labels.direct == arrays["attribution"][:, at].tolist()
    for carries, effect, prompt in zip(labels.carries, arrays["effect"][:, at], labels.prompts, strict=True):
        assert carries == pytest.approx(float(effect) / prompt.activation)
    assert labels.share_explaining() == (sum(labels.active[:TRAIN]), TRAIN)


def test_the_tab_lists_firing_places_and_not_examples(session: Session) -> None:
    labels = labels_of(session, BEST, HEAD)
    assert labels is not None
    text = page(session, "Evidence")
    assert f"● active on {sum(labels.active)} of {TRAIN + HELD_OUT} firing places" in text
    for i in (0, TRAIN, TRAIN + HELD_OUT - 1):
        split = "train" if i < TRAIN else "held-out"
        number, share = fixed(labels.direct[i], sign=True), percent(labels.carries[i])
        line = rf"^.\s+{i + 1} +{re.escape(number)} +{re.escape(share)} +{labels.prompts[i].activation:.2f} +{split} "
        assert re.search(line, text, re.MULTILINE), i
    assert text.count("▸") == 1, "the selected example, which is one of them"
    splits = re.findall(r" (train|held-out) ", text.split("○")[0])
    assert splits == sorted(splits), "held-out places first"


def test_verdicts_stand_at_the_places_that_were_judged(session: Session) -> None:
    labels = labels_of(session, BEST, HEAD)
    assert labels is not None
    wrong = next(i for i in range(TRAIN, TRAIN + HELD_OUT) if labels.active[i])
    judged = list(range(TRAIN, TRAIN + HELD_OUT))
    session.state.judgements[BEST, HEAD, "rules"] = Judgement(
        neuron=BEST,
        head=HEAD,
        explainer="rules",
        judge="rule",
        prompts=judged,
        verdicts=[labels.active[i] if i != wrong else False for i in judged],
    )
    text = page(session, "Evidence")
    assert text.count("✗") == 1 and text.count("✓") == HELD_OUT - 1
    assert re.search(rf"^.\s+{wrong + 1} .*✗", text, re.MULTILINE)
    assert f"{HELD_OUT - 1} of {HELD_OUT} right" in words(text)


def test_long_lists_are_cut_and_say_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labels_of(session, BEST, HEAD)
    assert labels is not None
    monkeypatch.setattr(evidence, "MOST", 5)
    assert f"… and {sum(labels.active) - 5} more" in page(session, "Evidence")


def test_what_cannot_be_read_is_said_once_and_no_examples_stand_in(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    notices: list[str] = []
    session.on_notice = lambda text, is_error: notices.append(text)
    event = session.state.firing[BEST]
    session.state.firing[BEST] = msgspec.structs.replace(event, artefact="0" * 64 + ".npz")
    session.select_head(HEAD)
    assert "cannot be read" in page(session, "Evidence") and "cannot be read" in page(session, "Evidence")
    assert len(notices) == 1
    assert page(session, "Explanation") and page(session, "Ablation")


def test_a_neuron_driven_by_its_last_token_has_no_labels_and_says_why(claimed: Path) -> None:
    session = claimed_session(claimed, BY_TOKEN)
    session.state.attributed[BY_TOKEN] = msgspec.structs.replace(session.state.attributed[BEST], neuron=BY_TOKEN)
    session.select_head(HEAD)
    assert "it is driven by its last token" in page(session, "Evidence")


@pytest.mark.parametrize("width", [36, 56, 78, 116])
def test_every_width_fits(session: Session, width: int) -> None:
    assert "carries" in page(session, "Evidence", width)
