"""Explaining a head in the workbench: from the key to the request, with and without a language model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fake_engine import FakeEngine
from language_models import NAME, explained_by
from sample_records import AN, LOOKUP
from sample_study import sample_events, sample_settings
from screens import screen_text
from stage import in_terminal
from waiting import until
from workbench_stage import notices, running

from headtorch.core.engine.protocol import (
    CallsPlanned,
    Cancel,
    ExplainHead,
    OpenStudy,
    PlanCalls,
    RequestDone,
    RequestFailed,
)
from headtorch.core.events import HeadUnanswered, StudyFinished
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import LlmSettings, Price
from headtorch.core.study.study import Study
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.screens.budget import BudgetScreen
from headtorch.tui.screens.calls import CallsScreen
from headtorch.tui.screens.explain import ExplainScreen
from headtorch.tui.screens.hypothesis import HypothesisLine
from headtorch.tui.screens.note import NoteScreen
from headtorch.tui.screens.pick import PickScreen
from headtorch.tui.screens.workbench import Workbench
from headtorch.tui.settings import TuiSettings
from headtorch.tui.widgets.entry import Entry

NAMED = TuiSettings(explainer={"model": "small-1", "base_url": "http://127.0.0.1:9/v1"})
PLAN = PlannedCalls(
    model="small-1",
    base_url="http://127.0.0.1:9/v1",
    calls=74,
    cached=0,
    prompt_tokens=9,
    completion_tokens=9,
    cost=None,
)


pytestmark = pytest.mark.usefixtures("own_home")


@in_terminal
async def test_a_dialog_lies_over_the_workbench_and_does_not_hide_it(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        for key in ("e", "i", "n", "question_mark", "colon"):
            await pilot.press(key)
            await pilot.pause()
            assert not isinstance(app.screen, Workbench)
            assert "headtorch" in screen_text(app) and "1 Neurons" in screen_text(app), key
            await pilot.press("escape")


@in_terminal
async def test_e_and_e_again_repeats_the_way_taken_last(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("e", "i")
        await pilot.pause()
        assert isinstance(app.screen, HypothesisLine)
        await pilot.press(*"re:an$", "enter")
        await pilot.pause()
        first = engine.sent(ExplainHead)[-1]
        assert (first.explainer, first.explanation, first.llm) == ("me", "re:an$", None)
        engine.happen(first.id, *explained_by("me", "rule", [True] * 6, "re:an$"), done=True)
        await until(pilot, lambda: "E 0.75 [0.55, 0.85]" in screen_text(app))
        await pilot.press("e", "e")
        await pilot.pause()
        assert isinstance(app.screen, HypothesisLine)
        assert app.screen.query_one(Entry).value == "re:an$"
        await pilot.press("escape", "e", "r", "e")
        assert [r.explainer for r in engine.sent(ExplainHead)] == ["me", "rules"]


@in_terminal
async def test_the_words_typed_last_are_offered_for_the_next_head(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("i", *"re:an$", "enter")
        await pilot.pause()
        engine.emit(RequestDone(request=engine.sent(ExplainHead)[-1].id, seconds=0.1))
        await pilot.press("3", "s", "i")
        await pilot.pause()
        assert isinstance(app.screen, HypothesisLine)
        assert app.screen.query_one(Entry).value == "re:an$"


@in_terminal
async def test_without_a_language_model_the_menu_and_the_line_say_what_to_do(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("e", "l")
        await pilot.pause()
        assert "✗ No language model is named: set model in the table [explainer] of config.toml." in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        await pilot.press(*"Active.", "enter")
        await pilot.pause()
        assert "✗ A sentence is judged by a language model. No language model is named" in screen_text(app)
        assert not engine.sent(PlanCalls) and not engine.sent(ExplainHead)


@in_terminal
async def test_settings_that_cannot_be_used_keep_every_language_model_from_being_asked(folder: Path) -> None:
    capped = TuiSettings(explainer={"model": "small-1", "max_cost": 1.0})
    async with running(folder, capped) as (app, engine, pilot):
        await pilot.press("e", "l")
        await pilot.pause()
        assert "✗ The price of small-1 is unknown" in screen_text(app)
        assert not engine.sent(PlanCalls)


@in_terminal
async def test_nothing_is_sent_before_enter_in_the_dialog(folder: Path) -> None:
    async with running(folder, NAMED) as (app, engine, pilot):
        for send in (False, True):
            await pilot.press("e", "l")
            await pilot.pause()
            assert isinstance(app.screen, CallsScreen)
            asked = engine.sent(PlanCalls)[-1]
            assert (asked.head.neuron, asked.head.head, asked.head.explainer) == (AN, LOOKUP, "llm")
            engine.emit(CallsPlanned(request=asked.id, plans=[PLAN], examples=["You find out"]))
            engine.emit(RequestDone(request=asked.id, seconds=0.1))
            await pilot.pause()
            assert "74 calls" in screen_text(app) and "price unknown" in screen_text(app)
            await pilot.press("enter" if send else "escape")
            await pilot.pause()
            assert len(engine.sent(ExplainHead)) == send
        said = engine.sent(ExplainHead)[0]
        assert said.llm == LlmSettings(model="small-1", base_url="http://127.0.0.1:9/v1")
        assert f"Asking {NAME}" in screen_text(app)
        await pilot.press("ctrl+x")
        assert said.id in [r.target for r in engine.sent(Cancel)]


@in_terminal
async def test_leaving_while_calls_are_counted_stops_the_count(folder: Path) -> None:
    async with running(folder, NAMED) as (_, engine, pilot):
        await pilot.press("e", "l", "escape")
        await pilot.pause()
        assert [r.target for r in engine.sent(Cancel)] == [engine.sent(PlanCalls)[0].id]


@in_terminal
async def test_a_sentence_of_ones_own_is_judged_by_the_language_model_after_the_question(folder: Path) -> None:
    async with running(folder, NAMED) as (app, engine, pilot):
        await pilot.press("i", *"Active.", "enter")
        await pilot.pause()
        asked = engine.sent(PlanCalls)[-1]
        assert (asked.head.explainer, asked.head.explanation) == ("me", "Active.")
        kept = msgspec.structs.replace(PLAN, calls=0, cached=74)
        engine.emit(CallsPlanned(request=asked.id, plans=[kept], examples=["You apply"]))
        await pilot.pause()
        assert isinstance(app.screen, Workbench)  # every answer is kept: no question
        assert [r.explanation for r in engine.sent(ExplainHead)] == ["Active."]


@in_terminal
async def test_a_plan_that_fails_is_said_in_the_dialog_also_where_the_engine_dies(folder: Path) -> None:
    async with running(folder, NAMED) as (app, engine, pilot):
        await pilot.press("e", "l")
        engine.emit(RequestFailed(request=engine.sent(PlanCalls)[-1].id, message="There is nothing to judge."))
        await pilot.pause()
        assert "✗ There is nothing to judge." in screen_text(app)
        await pilot.press("escape", "e", "e")
        await pilot.pause()
        assert isinstance(app.screen, CallsScreen)
        engine.die()
        await pilot.pause()
        assert "The engine ended before it answered." in screen_text(app)


@in_terminal
async def test_w_shows_the_next_explainer_or_says_that_there_is_none(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("w")
        assert "Nobody else has explained this head yet; e asks somebody." in notices(app)
        number = engine.sent(OpenStudy)[-1].id
        engine.happen(number, *explained_by(NAME, NAME, [True] * 6, "Active after a fruit."))
        await until(pilot, lambda: "Active after a fruit." in screen_text(app))
        await pilot.press("w")
        await pilot.pause()
        assert f"▸ {NAME}" not in screen_text(app) and "▸ rules" in screen_text(app)


@in_terminal
async def test_a_second_key_on_its_way_does_not_take_the_workbench_away(folder: Path) -> None:
    async with running(folder, NAMED) as (app, _, pilot):
        for keys in (["e"], ["e", "l"], ["i"], ["n"], ["question_mark"], ["colon"], ["o"], ["P"]):
            await pilot.press(*keys)
            await pilot.pause()
            dialog = app.screen
            assert not isinstance(dialog, Workbench), keys
            dialog.dismiss(None)
            dialog.dismiss(None)
            await pilot.pause()
            assert isinstance(app.screen, Workbench), keys
            assert len(app.screen_stack) == 2, keys


# a study that asks


def asking_study(tmp_path: Path, *, finished: bool) -> Path:
    """The sample with a language model as its explainer, as a folder."""
    llm = LlmSettings(model="small-1", base_url="http://127.0.0.1:9/v1")
    settings = msgspec.structs.replace(sample_settings(), explainer="llm", llm=llm)
    with Study.create(tmp_path / "asking", settings) as study:
        for event in sample_events():
            if finished or not isinstance(event, StudyFinished):
                study.append(event)
    return tmp_path / "asking"


@in_terminal
async def test_a_study_asks_leave_before_it_goes_on_and_takes_the_caps(tmp_path: Path) -> None:
    async with running(asking_study(tmp_path, finished=False), NAMED) as (app, engine, pilot):
        assert isinstance(app.screen, BudgetScreen) and not engine.sent(OpenStudy)
        assert "L3.N892" in screen_text(app)  # what is on the disk is shown behind the question
        await pilot.press(*"500", "enter")
        await pilot.pause()
        opened = engine.sent(OpenStudy)[-1]
        assert opened.run and opened.access.max_calls == 500


@in_terminal
async def test_a_study_can_be_looked_at_without_asking_and_asked_for_leave_again(tmp_path: Path) -> None:
    async with running(asking_study(tmp_path, finished=False), NAMED) as (app, engine, pilot):
        await pilot.press("escape")
        await pilot.pause()
        assert not engine.sent(OpenStudy) and "R asks you again" in notices(app)
        await pilot.press("R")
        await pilot.pause()
        assert isinstance(app.screen, BudgetScreen)
        await pilot.press("ctrl+l")
        await pilot.pause()
        assert [r.run for r in engine.sent(OpenStudy)] == [False]


@in_terminal
async def test_a_finished_study_asks_nothing_unless_heads_wait_for_an_answer(tmp_path: Path) -> None:
    folder = asking_study(tmp_path, finished=True)
    async with running(folder, NAMED) as (app, engine, _):
        assert isinstance(app.screen, Workbench) and engine.sent(OpenStudy)[-1].run
    missing = HeadUnanswered(neuron=AN, head=LOOKUP, explainer=NAME, step="explain", reason="gone")
    with Study.open(folder, write=True) as study:
        study.append(missing)
    async with running(folder, NAMED) as (app, engine, _):
        assert isinstance(app.screen, BudgetScreen) and not engine.sent(OpenStudy)


@in_terminal
async def test_a_study_by_rules_is_opened_without_a_question(folder: Path) -> None:
    async with running(folder, NAMED) as (app, engine, _):
        assert isinstance(app.screen, Workbench) and engine.sent(OpenStudy)[-1].run


# leaving


@in_terminal
async def test_ctrl_q_leaves_from_inside_a_dialog(folder: Path) -> None:
    for key, kind in (("e", ExplainScreen), ("i", HypothesisLine), ("n", NoteScreen)):
        async with running(folder) as (app, engine, pilot):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, kind)
            await pilot.press("ctrl+q")
            await pilot.pause()
            assert app._exit and engine.stopped


@in_terminal
async def test_the_footer_names_a_key_that_leaves_and_does_not_type(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        assert "q quit" in screen_text(app) and "ctrl+q quit" not in screen_text(app)
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, PickScreen) and "ctrl+q quit" in screen_text(app))


@in_terminal
async def test_sentences_follow_remapped_keys(folder: Path) -> None:
    mine = TuiSettings(keys={"workbench.restart-engine": "f9", "workbench.explain": "K", "workbench.stop": "f8"})
    async with running(folder, mine) as (app, engine, pilot):
        await pilot.press("K", "enter", "K")
        await pilot.pause()
        assert len(engine.sent(ExplainHead)) == 1 and "worked on already; f8 stops it" in notices(app)
        engine.die()
        await until(pilot, lambda: "f9 starts the engine again" in screen_text(app))


@in_terminal
async def test_the_pick_screen_offers_the_language_model_that_is_named(tmp_path: Path) -> None:
    async with running(None, NAMED) as (app, engine, pilot):
        await until(pilot, lambda: "‹ rules ›" in screen_text(app) and "llm is small-1" in screen_text(app))
        await pilot.press("tab", "tab", "tab", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, BudgetScreen))
        await pilot.press("enter")
        await pilot.pause()
        settings = engine.sent(OpenStudy)[-1].settings
        assert settings is not None and settings.explainer == "llm"
        assert settings.llm == LlmSettings(model="small-1", base_url="http://127.0.0.1:9/v1")


@in_terminal
async def test_without_a_language_model_the_pick_screen_has_no_such_field(tmp_path: Path) -> None:
    async with running(None) as (app, _, pilot):
        await until(pilot, lambda: "preset" in screen_text(app))
        assert "explains" not in screen_text(app)
        seen = []
        for _ in range(9):
            await pilot.press("tab")
            seen.append(app.focused.id if app.focused is not None else None)
        assert "explainer" not in seen and seen.count("token") == 1


def test_prices_of_the_user_reach_the_dialogs(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('["small-1"]\nprompt = 1.0\ncompletion = 2.0\n')
    app = HeadtorchApp(engine=FakeEngine, settings=TuiSettings(explainer={"model": "small-1"}, folder=tmp_path))
    assert app.model.access.prices == {"small-1": Price(1.0, 2.0)}
