"""The detail pane where something is missing, waited for, failed or hostile: every tab has a sentence."""

from __future__ import annotations

import msgspec
import pytest
from detail_pages import page
from pane_stage import on_stage, shown
from rich.cells import cell_len
from sample_answers import sample_shading
from sample_records import AN, DAMPING, HOSTILE, LOOKUP, STATES, sample_ablation, sample_facts
from sample_study import bare_session, sample_session

from headtorch.core.causes import AblationGroup
from headtorch.core.engine.protocol import AblateHead, ExplainHead
from headtorch.core.records import Control, HeadId, Validity
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.detail.pane import TABS
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


def test_a_head_that_cannot_feed_the_neuron_says_so_in_every_tab_but_notes(session: Session) -> None:
    session.select_neuron(STATES)
    session.selection.head = HeadId(3, 1)
    for tab in TABS[:-1]:
        assert "L3.H1 cannot feed L2.N364: it comes after it." in page(session, tab)


@pytest.mark.parametrize(
    ("kind", "tab", "working", "failed"),
    [
        (ExplainHead, "Explanation", "Explaining L2.H4 on L3.N892 …", "Explaining failed: out of [b]luck\\x1b"),
        (AblateHead, "Ablation", "Ablating L2.H4 …", "The ablation failed: out of [b]luck\\x1b"),
    ],
)
def test_waiting_and_failing_are_said(session: Session, kind: type, tab: str, working: str, failed: str) -> None:
    session.selection.head = DAMPING
    assert working not in page(session, tab)
    request = kind(id=9, neuron=AN, head=DAMPING)
    session.requests.waiting[9] = request
    assert working in page(session, tab)
    session.selection.head = LOOKUP
    assert "…" not in page(session, tab)
    session.selection.head = DAMPING
    session.requests.end(9, failure="out of [b]luck\x1b")
    assert failed in page(session, tab)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("width", [36, 76, 196])
def test_every_tab_has_a_sentence_where_everything_is_missing(tab: str, width: int) -> None:
    session = bare_session()
    assert page(session, tab, width)
    session.selection.neuron = AN
    assert page(session, tab, width)
    session.selection.head = LOOKUP
    assert page(session, tab, width)
    session = sample_session()
    session.selection.head = None
    assert page(session, tab, width)
    for name in ("prompts", "activity", "attributed", "explanations", "scores", "ablations", "validity", "baseline"):
        session = sample_session()
        getattr(session.state, name).clear()
        assert page(session, tab, width)
    session.state.model = session.state.settings = None
    assert page(session, tab, width)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("gated", [False, True])
def test_records_whose_every_number_is_missing_are_shown_with_dashes(session: Session, tab: str, gated: bool) -> None:
    state, key = session.state, (AN, LOOKUP, "rules")
    state.model = msgspec.structs.replace(sample_facts(), gated=gated)
    score = state.scores[key]
    empty = AblationGroup(n=0, delta_log_p=None, delta_p=None, delta_logit=None, delta_activation=None)
    none = dict.fromkeys(("e", "interval", "f1", "mcc", "p", "q", "random_text_precision"))
    state.ablations[AN, LOOKUP, "mean", "last", ()] = msgspec.structs.replace(
        sample_ablation(AN, LOOKUP), active=empty, inactive=empty, ks=None, ks_p=None
    )
    state.validity[AN] = Validity(
        neuron=AN, token_id=7, n=0, next_share=0.0, base_rate=0.0, lift=0.0, auroc=None, logit_attribution=None,
        ablation_log_p=None, valid=False,
    )  # fmt: skip
    event = state.activity[AN]
    heads = [msgspec.structs.replace(one, mean_active=None, mean_inactive=None) for one in event.heads]
    state.activity[AN] = msgspec.structs.replace(event, heads=heads)
    state.baseline["rules"] = msgspec.structs.replace(
        state.baseline["rules"],
        difference=None,
        interval=None,
        random=msgspec.structs.replace(state.baseline["rules"].random, mean=None, median=None, interval=None),
    )
    for change in (none, {**none, "e": 0.5}, {**none, "n_active": 0, "n_inactive": 0}):
        state.scores[key] = msgspec.structs.replace(score, **change)
        for width in (36, 76, 196):
            text = page(session, tab, width)
            assert "None" not in text and "nan" not in text
    if tab == "Ablation":
        assert "Δ log p" in text and "–" in text


@pytest.mark.parametrize("width", [40, 76, 196])
async def test_hostile_text_is_inert_in_every_tab(session: Session, width: int) -> None:
    state, key = session.state, (AN, LOOKUP, "rules")
    said = msgspec.structs.replace(state.explanations[key], text=HOSTILE * 3, rule=HOSTILE)
    control = Control(name=HOSTILE, e=0.5, n=1)
    state.explanations[key], state.explanations[AN, LOOKUP, "me"] = said, msgspec.structs.replace(said, explainer="me")
    state.scores[AN, LOOKUP, "me"] = msgspec.structs.replace(state.scores[key], explainer="me", controls=[control])
    state.prompts[AN] = [
        msgspec.structs.replace(
            prompt, tokens=[HOSTILE] * 5, title=HOSTILE, next_token=HOSTILE, start=prompt.position - 3
        )
        for prompt in state.prompts[AN]
    ]
    state.neurons[AN] = msgspec.structs.replace(state.neurons[AN], token=HOSTILE)
    state.warnings[HOSTILE, AN] = next(iter(state.warnings.values()))
    shading = sample_shading()
    session.take(msgspec.structs.replace(shading, tokens=[[HOSTILE] * len(row) for row in shading.tokens]))
    session.notes = msgspec.structs.replace(session.notes, notes={"study": HOSTILE, "L3.N892 L2.H7": HOSTILE})
    async with on_stage(DetailPane(), session, (width, 50)) as (app, pilot):
        await pilot.press("left")
        for tab in TABS:
            assert app.pane.tab == tab
            text = shown(app)
            assert tab in ("Claim", "Ablation", "Cause") or "[bold]" in text or width < 196
            assert all(cell_len(line) <= width for line in text.splitlines())
            assert not set(app.pane.copy_text()) & set("\x1b\x07\x00\r\t\u202e\u2066")
            page(session, tab, width)
            await pilot.press("l")
