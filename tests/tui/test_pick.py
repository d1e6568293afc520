"""The pick screen: choices become the settings of `headtorch run`, and nothing slow or hostile gets in the way."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from sample_records import HOSTILE
from screens import screen_text
from textual.app import App
from textual.pilot import Pilot

from headtorch.core.corpus.listing import CorpusEntry
from headtorch.core.engine.presets import DEFAULT_TOKEN, paper_settings
from headtorch.core.errors import ModelError
from headtorch.core.events import CorpusOpened, IndexReady, ModelOpened
from headtorch.core.model.catalog import ModelAtHand
from headtorch.core.model.preview import preview_model
from headtorch.core.model.sources import DEMO_FOLDER
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.model.vocabulary import Vocabulary
from headtorch.core.records import ModelFacts
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study, list_studies
from headtorch.tui.palette import Palette
from headtorch.tui.picking import gather
from headtorch.tui.picking.estimate import Measured, estimate, measured
from headtorch.tui.picking.machine import Device, devices, meant_by
from headtorch.tui.picking.question import last_token, read_tokens, write_tokens
from headtorch.tui.remembered import Choices, remember, remembered
from headtorch.tui.screens.pick import PickResult, PickScreen
from headtorch.tui.theming import Themes
from headtorch.tui.widgets.entry import Entry

CSS = Path(__file__).parents[2] / "tui" / "headtorch.tcss"
DEFAULT = Settings(token_texts=(DEFAULT_TOKEN,), layers="last:2", neurons_limit=8, random_neurons=8)
GPU = Device("cuda:0", "H100", 70_000_000_000, 80_000_000_000)
CPU = Device("cpu", "2 cores", 10_000_000_000, 25_000_000_000, flops=1e11)
Steps: TypeAlias = "Callable[[PickApp, Pilot[None]], Awaitable[None]]"


class PickApp(App[None]):
    """The pick screen and nothing else."""

    CSS_PATH = CSS

    def __init__(self, back: bool = False) -> None:
        super().__init__()
        self.animation_level = "none"
        self.themes = Themes.load()
        self.register_theme(self.themes.textual("cave"))
        self.theme = "cave"
        self.pick = PickScreen(back)
        self.result: PickResult | str | None = "nothing yet"

    @property
    def palette(self) -> Palette:
        return self.themes.palette(self.theme)

    def on_mount(self) -> None:
        def picked(result: PickResult | None) -> None:
            self.result = result

        self.push_screen(self.pick, picked)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own folders, and only the demo model at hand."""
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gather, "models", lambda: [at_hand("demo")])
    monkeypatch.setattr(gather, "devices", lambda: [CPU, GPU])


def at_hand(name: str, problem: str | None = None) -> ModelAtHand:
    return ModelAtHand(name=name, kind="folder", path=name, family="gpt2", bytes=8_200_000, problem=problem)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Wait for a thread's answer to be on the screen."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, screen_text(pilot.app)
        await pilot.pause(0.02)


def play(
    steps: Callable[[PickApp, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (120, 36), **how: bool
) -> PickApp:
    """Run the screen, wait until the demo model's card is there, take the steps."""

    async def run() -> PickApp:
        app = PickApp(**how)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.pick._facts is not None and len(app.pick._devices) == 2)
            await pilot.pause()
            await steps(app, pilot)
        return app

    return asyncio.run(run())


def pressing(*keys: str) -> Steps:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        await pilot.pause()

    return steps


def entry(app: PickApp, name: str) -> Entry:
    return app.pick.query_one(f"#{name}", Entry)


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


def replace_tokens(settings: Settings, tokens: tuple[str, ...]) -> Settings:
    import msgspec

    return msgspec.structs.replace(settings, token_texts=tokens)


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


# tokens


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        (" year", (" year",)),
        (" year, years", (" year", " years")),
        ("year,year", ("year",)),
        ("", ()),
        (" , ,", ()),
        (r" a\,b,\,", (" a,b", ",")),
        ("\\\\", ("\\",)),
    ],
)
def test_commas_separate_tokens_and_spaces_stay(line: str, tokens: tuple[str, ...]) -> None:
    assert read_tokens(line) == tokens
    assert read_tokens(write_tokens(tokens)) == tokens


def test_the_token_being_typed_is_the_last_one() -> None:
    assert last_token(" year, yea") == (" year,", " yea")
    assert last_token(r"\,") == ("", ",")


def test_tokens_grow_as_they_are_typed_and_a_suggestion_is_taken_with_enter() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+u", *"yea")
        assert "↓ ·year  ·years" in " ".join(screen_text(app).split(" ")) and "✗ yea" in screen_text(app)
        await pilot.press("down", "down", "enter")
        assert entry(app, "token").value == " years"
        assert app.result == "nothing yet"
        await pilot.press("comma", *"stat", "down", "enter")
        await pilot.press("enter")

    result = play(steps).result
    assert isinstance(result, PickResult) and result.settings is not None
    assert result.settings.token_texts[0] == " years"
    assert result.settings.token_texts[1].strip().lower().startswith("stat")


