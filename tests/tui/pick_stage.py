"""The pick screen alone, played for a test; a model, devices and studies for it to find."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec
from textual.app import App
from textual.pilot import Pilot
from waiting import until

from headtorch.core.engine.presets import DEFAULT_TOKEN
from headtorch.core.events import CorpusOpened, IndexReady, ModelOpened
from headtorch.core.model.catalog import ModelAtHand
from headtorch.core.records import ModelFacts
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study
from headtorch.tui.palette import Palette
from headtorch.tui.picking.machine import Device
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


def at_hand(name: str, problem: str | None = None) -> ModelAtHand:
    return ModelAtHand(name=name, kind="folder", path=name, family="gpt2", bytes=8_200_000, problem=problem)


def play(steps: Steps, size: tuple[int, int] = (120, 36), **how: bool) -> PickApp:
    """Run the screen, wait until the demo model's card is there, take the steps."""

    async def run() -> PickApp:
        app = PickApp(**how)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.pick._facts is not None and len(app.pick._devices) == 2)
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


def replace_tokens(settings: Settings, tokens: tuple[str, ...]) -> Settings:
    return msgspec.structs.replace(settings, token_texts=tokens)


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
