"""What is known about a head on a neuron: five tabs, each a function of the session, and the pane they scroll in."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fake_engine import FakeEngine
from pane_stage import SIZES, on_stage, shown
from rich.cells import cell_len
from sample_answers import sample_shading
from sample_records import (
    ALWAYS,
    AN,
    AS,
    DAMPING,
    HOSTILE,
    LOOKUP,
    LOWER,
    PREVIOUS,
    PROMPTS,
    STATES,
    is_active,
    sample_ablation,
    sample_arrays,
    sample_facts,
    sample_prompt,
)
from sample_study import sample_folder, sample_session, session_in

from headtorch.core.causes import AblationGroup
from headtorch.core.engine.protocol import AblateHead, ExplainHead, ShadePrompts
from headtorch.core.records import Control, Explanation, HeadId, Validity
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.detail.judged import RIGHT, WRONG, marks_by_score
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.detail.pane import PAGES, TABS
from headtorch.tui.panes.figures import fixed
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


UNEXPLAINED = HeadId(0, 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_folder(tmp_path_factory.mktemp("detail"))


@pytest.fixture
def session(folder: Path) -> Session:
    return session_in(folder)


def page(session: Session, tab: str, width: int = 100) -> str:
    """The tab's text; every line fits."""
    lines = PAGES[tab](session, width, CAVE)
    assert all(line.cell_len <= width for line in lines)
    return "\n".join(line.plain.rstrip() for line in lines)


def words(text: str) -> str:
    return " ".join(text.split())


# Explanation


def test_the_explanation_shows_the_claim_its_score_and_what_to_compare_it_with(session: Session) -> None:
    text = words(page(session, "Explanation"))
    assert text.startswith("Active when the text has named, a few words earlier")
    assert "by rules on the prompts it was made from 0.90" in text
    assert "E 0.83 [0.71, 0.92] n 8 + 4 F1 0.81 MCC 0.60 p 0.0004 q 0.004" in text
    assert "other head 0.52 n 12 empty 0.50 n 12 shuffled – n 0" in text
    assert "right 7/8 active 3/4 inactive precision on random text 0.20" in text
    assert "near-copies dropped 2 unusable answers 1" in text
    assert "active on 8 of 12 mean A(h) +3.10 active +0.05 inactive" in text
    assert "ablated: Δ log p −1.31 active −0.02 inactive KS p 2e-6" in text
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


def test_a_head_that_cannot_feed_the_neuron_says_so_in_every_tab_but_notes(session: Session) -> None:
    session.select_neuron(STATES)
    session.selection.head = HeadId(3, 1)
    for tab in TABS[:-1]:
        assert "L3.H1 cannot feed L2.N364: it comes after it." in page(session, tab)


# what the engine is doing


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
            rf" {i + 1} +{re.escape(fixed(direct[i], sign=True))} +{prompt.activation:.2f} +{prompt.half}", text
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
    assert " –    1.50  lower, explain" in text  # its attribution was not kept


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
    assert "Replaced by its mean on random text at the firing token" in text
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


# what is missing, and what is hostile


def bare_session() -> Session:
    return Session(FakeEngine(lambda message: None, lambda end: None))


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
        for tab in TABS:
            assert app.pane.tab == tab
            text = shown(app)
            assert tab in ("Ablation", "Cause") or "[bold]" in text or width < 196
            assert all(cell_len(line) <= width for line in text.splitlines())
            assert not set(app.pane.copy_text()) & set("\x1b\x07\x00\r\t\u202e\u2066")
            page(session, tab, width)
            await pilot.press("l")


# the pane


@pytest.mark.parametrize("size", [*SIZES, (38, 24), (38, 6)])
async def test_every_tab_fits_every_size(session: Session, size: tuple[int, int]) -> None:
    async with on_stage(DetailPane(), session, size) as (app, pilot):
        for tab in TABS:
            lines = shown(app).splitlines()
            assert app.pane.tab == tab and tab in lines[1] and len(lines) == size[1]
            assert {cell_len(line) for line in lines} == {size[0]}
            assert "4 L2.H7 on L3" in lines[0]
            await pilot.press("right")
        assert app.pane.tab == "Explanation"


