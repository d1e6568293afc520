"""A study that is only looked at: everything is shown, nothing is written, and what cannot be done says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_engine import FakeEngine, begun
from sample_records import AN
from screens import screen_text
from stage import in_terminal
from workbench_stage import notices

from headtorch.core.engine.protocol import OpenStudy
from headtorch.core.errors import InputError
from headtorch.core.events import HeadExplained, Warned
from headtorch.core.study.study import Study
from headtorch.tui.app import ENDING_SECONDS, HeadtorchApp
from headtorch.tui.cli.open import open_study
from headtorch.tui.screens.pick import PickResult


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@in_terminal
async def test_a_study_opened_read_only_is_whole_and_needs_no_engine(folder: Path) -> None:
    before = files(folder)
    app = HeadtorchApp(study=str(folder), read_only=True, engine=FakeEngine)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await begun(app, pilot)
        text = screen_text(app)
        assert "L3.N892" in text and "read-only: it was opened with --read-only." in text
        for key in ("e", "b", "n", "d", "t", "R"):
            await pilot.press(key)
            await pilot.pause()
        assert isinstance(app.engine, FakeEngine) and app.engine.starts == 0 and app.engine.requests == []
        assert "read-only" in notices(app)
        assert len(app.screen_stack) == 2, "no dialog was opened"
    assert files(folder) == before


@in_terminal
async def test_a_study_that_another_process_writes_is_followed_until_it_ends(folder: Path) -> None:
    writer = Study.open(folder, write=True)
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await begun(app, pilot)
        engine = app.engine
        assert isinstance(engine, FakeEngine) and engine.requests == []
        assert f"read-only: another headtorch writes it (process {os.getpid()})." in screen_text(app)
        said = app.session.state.explanations_of(AN)[0]
        new = type(said)(neuron=said.neuron, head=said.head, explainer="me", text="seen while it was written")
        writer.append(HeadExplained(explanation=new))
        app._follow()
        assert new in app.session.state.explanations.values()
        assert app.session.state == writer.state
        await pilot.press("R")
        assert engine.requests == [] and "another headtorch writes it" in notices(app)
        app._opened -= ENDING_SECONDS
        writer.append(Warned(text="last"))
        writer.close()
        app._follow()
        await pilot.pause(0.6)
        assert "read-only: another headtorch wrote it until now." in screen_text(app)
        assert app.workbench is not None and "R opens it to work on" in str(app.workbench.alarm)
        await pilot.press("R")
        await pilot.pause(0.2)
        assert engine.starts == 1 and [one.where for one in engine.sent(OpenStudy)] == [str(folder)]
        assert app.session.read_only is None and "read-only" not in screen_text(app).splitlines()[-2]


@in_terminal
async def test_a_study_that_was_just_left_is_worked_on_as_soon_as_its_engine_has_ended(folder: Path) -> None:
    writer = Study.open(folder, write=True)
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        writer.close()
        app._follow()
        await pilot.pause(0.2)
        assert isinstance(app.engine, FakeEngine)
        assert app.engine.starts == 1 and len(app.engine.sent(OpenStudy)) == 1 and app.session.read_only is None


@in_terminal
async def test_a_study_that_the_own_engine_writes_can_be_picked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "pid", os.getpid())
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        with Study.open(folder, write=True):
            app.picked(PickResult(None, str(folder), "auto"))
            await pilot.pause(0.2)
            assert app.session.read_only is None
            assert isinstance(app.engine, FakeEngine) and len(app.engine.sent(OpenStudy)) == 2


@in_terminal
async def test_a_running_engine_takes_over_a_study_that_is_no_longer_written(folder: Path, tmp_path: Path) -> None:
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        assert isinstance(app.engine, FakeEngine) and app.engine.starts == 1
        writer = Study.open(folder, write=True)
        app.picked(PickResult(None, str(folder), "auto"))
        await pilot.pause(0.2)
        assert app.session.read_only is not None and len(app.engine.sent(OpenStudy)) == 1
        writer.close()
        await pilot.press("R")
        await pilot.pause(0.2)
        assert app.workbench is not None and app.workbench.alarm is None
        assert app.engine.starts == 1 and len(app.engine.sent(OpenStudy)) == 2


@in_terminal
async def test_a_study_cut_short_by_a_crash_says_so_when_it_is_opened(folder: Path) -> None:
    log = folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-3])
    app = HeadtorchApp(study=str(folder), read_only=True, engine=FakeEngine)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await begun(app, pilot)
        assert "The last line of the log was cut short" in notices(app)


def test_read_only_needs_a_study() -> None:
    with pytest.raises(InputError, match="Name the study"):
        open_study(None, read_only=True)
