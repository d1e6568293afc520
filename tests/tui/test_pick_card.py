"""The card of the pick screen: what the model is, and what memory and time a study of it takes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pick_stage import CPU, GPU, PickApp, entry, play, write_study
from screens import screen_text
from textual.pilot import Pilot

from headtorch.core.errors import ModelError
from headtorch.core.model.preview import preview_model
from headtorch.core.model.sources import DEMO_FOLDER
from headtorch.core.study.study import list_studies
from headtorch.tui.picking.estimate import Measured, estimate, measured
from headtorch.tui.picking.machine import devices, meant_by

pytestmark = pytest.mark.usefixtures("only_the_demo")


def test_the_card_says_what_the_model_is_and_what_it_takes() -> None:
    async def steps(app: PickApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        assert "4 layers × 8 heads × 2,048 neurons" in text
        assert "layers 2–3  4,096 neurons, indexed in 39 MB" in text
        assert "a rough guess: this model was not scanned here before" in text
        assert "70 GB of 80 GB free on cuda:0 (H100)" in text
        await pilot.press("tab", "tab", "tab", "right", "right")
        entry(app, "layers").value = "0"
        await pilot.pause()
        text = screen_text(app)
        assert "10 GB of 25 GB free on cuda:0" not in text
        assert "layer 0  2,048 neurons, indexed in 20 MB" in text

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