def test_tokens_at_hand_agree_with_the_loaded_tokenizer() -> None:
    from transformers import AutoTokenizer

    vocabulary = Vocabulary(AutoTokenizer.from_pretrained(DEMO_FOLDER), 5604)
    at_hand = TokensAtHand.open(DEMO_FOLDER)
    for number in range(1, 5604, 7):
        text = vocabulary.text(number)
        if not text.startswith("<0x"):
            assert at_hand.is_single(text), text
            assert vocabulary.single(text) >= 0
    for text in (" yearning", "xyzzy", "", " year year"):
        assert not at_hand.is_single(text)
        assert "".join(at_hand.pieces(text)) == "".join(vocabulary.text(i) for i in vocabulary.encode(text))


def test_a_broken_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="looked up when the study starts"):
        TokensAtHand.open(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        TokensAtHand.open(tmp_path)


# the card


def test_the_card_says_what_the_model_is_and_what_it_takes() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        assert "4 layers × 8 heads × 2,048 neurons" in text
        assert "layers 2–3  4,096 neurons looked at" in text
        assert "a rough guess: this model was not scanned here before" in text
        assert "70 GB of 80 GB free on cuda:0 (H100)" in text
        await pilot.press("tab", "tab", "tab", "right", "right")
        entry(app, "layers").value = "0"
        await pilot.pause()
        text = screen_text(app)
        assert "10 GB of 25 GB free on cuda:0" not in text
        assert "layer 0  2,048 neurons looked at" in text

    play(steps)


def test_the_measures_of_the_demo_model_are_those_of_its_config() -> None:
    preview = preview_model("demo")
    config = json.loads((DEMO_FOLDER / "config.json").read_text())
    assert preview is not None
    assert (preview.n_layers, preview.n_heads, preview.d_mlp) == (
        config["n_layer"],
        config["n_head"],
        config["n_inner"],
    )
    assert preview.memory(cpu=True) == 2 * preview.memory(cpu=False) == 2 * preview.weight_bytes  # float16 on the disk


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "t5"}, "t5"),
        ({"n_layer": "many"}, "does not say n_layer"),
        ({"n_head": None}, "does not say n_head"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_a_config_that_cannot_be_is_one_sentence(tmp_path: Path, change: dict[str, object], said: str) -> None:
    shutil.copytree(DEMO_FOLDER, tmp_path / "copy")
    config = tmp_path / "copy" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        preview_model(str(tmp_path / "copy"))


def test_a_missing_or_damaged_config_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        preview_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        preview_model(str(tmp_path))


def write_study(name: str, model: str = "demo", seconds: float = 50.0) -> Path:
    """A study whose scan of 2,000,000 tokens took so long."""
    facts = ModelFacts(
        name=model, family="gpt2", revision=None, fingerprint="f", n_layers=4, n_heads=8, n_kv_heads=8, d_model=192,
        d_head=24, d_mlp=1536, d_vocab=5604, context=256, parallel=False, gated=False, activation="relu", norm="layer",
        post_norm=False, soft_cap=None, first_token=0, dtype="float32", device="cpu",
    )  # fmt: skip
    opened = CorpusOpened(
        name="sotu", fingerprint="c", documents=249, tokens=2_000_000, clusters=240, explain_documents=120,
        score_documents=129,
    )  # fmt: skip
    with Study.create(name, replace_tokens(DEFAULT, (name[:5],))) as study:
        study.append(ModelOpened(facts=facts))
        study.append(opened)
        study.append(IndexReady(key="k", windows=100, tokens=2_000_000, seconds=seconds))
    return study.folder


def test_the_time_of_a_scan_is_that_of_an_earlier_one() -> None:
    write_study("slow", seconds=50.0)
    write_study("read-from-the-disk", seconds=0.2)
    known = measured("demo", list_studies())
    assert known == Measured({"sotu": 2_000_000}, {"cpu": 40_000.0})
    preview = preview_model("demo")
    assert preview is not None
    expected = estimate(preview, [2, 3], "sotu", CPU, known, 999)
    assert (expected.tokens, expected.counted, expected.seconds) == (2_000_000, True, 50.0)
    assert "earlier scans" in expected.basis
    guessed = estimate(preview, [2, 3], "sotu", GPU, replace(known, tokens={}), 4_500_000)
    assert guessed.tokens == 1_000_000 and not guessed.counted and "rough guess" in guessed.basis
    assert estimate(preview, [2], "hf:some/thing", CPU, known, None).seconds is None


def test_what_auto_means_is_the_first_gpu() -> None:
    assert meant_by("auto", [CPU, GPU]) == GPU
    assert meant_by("auto", [CPU]) == CPU
    assert meant_by("cuda", [CPU, GPU]) == GPU
    assert meant_by("cuda:3", [CPU, GPU]).free is None
    assert devices()[0].is_cpu and (devices()[0].free or 1) > 0


# lists


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
            "·year",
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
