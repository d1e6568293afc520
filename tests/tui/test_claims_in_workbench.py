"""A study with claims in the whole workbench: where it begins, its verdict, its stages, the keys, live events."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from claimed_study import SETTINGS, claimed_session, head_arrays
from claims_study import BEST, BY_TOKEN, HEADS_OF, RAISED
from fake_engine import FakeEngine, begun
from screens import screen_lines, screen_text
from stage import in_terminal
from workbench_stage import notices, running

from headtorch.core.engine.protocol import Happened, MeasureEffects
from headtorch.core.events import ContextClaimTested, ContextShareMeasured, StageFinished, StageStarted
from headtorch.core.records import NeuronId
from headtorch.core.study.conclusions import BEFORE_CLAIMS, conclusions
from headtorch.core.study.stages import OF_EXAMPLES, stages_of
from headtorch.core.study.state import StudyState
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.claims import first_neuron, study_claims
from headtorch.tui.panes.detail.labels import on_examples
from headtorch.tui.panes.prompt_rows import prompt_rows
from headtorch.tui.screens.pairs import PairsScreen
from headtorch.tui.session import Session
from headtorch.tui.topics import topics_of
from headtorch.tui.visiting import needs_visit
from headtorch.tui.widgets.progress_line import words_for

pytestmark = pytest.mark.usefixtures("own_home")


def opened(folder: Path) -> HeadtorchApp:
    return HeadtorchApp(study=str(folder), read_only=True, engine=FakeEngine)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
@in_terminal
async def test_a_finished_study_begins_with_its_verdict_at_the_strongest_finding(
    claimed: Path, size: tuple[int, int]
) -> None:
    app = opened(claimed)
    async with app.run_test(size=size) as pilot:
        await begun(app, pilot)
        await pilot.pause()
        assert app.session.selection.neuron == BEST
        verdict = conclusions(app.session.state).verdict.sentence
        lines = [line.strip() for line in screen_lines(app)]
        shown = " ".join(lines[-3 if size[1] < 30 else -4 : -1])
        assert shown.startswith(f"read-only: it was opened with --read-only. {verdict[:70]}")
        assert shown.endswith("…"), "the rest stands in the Claim tab"


@in_terminal
async def test_enter_leads_to_the_claim_about_the_head_on_a_small_terminal(claimed: Path) -> None:
    app = opened(claimed)
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(app, pilot)
        await pilot.press("enter", "enter", "j", "enter")
        await pilot.pause(0.3)
        head = app.session.selection.head
        assert head in HEADS_OF[BEST] and f"{head} drives it where" in screen_text(app)
        await pilot.press("g")
        assert f"{BEST} fires where" in screen_text(app)


@in_terminal
async def test_d_opens_the_pairs_and_d_or_escape_leads_back(claimed: Path) -> None:
    app = opened(claimed)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        for back in ("d", "escape"):
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, PairsScreen) and "Matched pairs · L18.N98" in screen_text(app)
            await pilot.press("question_mark")
            await pilot.pause()
            assert "Each line is a matched pair" in screen_text(app)
            await pilot.press("escape", back)
            await pilot.pause()
            assert app.screen is app.workbench
        app.workbench.go_to_neuron(BY_TOKEN)
        await pilot.press("d")
        await pilot.pause()
        assert "No context claim could be tested about L21.N5" in notices(app)


@in_terminal
async def test_l_changes_between_list_and_grid_and_v_leads_to_the_grid(claimed: Path) -> None:
    app = opened(claimed)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await pilot.press("3")
        assert "3 Heads · by share" in screen_text(app)
        await pilot.press("L")
        assert "3 Heads · mean direct" in screen_text(app)
        await pilot.press("L")
        assert "3 Heads · by share" in screen_text(app)
        await pilot.press("v")
        assert "3 Heads · mean direct" in screen_text(app)
        await pilot.press("v")
        assert "3 Heads · mean effect" in screen_text(app)


@in_terminal
async def test_in_an_older_study_the_keys_say_what_it_lacks(folder: Path) -> None:
    app = opened(folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await pilot.press("3", "L")
        await pilot.pause()
        assert BEFORE_CLAIMS in notices(app) and "3 Heads · mean direct" in screen_text(app)
        assert BEFORE_CLAIMS[:60] in screen_text(app), "the last lines say it too"


def test_the_stages_are_counted_by_what_the_study_goes_through() -> None:
    session = Session(FakeEngine(print, print), state=StudyState(settings=SETTINGS))
    count = len(stages_of(session.state))
    assert words_for(session) == f"0 of {count} stages are done."
    for stage in ("discover", "scan", "trim", "validity", "attribute", "places", "heads"):
        session.state.apply(StageStarted(stage=stage))
        session.state.apply(StageFinished(stage=stage, seconds=1.0))
    assert words_for(session) == f"7 of {count} stages are done."
    session.state = StudyState(settings=msgspec.structs.replace(SETTINGS, preset="paper"))
    for stage in ("discover", "scan", "trim", "validity", "attribute", "contrast"):
        session.state.apply(StageFinished(stage=stage, seconds=1.0))
    assert words_for(session) == f"6 of {count - 3 + len(OF_EXAMPLES)} stages are done.", "not places, heads, claims"


def test_claims_are_drawn_as_they_come_and_counted_again(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    claim = session.state.context_claims.pop((BEST, "rules"))
    session.claims = None
    before = study_claims(session).counts[str(BEST)]
    topics = session.take(Happened(request=1, event=ContextClaimTested(claim=claim)))
    assert {"neurons", "heads", "detail"} <= topics
    after = study_claims(session).counts[str(BEST)]
    assert (after.tested, after.context_e) == (before.tested + 1, claim.e) and before.context_e is None
    share = session.state.context_share[BEST]
    assert {"neurons", "heads", "detail"} <= topics_of(ContextShareMeasured(share=share))


def test_it_begins_at_a_valid_neuron_of_large_context_share_where_nothing_is_found(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    session.state.context_claims.clear()
    session.state.head_claims.clear()
    session.claims = None
    assert first_neuron(session) == BEST
    del session.state.context_share[BEST]
    assert first_neuron(session) == RAISED
    session.state.context_share.clear()
    assert first_neuron(session) == next(iter(session.state.neurons)), "the study's own order"


def test_examples_have_the_label_of_the_firing_place_that_they_are(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    head = session.selection.head
    assert head is not None
    activity = session.state.activity_of(BEST, head)
    places, prompts = session.state.firing_prompts(BEST), session.state.prompts[BEST]
    assert activity is not None and len(places) > len(prompts)
    by_place = {(one.document, one.position): label for one, label in zip(places, activity.active, strict=True)}
    labels = on_examples(session, activity, prompts)
    assert labels == [by_place[one.document, one.position] for one in prompts]
    moved = msgspec.structs.replace(prompts[0], position=7)
    session.state.prompts[BEST] = [moved, *reversed(prompts[1:])]
    by_attribution = session.state.activity[BEST]
    carries = [msgspec.structs.replace(one, rule="carries") for one in by_attribution.heads]
    session.state.activity[BEST] = msgspec.structs.replace(by_attribution, heads=carries)
    assert [row.active for row in prompt_rows(session).rows] == [None, *reversed(labels[1:])], "whatever their order"


def test_a_visited_neuron_is_known_once_its_heads_are_chosen_or_its_share_is_too_small(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    state, stranger = session.state, NeuronId(15, 4)
    state.prompts[stranger] = state.prompts[BEST]
    state.attributed[stranger] = state.attributed[BEST]
    assert needs_visit(session, stranger)
    state.context_share[stranger] = state.context_share[BY_TOKEN]
    assert not needs_visit(session, stranger)


@in_terminal
async def test_measured_effects_are_shown_in_the_grid(claimed: Path) -> None:
    async with running(claimed) as (app, engine, pilot):
        assert not app.session.selection.grid
        await pilot.press("E")
        assert app.session.selection.grid and len(engine.sent(MeasureEffects)) == 1
        assert "mean effect" in screen_text(app)


def test_other_examples_are_labelled_by_the_same_rule_of_attribution(claimed: Path) -> None:
    session = claimed_session(claimed, BEST)
    head = session.selection.head
    assert head is not None and session.study is not None
    activity = session.state.activity_of(BEST, head)
    assert activity is not None
    event = session.state.claim_heads[BEST]
    arrays = session.study.load_arrays(event.artefact)
    at = [one.head for one in event.heads].index(head)
    elsewhere = [msgspec.structs.replace(one, position=9_000 + i) for i, one in enumerate(session.prompts())]
    direct = head_arrays(BEST, len(elsewhere))["headline"][:, head.layer, head.index]
    expected = direct - arrays["baseline_mean"][at] > 2 * arrays["baseline_sd"][at]
    assert on_examples(session, activity, elsewhere) == expected.tolist() and expected.all()
    lowering = msgspec.structs.replace(activity, suppressing=True)
    assert on_examples(session, lowering, elsewhere) == [False] * len(elsewhere)
    by_effect = msgspec.structs.replace(activity, rule="carries")
    assert on_examples(session, by_effect, elsewhere) == [None] * len(elsewhere), "only effects could tell"
