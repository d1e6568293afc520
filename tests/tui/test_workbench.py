"""The whole application over an engine without a process: every key of the workbench, what it asks, what it says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_engine import FakeEngine, begun
from sample_answers import sample_shading
from sample_records import AN, AS, HOSTILE, LOOKUP, sample_row
from sample_study import sample_folder
from screens import screen_text
from stage import in_terminal
from textual.command import CommandPalette
from textual.pilot import Pilot

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
from headtorch.core.study.study import Study
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.keymap import COMMANDS
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.screens.document import DocumentScreen
from headtorch.tui.screens.help import HelpScreen
from headtorch.tui.screens.pick import PickResult, PickScreen
from headtorch.tui.screens.try_text import TryTextScreen
from headtorch.tui.screens.workbench import Workbench
from headtorch.tui.settings import TuiSettings

SIZES = ((80, 24), (120, 36), (200, 50))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sample_folder(tmp_path)


@asynccontextmanager
async def running(
    folder: Path | None, size: tuple[int, int] = (120, 36), *, ready: bool = True
) -> AsyncIterator[tuple[HeadtorchApp, FakeEngine, Pilot[None]]]:
    """The application on a study; `ready`: the engine has opened it."""
    app = HeadtorchApp(study=None if folder is None else str(folder), engine=FakeEngine)
    async with app.run_test(size=size, notifications=True) as pilot:
        await begun(app, pilot)
        engine = app.engine
        assert isinstance(engine, FakeEngine)
        if ready and folder is not None:
            number = engine.sent(OpenStudy)[-1].id
            engine.emit(StudyReady(request=number, folder=str(folder)))
            engine.emit(RequestDone(request=number, seconds=0.1))
            engine.emit(sample_shading())
            await pilot.pause(0.2)
        yield app, engine, pilot


def notices(app: HeadtorchApp) -> str:
    return "\n".join(note.message for note in app._notifications)


@in_terminal
async def test_a_study_is_on_the_screen_before_its_engine_answers(folder: Path) -> None:
    async with running(folder, ready=False) as (app, engine, _):
        text = screen_text(app)
        assert "L3.N892" in text and "·an" in text and "1 Neurons" in text
        assert engine.starts == 1
        assert [request.where for request in engine.sent(OpenStudy)] == [str(folder)]


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_wide_terminals_show_all_panes_and_narrow_ones_the_present(folder: Path, size: tuple[int, int]) -> None:
    async with running(folder, size) as (app, _, pilot):
        for number, title in enumerate(("1 Neurons", "2 Prompts", "3 Heads", "4 L2.H7 on L3.N892"), 1):
            await pilot.press(str(number))
            text = screen_text(app)
            assert title in text
            alone = size[0] < 100
            assert ("1 Neurons" in text) is (not alone or number == 1)
            assert max(len(line) for line in text.splitlines()) <= size[0]


@in_terminal
async def test_resizing_goes_from_all_panes_to_one_and_back(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("3")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "1 Neurons" not in screen_text(app) and "3 Heads" in screen_text(app)
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert "1 Neurons" in screen_text(app)


@in_terminal
async def test_enter_leads_from_neuron_to_explanation_and_escape_back(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        visited = []
        for key in ("enter", "enter", "enter", "escape", "backspace", "escape"):
            await pilot.press(key)
            visited.append(app.session.selection.deepest)
        assert visited == [2, 3, 4, 3, 2, 1]


@in_terminal
async def test_moving_in_the_neurons_changes_all_the_other_panes(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("j")
        await pilot.pause(0.1)
        assert app.session.selection.neuron != AN
        assert f"on {app.session.selection.neuron}" in screen_text(app)


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
async def test_a_bookmark_and_a_note_are_on_the_disk_at_once(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("b")
        assert Study.open(folder).notes.read().bookmarks == (str(AN),)
        await pilot.press("n", *"seen", "ctrl+s")
        await pilot.pause()
        assert Study.open(folder).notes.read().notes == {str(AN): "seen"}
        await pilot.press("b")
        assert Study.open(folder).notes.read().bookmarks == ()
        assert isinstance(app.screen, Workbench)


@in_terminal
async def test_export_asks_what_to_write_and_says_where_it_is(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("x", "enter")
        for _ in range(500):
            await pilot.pause(0.02)
            if "files written" in screen_text(app):
                break
        assert (folder / "report" / "report.md").stat().st_size > 0
        assert "report.json" in screen_text(app)
        await pilot.press("escape", "x")
        await pilot.pause()
        assert "Export the report of sample" in screen_text(app), "it can be done again"


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
async def test_a_note_in_the_writing_is_kept_when_the_terminal_is_closed(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("n", *"half")
        app.leave()  # what SIGHUP does
        await pilot.pause()
    assert Study.open(folder).notes.read().notes == {str(AN): "half"}


@in_terminal
async def test_progress_is_shown_with_rate_and_time_left(folder: Path) -> None:
    async with running(folder, ready=False) as (app, engine, pilot):
        number = engine.sent(OpenStudy)[-1].id
        event = Progress(stage="scan", done=250_000, total=1_000_000, unit="tokens", rate=20_000.0, seconds_left=37.5)
        engine.emit(Happened(request=number, event=event))
        await pilot.pause(0.3)
        assert "scan" in screen_text(app) and "25%" in screen_text(app) and "20 k tokens/s" in screen_text(app)
        assert "0:38 left" in screen_text(app)


@in_terminal
async def test_help_lists_every_key_of_the_workbench(folder: Path) -> None:
    async with running(folder, (120, 300)) as (app, _, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        text = " ".join(screen_text(app).split())
        for command in COMMANDS:
            if command.place == "workbench":
                assert " ".join(command.help.split()[:3]) in text, command.id


@in_terminal
async def test_the_theme_changes_live(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        seen = {app.theme}
        for _ in range(len(app.themes.names)):
            await pilot.press("T")
            await pilot.pause()
            seen.add(app.theme)
            assert app.palette.name == app.theme
        assert seen == set(app.themes.names)


@in_terminal
async def test_a_theme_that_is_not_there_is_said_and_the_first_one_taken(folder: Path) -> None:
    app = HeadtorchApp(study=str(folder), engine=FakeEngine, settings=TuiSettings(theme="cavern"))
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        assert "no theme 'cavern'; there are cave" in notices(app)
        assert app.theme == "cave"


@in_terminal
async def test_a_new_study_can_be_picked_and_escape_leads_back(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("P")
        await pilot.pause()
        assert isinstance(app.screen, PickScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Workbench)


@in_terminal
async def test_a_study_that_cannot_be_read_is_a_sentence_on_the_pick_screen(tmp_path: Path) -> None:
    async with running(tmp_path / "nowhere", ready=False) as (app, _, pilot):
        await pilot.pause()
        assert isinstance(app.screen, PickScreen)
        assert "There is no study" in notices(app)


@in_terminal
async def test_quitting_lets_the_engine_end(folder: Path) -> None:
    async with running(folder) as (app, engine, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert engine.stopped
        assert app._exit


KEYS = [
    *"jkhlgGnNmfzeabotyxsSArpTP/:1234?iw",
    *("enter", "escape", "backspace", "tab", "shift+tab", "up", "down", "left", "right", "home", "end"),
    *("pageup", "pagedown", "ctrl+d", "ctrl+u", "ctrl+x", "ctrl+s", "ctrl+k", "space", "R", "[", "x"),
]


@pytest.mark.slow
@in_terminal
async def test_three_thousand_random_keys_and_resizes_do_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    async with running(folder) as (app, engine, pilot):
        monkeypatch.setattr(app, "leave", lambda: None)  # the palette offers to quit
        for step in range(3000):
            if step % 100 == 99:
                await pilot.resize_terminal(draw.choice((20, 60, 80, 120, 200)), draw.choice((10, 12, 24, 36, 50)))
            elif step % 150 == 75:
                _answer_something(engine, draw)
            else:
                key = "ctrl+p" if step % 500 == 250 else draw.choice(KEYS)
                if CommandPalette.is_open(app):  # Textual's own palette minds haste
                    await pilot.pause()
                    key = draw.choice(("escape", "down", "up", "a", "enter"))
                app.post_message(_key(key))
                if step % 10 == 0:
                    await pilot.pause()
        await pilot.pause()
        assert app.is_running and app._exception is None
        assert screen_text(app).strip()


def _answer_something(engine: FakeEngine, draw: random.Random) -> None:
    request = draw.choice(engine.requests)
    if draw.random() < 0.1:
        engine.die()
    elif draw.random() < 0.5:
        engine.emit(RequestFailed(request=request.id, message=f"Not now {HOSTILE}"))
    else:
        engine.emit(RequestDone(request=request.id, seconds=0.1))


def _key(name: str) -> object:
    from textual import events
    from textual.keys import _character_to_key

    character = name if len(name) == 1 else None
    return events.Key(_character_to_key(name) if character else name, character)


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
