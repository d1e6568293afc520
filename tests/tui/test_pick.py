"""The pick screen: choices become the settings of `headtorch run`, and nothing slow or hostile gets in the way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pick_stage import CPU, DEFAULT, GPU, PickApp, at_hand, entry, play, pressing, replace_tokens, write_study
from sample_records import HOSTILE
from screens import screen_text
from textual.pilot import Pilot
from waiting import until

from headtorch.core.corpus.listing import CorpusEntry
from headtorch.core.engine.presets import paper_settings
from headtorch.core.model.sources import DEMO_FOLDER
from headtorch.core.settings import Settings
from headtorch.tui.picking import gather
from headtorch.tui.remembered import Choices, remember, remembered
from headtorch.tui.screens.pick import PickResult

pytestmark = pytest.mark.usefixtures("only_the_demo")


# starting


def test_enter_starts_what_headtorch_run_would() -> None:
    app = play(pressing("enter"))
    assert app.result == PickResult(DEFAULT, None, "auto")


def test_the_settings_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from headtorch.core.engine import workspace
    from headtorch.tui.cli.app import app

    class Asked(Exception):
        pass

    def look(settings: Settings, **rest: object) -> None:
        raise Asked(settings)

    monkeypatch.setattr(workspace, "Workspace", look)
    for preset, expected in (("default", DEFAULT), ("paper", paper_settings(replace_tokens(DEFAULT, ())))):
        with pytest.raises(Asked) as asked:
            app(["run", "--preset", preset], standalone_mode=False)
        assert asked.value.args[0] == expected


def test_without_a_token_the_best_neurons_of_the_layers_are_studied() -> None:
    app = play(pressing("ctrl+u", "enter"))
    assert app.result == PickResult(replace_tokens(DEFAULT, ()), None, "auto")


def test_preset_and_device_are_chosen_with_the_arrows() -> None:
    app = play(pressing("tab", "tab", "right", "tab", "right", "right", "enter"))
    assert app.result == PickResult(paper_settings(DEFAULT), None, "cuda:0")


def test_what_cannot_be_is_said_before_anything_starts() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        entry(app, "token").value = " yearning"
        await pilot.press("enter")
        assert "·yearning is 2 tokens (·year + ning)" in screen_text(app)
        entry(app, "token").value = " year"
        entry(app, "layers").value = "7"
        await pilot.press("enter")
        assert "The model has no layer 7" in screen_text(app)
        entry(app, "layers").value = "last:1"
        entry(app, "corpus").value = " "
        await pilot.press("enter")
        assert "The corpus has no name" in screen_text(app)

    assert play(steps).result == "nothing yet"


def test_a_model_that_is_not_there_is_said_on_the_card_and_does_not_start() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        entry(app, "model").value = "/no/such/folder"
        await until(pilot, lambda: "There is no folder /no/such/folder" in screen_text(app))
        await pilot.press("enter")
        assert "✗" in screen_text(app)

    assert play(steps).result == "nothing yet"


def test_a_model_of_the_hub_that_is_not_here_can_be_started() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        entry(app, "model").value = "nobody/nothing-of-this-name"
        await until(pilot, lambda: "it is downloaded when the study starts" in screen_text(app))
        await pilot.press("enter")

    result = play(steps).result
    assert isinstance(result, PickResult) and result.settings is not None
    assert result.settings.model == "nobody/nothing-of-this-name"


# moving


def test_tab_goes_round_all_fields_and_escape_to_the_token_at_any_size() -> None:
    for size in ((120, 36), (80, 24)):
        seen: list[str] = []

        async def steps(app: PickApp, pilot: Pilot[None], seen: list[str] = seen) -> None:
            for _ in range(9):
                assert app.focused is not None and app.focused.id is not None
                seen.append(app.focused.id)
                assert app.focused.region.height > 0 and app.focused.display, seen
                await pilot.press("tab")
            assert app.focused.id == "token"
            await pilot.press("tab", "tab", "tab", "tab", "escape")
            assert app.focused.id == "token"

        play(steps, size)
        assert sorted(seen) == sorted(
            ["token", "layers", "preset", "device", "studies", "model", "models", "corpus", "corpora"]
        )


def test_everything_needed_is_on_a_small_screen() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        for word in (
            "model",
            "corpus",
            "tokens",
            "layers",
            "preset",
            "device",
            "·session",
            "memory",
            "scan",
            "rough guess",
        ):
            assert word in text, text

    play(steps, (80, 24))


def test_escape_goes_back_where_there_is_a_workbench_and_stays_where_there_is_none() -> None:
    assert play(pressing("escape"), back=True).result is None
    assert play(pressing("escape")).result == "nothing yet"


def test_the_last_choices_are_proposed_again() -> None:
    play(pressing("ctrl+u", *" state", "tab", "tab", "right", "enter"))
    last = remembered().last
    assert last == Choices(
        model="demo", corpus="sotu", tokens=(" state",), layers="last:2", preset="paper", device="auto"
    )

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        assert app.pick.choices() == last

    play(steps)


# hostile names


def test_hostile_names_are_inert_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write_study("plain")
    hostile = "[red]x[/] [/INST] \x1b[2J\x1b]0;t\x07\u202e"
    shutil.copytree(folder, folder.parent / hostile.replace("/", "|"))
    broken = folder.parent / "[b]\x1bbroken"
    shutil.copytree(folder, broken)
    (broken / "events.jsonl").write_text("\x1b[31m[/]\n{}\n")
    monkeypatch.setattr(gather, "models", lambda: [at_hand(HOSTILE), at_hand("bad", problem=HOSTILE)])
    spec = CorpusEntry(spec=HOSTILE, name=HOSTILE, description=HOSTILE, documents=1, characters=1, folder=HOSTILE)
    monkeypatch.setattr(gather, "corpora", lambda: [spec])
    monkeypatch.setattr(gather, "devices", lambda: [CPU, replace(GPU, title=HOSTILE)])
    model = tmp_path / "[b]\x1b[31m[/INST]"
    shutil.copytree(DEMO_FOLDER, model)
    remember(
        Choices(model=str(model), corpus=HOSTILE, tokens=(HOSTILE,), layers=HOSTILE, preset=HOSTILE, device=HOSTILE)
    )

    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "[b]" in screen_text(app) and "[red]" in screen_text(app))
        for key in (
            "enter",
            *(["tab"] * 5),
            "enter",
            *(["tab"] * 4),
            "j",
            "enter",
            "escape",
            "tab",
            "tab",
            "tab",
            "right",
        ):
            await pilot.press(key)
            await pilot.pause()
            assert all(line.isprintable() for line in screen_text(app).splitlines())
            assert "\u202e" not in screen_text(app)

    play(steps)


def test_nothing_heavy_is_loaded_for_the_first_frame() -> None:
    heavy = {"torch", "transformers", "pandas", "datasets", "huggingface_hub", "tokenizers", "numpy", "psutil"}
    code = "import sys, headtorch.tui.screens.pick; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
