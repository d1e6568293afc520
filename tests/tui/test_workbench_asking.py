"""What the keys of the workbench ask of the engine, and what its answers, failures and end do to the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_records import AN, AS, HOSTILE, LOOKUP, sample_row
from screens import screen_text
from stage import in_terminal
from workbench_stage import notices, running

from headtorch.core.engine.protocol import (
    AblateHead,
    Cancel,
    DocumentText,
    ExplainHead,
    FindHeadRoles,
    Happened,
    ListNeurons,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    OpenStudy,
    ProbeText,
    ReadDocument,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    ShadePrompts,
    StudyReady,
    VisitNeuron,
)
from headtorch.core.events import NeuronVisited, Progress
from headtorch.core.records import HeadId, NeuronId
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.screens.document import DocumentScreen
from headtorch.tui.screens.pick import PickResult
from headtorch.tui.screens.try_text import TryTextScreen
from headtorch.tui.screens.workbench import Workbench

pytestmark = pytest.mark.usefixtures("own_home")


@in_terminal
async def test_the_engine_shades_the_prompts_of_the_neuron_in_view(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        first = engine.sent(ShadePrompts)[-1]
        assert (first.neuron, first.head, first.full) == (AN, LOOKUP, False)
        await pilot.press("f")
        assert engine.sent(ShadePrompts)[-1].full
        before = app.session.selection.shading
        await pilot.press("m")
        assert app.session.selection.shading != before


@in_terminal
async def test_keys_ask_what_heads_really_do_and_the_grid_changes_its_numbers(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("3", "v")
        assert app.session.selection.measure == "effect"
        await pilot.press("E", "E")
        assert [one.neuron for one in engine.sent(MeasureEffects)] == [AN] and "worked on already" in notices(app)
        assert app.screen.query_one(DetailPane).tab == "Cause"
        await pilot.press("C", "V")
        assert [one.heads for one in engine.sent(MeasureCooperation)] == [[]]
        [curves] = engine.sent(MeasureSpectrum)
        assert curves.heads[0] == LOOKUP and len(set(curves.heads)) == 4
        await pilot.press("J")
        [joint] = engine.sent(AblateHead)
        assert joint.head == LOOKUP and joint.together == curves.heads[1:3] and not joint.mediation
        engine.emit(RequestDone(request=joint.id, seconds=0.1))
        await pilot.press("M")
        assert engine.sent(AblateHead)[-1].mediation and not engine.sent(AblateHead)[-1].together


@in_terminal
async def test_explain_and_ablate_ask_the_engine_once(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("e", "e", "e")
        assert [(r.neuron, r.head, r.explainer) for r in engine.sent(ExplainHead)] == [(AN, LOOKUP, "rules")]
        assert "worked on already" in notices(app)
        await pilot.press("a")
        assert [(r.neuron, r.head) for r in engine.sent(AblateHead)] == [(AN, LOOKUP)]
        engine.emit(RequestFailed(request=engine.sent(AblateHead)[0].id, message=f"No such thing {HOSTILE}."))
        await pilot.pause(0.2)
        assert "No such thing" in screen_text(app)
        assert "\x1b" not in screen_text(app)


@in_terminal
async def test_stop_cancels_what_runs_and_says_when_nothing_does(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        app.session.requests.waiting.clear()
        await pilot.press("ctrl+x")
        assert "Nothing is running" in notices(app)
        await pilot.press("e", "e", "ctrl+x")
        assert engine.sent(ExplainHead)
        assert [r.target for r in engine.sent(Cancel)] == [r.id for r in engine.sent(ExplainHead)]


@in_terminal
async def test_going_to_an_address_looks_up_what_the_study_does_not_have(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("colon", *str(AS), "enter")
        await pilot.pause()
        assert app.session.selection.neuron == AS
        assert not engine.sent(VisitNeuron)
        await pilot.press("colon", *"L3.N5", "enter")
        await pilot.pause()
        assert [r.neuron for r in engine.sent(VisitNeuron)] == [NeuronId(3, 5)]
        row = sample_row(AN).__class__(**{**_fields(sample_row(AN)), "neuron": NeuronId(3, 5), "token": HOSTILE})
        engine.emit(Happened(request=engine.sent(VisitNeuron)[0].id, event=NeuronVisited(neuron=row)))
        await pilot.pause(0.2)
        assert "L3.N5" in screen_text(app)
        await pilot.press("colon", *"L1.H2", "enter")
        await pilot.pause()
        assert app.session.selection.head == HeadId(1, 2)


@in_terminal
async def test_roles_are_looked_up_when_the_heads_are_entered(folder: Path) -> None:
    async with running(folder) as (_, engine, pilot):
        assert not engine.sent(FindHeadRoles)
        await pilot.press("3")
        await pilot.press("2", "3")
        assert len(engine.sent(FindHeadRoles)) == 1


@in_terminal
async def test_all_neurons_of_the_layers_are_listed_once(folder: Path) -> None:
    async with running(folder) as (_, engine, pilot):
        await pilot.press("A")
        await pilot.press("A", "A")
        assert len(engine.sent(ListNeurons)) == 1


@in_terminal
async def test_the_document_opens_at_the_prompt(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("2", "o")
        await pilot.pause()
        assert isinstance(app.screen, DocumentScreen)
        request = engine.sent(ReadDocument)[0]
        prompt = app.session.prompt()
        assert prompt is not None and request.document == prompt.document
        tokens = ["word", " word", HOSTILE] * 200
        engine.emit(DocumentText(request=request.id, document=prompt.document, title=HOSTILE, tokens=tokens))
        await pilot.pause(0.2)
        assert "word" in screen_text(app) and "\x1b" not in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, Workbench)


@in_terminal
async def test_a_text_of_ones_own_reaches_the_engine_and_its_failure_the_screen(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("t")
        await pilot.pause(0.6)
        assert isinstance(app.screen, TryTextScreen)
        await pilot.press(*"the apple", "enter")
        await pilot.pause(0.6)
        asked = engine.sent(ProbeText)[-1]
        assert asked.text.endswith("the apple") and (asked.neuron, asked.head) == (AN, LOOKUP)
        engine.emit(RequestFailed(request=asked.id, message="The text is longer than the model reads."))
        await pilot.pause(0.2)
        assert "longer than the model reads" in screen_text(app)


@in_terminal
async def test_a_dead_engine_is_said_and_started_again(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        engine.die(last_line=f"out of memory {HOSTILE}")
        await pilot.pause(0.2)
        text = screen_text(app)
        assert "SIGKILL" in text and "R starts the engine again" in text and "L3.N892" in text
        await pilot.press("e")
        assert not engine.sent(ExplainHead)
        assert "not running" in notices(app)
        opened = len(engine.sent(OpenStudy))
        await pilot.press("R")
        await pilot.pause(0.2)
        assert engine.starts == 2 and len(engine.sent(OpenStudy)) == opened + 1
        assert "R starts the engine again" not in screen_text(app)


@in_terminal
async def test_an_error_in_showing_a_message_is_not_silent(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running(folder) as (app, engine, pilot):
            app.session.take = lambda message: 1 // 0  # type: ignore[method-assign, assignment]
            engine.emit(RequestDone(request=99, seconds=0.1))
            await pilot.pause()


@in_terminal
async def test_a_study_that_the_engine_refused_can_be_opened_again(folder: Path) -> None:
    async with running(folder, ready=False) as (app, engine, pilot):
        engine.emit(RequestFailed(request=engine.sent(OpenStudy)[-1].id, message="Another process writes it."))
        await pilot.pause(0.2)
        assert "not open in the engine; R tries again" in screen_text(app)
        await pilot.press("e")
        assert "The study is not open" in notices(app)
        await pilot.press("R")
        await pilot.pause()
        assert len(engine.sent(OpenStudy)) == 2 and engine.starts == 1


@in_terminal
async def test_answers_about_the_study_before_are_passed_over(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        old = engine.sent(OpenStudy)[-1].id
        app.picked(PickResult(None, str(folder), "auto"))
        await pilot.pause()
        engine.emit(StudyReady(request=old, folder=str(folder)))
        engine.emit(RequestFailed(request=old, message="It was about the other study."))
        await pilot.pause(0.2)
        assert not app.session.ready
        assert "the other study" not in notices(app)


@in_terminal
async def test_a_visit_that_was_cut_short_is_asked_for_again(folder: Path) -> None:
    async with running(folder) as (_, engine, pilot):
        for _ in range(2):
            await pilot.press("colon", *"L3.N5", "enter")
            await pilot.pause()
            request = engine.sent(VisitNeuron)[-1]
            row = sample_row(AN).__class__(**{**_fields(sample_row(AN)), "neuron": NeuronId(3, 5)})
            engine.emit(Happened(request=request.id, event=NeuronVisited(neuron=row)))
            engine.emit(RequestCancelled(request=request.id))
            await pilot.pause(0.1)
        assert len(engine.sent(VisitNeuron)) == 2


@in_terminal
async def test_progress_is_shown_with_rate_and_time_left(folder: Path) -> None:
    async with running(folder, ready=False) as (app, engine, pilot):
        number = engine.sent(OpenStudy)[-1].id
        event = Progress(stage="scan", done=250_000, total=1_000_000, unit="tokens", rate=20_000.0, seconds_left=37.5)
        engine.emit(Happened(request=number, event=event))
        await pilot.pause(0.3)
        assert "scan" in screen_text(app) and "25%" in screen_text(app) and "20 k tokens/s" in screen_text(app)
        assert "0:38 left" in screen_text(app)


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
