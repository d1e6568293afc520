"""The lists of the pick screen: models, corpora and studies at hand, and what is wrong with one."""

from __future__ import annotations

import pytest
from pick_stage import PickApp, at_hand, entry, play, write_study
from screens import screen_text
from textual.pilot import Pilot
from waiting import until

from headtorch.core.corpus.listing import CorpusEntry
from headtorch.tui.picking import gather
from headtorch.tui.screens.pick import PickResult

pytestmark = pytest.mark.usefixtures("only_the_demo")


def test_models_and_corpora_are_taken_from_their_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [at_hand("demo"), at_hand("gpt2")]
    monkeypatch.setattr(gather, "models", lambda: found)
    spec = CorpusEntry(spec="texts/*.txt", name="texts", description="", documents=7, characters=9, folder=None)
    monkeypatch.setattr(gather, "corpora", lambda: [spec])

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "gpt2" in screen_text(app) and "7 documents" in screen_text(app))
        await pilot.press("shift+tab")
        assert app.focused is not None and app.focused.id == "corpora"
        await pilot.press("enter")
        assert entry(app, "corpus").value == "texts/*.txt"
        assert app.focused.id == "token"
        await pilot.press("shift+tab", "shift+tab", "shift+tab", "j", "enter")
        assert entry(app, "model").value == "gpt2"

    play(steps)


def test_a_study_is_reopened_with_enter() -> None:
    folder = write_study("comparisons")

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "comparisons" in screen_text(app))
        await pilot.press("tab", "tab", "tab", "tab", "enter")

    assert play(steps).result == PickResult(None, str(folder), "auto")


def test_a_damaged_study_is_listed_and_says_why() -> None:
    folder = write_study("broken")
    (folder / "study.json").write_text("{")

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "broken" in screen_text(app))
        await pilot.press("tab", "tab", "tab", "tab", "enter")
        await pilot.pause()
        assert any("is damaged" in notice.message for notice in app._notifications)

    assert play(steps).result == "nothing yet"


def test_what_a_thread_cannot_find_out_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no luck [/b]")

    monkeypatch.setattr(gather, "corpora", broken)

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "corpora cannot be listed: no luck [/b]." in screen_text(app))

    play(steps)
