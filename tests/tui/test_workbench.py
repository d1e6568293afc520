"""The workbench as it is seen: its panes at every size, moving between them, the screens over it, and leaving."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine
from sample_records import AN
from screens import screen_text
from stage import in_terminal
from workbench_stage import notices, running

from headtorch.core.engine.protocol import OpenStudy
from headtorch.core.study.study import Study
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.keymap import COMMANDS
from headtorch.tui.screens.help import HelpScreen
from headtorch.tui.screens.pick import PickScreen
from headtorch.tui.screens.workbench import Workbench
from headtorch.tui.settings import TuiSettings

pytestmark = pytest.mark.usefixtures("own_home")

SIZES = ((80, 24), (120, 36), (200, 50))


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
    async with running(folder, size=size) as (app, _, pilot):
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
async def test_a_note_in_the_writing_is_kept_when_the_terminal_is_closed(folder: Path) -> None:
    async with running(folder) as (app, _, pilot):
        await pilot.press("n", *"half")
        app.leave()  # what SIGHUP does
        await pilot.pause()
    assert Study.open(folder).notes.read().notes == {str(AN): "half"}


@in_terminal
async def test_help_lists_every_key_of_the_workbench(folder: Path) -> None:
    async with running(folder, size=(120, 300)) as (app, _, pilot):
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