async def test_keys_and_clicks_change_the_tab_and_tell(session: Session) -> None:
    async with on_stage(DetailPane(), session, (120, 13)) as (app, pilot):
        await pilot.press("l", "right", "h", "left", "h")
        names = ["Evidence", "Ablation", "Evidence", "Explanation", "Notes"]
        assert [told.tab for told in app.told if isinstance(told, DetailPane.TabChanged)] == names
        bar = shown(app).splitlines()[1]
        for tab in TABS:
            await pilot.click(DetailPane, offset=(bar.index(tab) + 1, 1))
            assert app.pane.tab == tab
        await pilot.click(DetailPane, offset=(100, 1))
        await pilot.click(DetailPane, offset=(3, 5))
        assert app.pane.tab == "Notes"
        app.pane.show_tab("Ablation")
        await pilot.pause()
        assert "Replaced by" in shown(app)


async def test_long_tabs_scroll_and_another_head_begins_at_the_top(session: Session) -> None:
    async with on_stage(DetailPane(), session, (80, 12)) as (app, pilot):
        await pilot.press("l")
        top = shown(app)
        assert "● active" in top
        await pilot.press("j", "j", "k")
        assert "● active" not in shown(app) and "the apple" in shown(app) and app.pane.scroll_offset.y == 1
        await pilot.press("G")
        assert "an owl and an eel met" in shown(app) and "Evidence" in shown(app)
        await pilot.press("g")
        assert shown(app) == top
        await pilot.press("ctrl+d")
        assert app.pane.scroll_offset.y == 4
        await pilot.press("ctrl+u")
        assert app.pane.scroll_offset.y == 0
        await pilot.press("G")
        session.selection.head = PREVIOUS
        app.pane.show(session)
        await pilot.pause()
        assert "● active on 6" in shown(app) and "4 L1.H2 on L3.N892" in shown(app)


async def test_showing_the_same_again_sends_nothing(session: Session) -> None:
    pane = DetailPane()
    async with on_stage(pane, session, (120, 13)) as (_, _pilot):
        sent: list[object] = []
        refresh = pane.refresh
        pane.refresh = lambda *regions, **more: (sent.append(regions), refresh(*regions, **more))[1]  # type: ignore
        pane.show(session)
        assert sent == []
        session.state.scores[AN, LOOKUP, "rules"] = msgspec.structs.replace(
            session.state.scores[AN, LOOKUP, "rules"], q=0.9
        )
        pane.show(session)
        assert [region[0].height for region in sent] == [1]  # the line with q


async def test_a_resize_wraps_the_text_anew(session: Session) -> None:
    async with on_stage(DetailPane(), session, (120, 20)) as (app, pilot):
        assert "begins with a vowel sound." in shown(app)
        await pilot.resize_terminal(40, 20)
        await pilot.pause()
        assert "Active when the text has named, a " in shown(app) and "begins with" in words(
            shown(app).replace("│", "")
        )


async def test_what_is_copied_is_the_whole_tab(session: Session) -> None:
    async with on_stage(DetailPane(), session, (80, 8)) as (app, _):
        assert app.pane.copy_text().splitlines()[0].startswith("Active when the text")
        assert "AUROC" in app.pane.copy_text() and "AUROC" not in shown(app)


async def test_without_a_neuron_the_title_names_the_pane() -> None:
    async with on_stage(DetailPane(), bare_session(), (80, 12)) as (app, pilot):
        assert "4 Detail" in shown(app) and "No neuron is selected." in shown(app)
        await pilot.press(*"lhjkgG", "ctrl+d", "ctrl+u")


def test_the_help_explains_every_abbreviation() -> None:
    scores = ("E is", "n counts", "F1", "MCC", "p:", "q:", "AUROC", "lift", "base rate", "┼")
    tables = ("A(h)", "KS", "Δ log p", "nats", "rank", "elsewhere", "back", "attends", "fires", "lower", *"✓✗●○")
    for word in (*scores, *tables):
        assert word in DetailPane.help, word


def test_another_neuron_has_its_own_numbers(session: Session) -> None:
    session.select_neuron(AS)
    assert session.selection.head == LOOKUP
    assert "E 0.77" in page(session, "Explanation") and "q 0.008" in page(session, "Explanation")
