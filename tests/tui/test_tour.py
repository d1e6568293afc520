"""headtorch tour: every pane shows something of the recorded study, and what needs an engine says why it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine
from screens import screen_text
from stage import in_terminal
from textual.pilot import Pilot

from headtorch.core.errors import InputError
from headtorch.core.study import tour
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.cli.tour import tour as tour_command


@pytest.fixture
def folder(tour_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `tour_folder` unpacks it."""
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path))
    place = tmp_path / "tour" / "0123456789ab" / tour.NAME
    place.parent.mkdir(parents=True)
    place.symlink_to(tour_study)
    return place


async def opened(app: HeadtorchApp, pilot: Pilot[None]) -> None:
    """Wait for the study, which is read behind the first frame."""
    for _ in range(100):
        await pilot.pause(0.1)
        if "read-only" in screen_text(app):
            return


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_every_pane_shows_something(folder: Path, size: tuple[int, int]) -> None:
    @in_terminal
    async def look() -> None:
        app = HeadtorchApp(study=str(folder), engine=FakeEngine)
        async with app.run_test(size=size) as pilot:
            await opened(app, pilot)
            assert "tour of SmolLM2-135M-Instruct" in screen_text(app)
            assert "read-only: this is the tour" in screen_text(app)
            await pilot.press("down")
            seen = []
            for pane in "1234":
                await pilot.press(pane)
                await pilot.pause(0.3)
                seen.append(screen_text(app))
        for text, told in zip(seen, ("L22.N984", "manner", "H3", "E "), strict=True):
            assert told in text
        assert isinstance(app.engine, FakeEngine) and app.engine.starts == 0

    look()


@in_terminal
async def test_prompts_and_sources_light_up_as_they_were_recorded(folder: Path) -> None:
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(app, pilot)
        assert "shaded by activation" in screen_text(app)
        shading, prompts = app.session.recorded(), app.session.prompts()
        assert shading is not None and app.session.shading() is None
        lit = [(p, a, s) for p, a, s in zip(prompts, shading.activation, shading.sources, strict=False) if a]
        assert len(lit) == 32, "sixteen of each half"
        for prompt, activation, given in lit:
            assert len(activation) == len(given) == len(prompt.tokens)
            assert activation[-1] == pytest.approx(prompt.activation, rel=1e-3)
            assert 0 < sum(given) <= 1.001
        await pilot.press("m")
        await pilot.pause(0.3)
        assert f"shaded by {app.session.selection.head}" in screen_text(app)
        app.session.selection.shading = "attention"
        await pilot.press("4", *["right"] * 5)
        await pilot.pause(0.3)
        assert "its shading is not recorded" in screen_text(app)
        assert "As recorded: each token's share" in screen_text(app)


@in_terminal
async def test_what_needs_the_engine_says_why_not(folder: Path) -> None:
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await opened(app, pilot)
        for key in ("e", "t", "R"):
            await pilot.press(key)
            await pilot.pause()
        told = [note.message for note in app._notifications]
    assert told and all(text == "read-only: this is the tour, a recorded study without its model; headtorch alone "
                        "studies one." for text in told)  # fmt: skip


@in_terminal
async def test_its_notes_lead_through_it(folder: Path) -> None:
    app = HeadtorchApp(study=str(folder), engine=FakeEngine)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(app, pilot)
        assert "L18.N98" in app.session.notes.notes["study"]
        assert set(app.session.notes.bookmarks) <= {str(neuron) for neuron in app.session.state.neurons}


def test_without_a_terminal_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour, "tour_folder", lambda: pytest.fail("nothing is unpacked"))
    with pytest.raises(InputError, match="needs a terminal"):
        tour_command()
