"""Export: formats, neurons and folder are chosen, and what `headtorch report` would write is written."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
from sample_records import AN, AS, HOSTILE
from sample_study import session_in
from stage import Stage, in_terminal, text_of
from textual.pilot import Pilot
from waiting import until

from headtorch.core.study.report import from_json, write_report
from headtorch.core.study.study import Study
from headtorch.core.watch import Watch
from headtorch.tui import reporting
from headtorch.tui.exporting import About, Chosen, Export, Offer
from headtorch.tui.picking.choice import Choice
from headtorch.tui.reporting import neurons_offered, report_export
from headtorch.tui.screens.export import ExportScreen
from headtorch.tui.widgets.entry import Entry

SIZES = [(80, 24), (120, 36), (200, 50)]


def dialog(folder: Path, chosen: Chosen | None = None) -> ExportScreen:
    return ExportScreen(report_export(session_in(folder)), chosen or Chosen())


def shows(app: Stage, text: str) -> bool:
    return text in text_of(app)


async def written(app: Stage, pilot: Pilot[None]) -> list[Path]:
    screen = app.first
    assert isinstance(screen, ExportScreen)
    await until(pilot, lambda: bool(screen.paths))
    return screen.paths


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_enter_writes_the_usual_formats_as_the_command_line_does(
    folder: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    app = Stage(dialog(folder))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = text_of(app)
        assert all(f"[x] {name}" in text for name in ("html", "md", "json", "csv")) and "[ ] parquet" in text
        assert "for spreadsheets" in text and "all 5" in text and str(folder / "report")[:40] in text
        await pilot.press("enter")
        paths = await written(app, pilot)
        text = text_of(app)
        assert "8 files written" in text and "report.html" in text
        expected = write_report(Study.open(folder), tmp_path / "expected")
        assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in expected]
        await pilot.press("y")
        assert app.clipboard.splitlines() == [str(path) for path in paths]
        await pilot.press("escape")
        await pilot.pause()
        assert app.returned == [None]


@in_terminal
async def test_formats_are_chosen_with_space(folder: Path) -> None:
    app = Stage(dialog(folder))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await pilot.press("space", "j", "space", "j", "j", "space", "j", "space", "enter")
        names = {path.name for path in await written(app, pilot)}
        assert "report.json" in names and "scores.parquet" in names and "report.html" not in names


@in_terminal
async def test_a_click_marks_and_writes_nothing(folder: Path) -> None:
    app = Stage(dialog(folder))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        for shown in ("[ ] html", "[x] html"):
            await pilot.click("#formats", offset=(5, 0))
            await until(pilot, partial(shows, app, shown))
        assert not (folder / "report").exists()


@in_terminal
async def test_without_a_format_nothing_is_written(folder: Path) -> None:
    app = Stage(dialog(folder))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("space", "j", "space", "j", "space", "j", "space", "enter")
        await until(pilot, lambda: "Choose a format with space first" in text_of(app))
        assert not (folder / "report").exists()
        await pilot.press("space")
        await until(pilot, lambda: "Choose a format" not in text_of(app))


@in_terminal
async def test_the_neurons_are_all_those_with_a_bookmark_or_this_one(folder: Path) -> None:
    Study.open(folder).notes.bookmark(str(AS))
    app = Stage(dialog(folder))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await pilot.press("tab", "l")
        await pilot.pause()
        assert "the one with a bookmark" in text_of(app)
        assert app.first.query_one(Entry).value == str(folder / "report" / "bookmarked")
        await pilot.press("l")
        await pilot.pause()
        assert f"this one, {AN} ·an" in text_of(app)
        await pilot.press("h", "enter")
        paths = await written(app, pilot)
        report = from_json(next(path for path in paths if path.suffix == ".json").read_bytes())
        assert [part.found.neuron for part in report.neurons] == [AS] and report.chosen == 1
        assert not (folder / "report" / "report.json").exists()


def test_a_study_without_bookmarks_offers_none(folder: Path) -> None:
    assert [one.value for one in neurons_offered(session_in(folder))] == ["all", str(AN)]


@in_terminal
async def test_the_folder_can_be_changed_and_everything_is_offered_again(folder: Path, tmp_path: Path) -> None:
    chosen = Chosen()
    app = Stage(dialog(folder, chosen))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await pilot.press("space", "j", "j", "j", "space", "tab", "l", "tab", "ctrl+u")
        app.first.query_one(Entry).value = str(tmp_path / "n1")
        await pilot.press("enter")
        paths = await written(app, pilot)
        assert paths == [tmp_path / "n1" / "report.md", tmp_path / "n1" / "report.json"]
    again = Stage(dialog(folder, chosen))
    async with again.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        text = text_of(again)
        assert "[ ] html" in text and "[x] md" in text and "this one" in text
        assert again.first.query_one(Entry).value == str(tmp_path / "n1")
        await pilot.press("tab", "h")
        await pilot.pause()
        assert again.first.query_one(Entry).value == str(folder / "report"), "each choice has its own folder"


@in_terminal
async def test_a_folder_that_cannot_be_written_is_one_sentence_and_the_form_stays(folder: Path) -> None:
    app = Stage(dialog(folder))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("tab", "tab", "ctrl+u", *"/dev/null/x", "enter")
        await until(pilot, lambda: "✗" in text_of(app))
        assert "cannot be written" in " ".join(text_of(app).split()) and "[x] html" in text_of(app)
        await pilot.press("tab", "tab", "ctrl+u", "enter")
        await pilot.pause()
        assert "Name a folder" in text_of(app)


@in_terminal
async def test_figures_without_matplotlib_say_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "find_spec", lambda name: None)
    app = Stage(dialog(folder))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        assert "needs matplotlib: pip install 'headtorch[figures]'" in text_of(app)
        await pilot.press("G", "space")
        await pilot.pause()
        assert "[ ] figures" in text_of(app)
        assert any("needs matplotlib" in note.message for note in app._notifications)


@in_terminal
async def test_writing_says_how_far_it_is_and_escape_stops_it() -> None:
    go_on = threading.Event()

    def write(formats: object, about: str, folder: Path, watch: Watch) -> list[Path]:
        watch.progress("md", 0, 2, "formats")
        go_on.wait(10)
        watch.checkpoint()
        return [folder / "a.md"]

    export = Export(
        "x", HOSTILE, [Offer("md", HOSTILE)], ["md"], [About("all", HOSTILE)], lambda about: Path("/x"), write
    )
    app = Stage(ExportScreen(export, Chosen()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "writing md, 1 of 2" in text_of(app))
        await pilot.press("escape")
        await pilot.pause()
        assert "Stopping" in text_of(app)
        go_on.set()
        await until(pilot, lambda: "Nothing was written" in text_of(app))
        assert not app.first.query(Choice), "there is but one choice of neurons"
        await pilot.press("escape")
        await pilot.pause()
        assert app.returned == [None]
