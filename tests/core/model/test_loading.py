"""Opening models by name: what works, and one sentence for everything that does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_hf, tiny_tokenizer

from headtorch.core.errors import DeviceError, HeadtorchError, ModelError
from headtorch.core.model import sources
from headtorch.core.model.catalog import models_at_hand
from headtorch.core.model.loading import open_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 folder in fp16."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_hf("gpt2").half().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refusal(name: str | Path, error: type[HeadtorchError] = ModelError, **options: str) -> str:
    """The message, which must be one line."""
    with pytest.raises(error) as raised:
        open_model(str(name), **options)
    message = str(raised.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_a_folder_is_opened_in_float32_on_the_cpu(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = open_model(str(saved), device="cpu")
    assert (model.facts.dtype, model.facts.device, model.facts.family) == ("float32", "cpu", "gpt2")
    expected = tiny_hf("gpt2").half().float()
    row = torch.tensor([model.row("The State of the Union")])
    assert torch.allclose(model.logits(row), expected(row).logits[..., : model.facts.d_vocab], atol=1e-4)
    assert model.facts.first_token == tiny_tokenizer().bos_token_id
    assert capfd.readouterr() == ("", "")


def test_padding_is_read_without_a_warning(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 0}))
    model = open_model(str(folder), device="cpu")
    model.mlp_activations(torch.tensor([[5, 6, 0, 0]]), [0])
    model.logits(torch.tensor([[5, 6, 0, 0]]))
    assert capfd.readouterr() == ("", "")


def test_dtypes_are_taken_as_asked(saved: Path) -> None:
    assert open_model(str(saved), device="cpu", dtype="bfloat16").facts.dtype == "bfloat16"
    assert "float64" in refusal(saved, DeviceError, dtype="float64")


def test_reduced_precision_can_be_inspected(saved: Path) -> None:
    exact, rounded = (open_model(str(saved), device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    row = exact.row("The State of the Union")
    one, other = exact.trace([row], 2), rounded.trace([row], 2)
    assert other.residual.dtype == torch.float32
    assert float((one.residual - other.residual).abs().max() / one.residual.abs().max()) < 0.05


def test_the_fingerprint_is_that_of_the_files(saved: Path, folder: Path) -> None:
    first = open_model(str(saved), device="cpu").facts.fingerprint
    assert open_model(str(folder), device="cpu", dtype="bfloat16").facts.fingerprint == first
    other = tiny_hf("gpt2", seed=1).half()
    other.save_pretrained(folder)
    assert open_model(str(folder), device="cpu").facts.fingerprint != first


def test_the_demo_model_is_a_folder_of_the_package(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEMO_FOLDER", saved)
    assert open_model("demo", device="cpu").facts.name == "demo"


@pytest.mark.parametrize("device", ["cuda:99", "mps", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(saved: Path, device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    assert device in refusal(saved, DeviceError, device=device)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no folder" in refusal(tmp_path / "nowhere")
    assert "no folder" in refusal("./nowhere")
    assert "is a file" in refusal(__file__)
    refusal("")


def test_a_folder_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "config.json is missing" in refusal(folder)


def test_a_damaged_config_is_refused(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])
    assert "config.json cannot be read" in refusal(folder)
    (folder / "config.json").write_text("[]")
    assert "config.json" in refusal(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "model.safetensors missing" in refusal(folder)


def test_weights_that_can_run_code_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    message = refusal(folder)
    assert "only as pytorch_model.bin" in message
    assert "safetensors" in message


@pytest.mark.parametrize("kept", [0, 4, 100, 20_000])
def test_half_written_weights_are_refused(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    assert file.stat().st_size > 20_000
    file.write_bytes(file.read_bytes()[:kept])
    assert "half-written" in refusal(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors").rename(folder / shards["a"])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert f"{shards['b']} missing" in refusal(folder)


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 5}))
    assert "not those of its config" in refusal(folder)
    (folder / "config.json").write_text(json.dumps(config | {"n_embd": 64}))
    refusal(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json missing" in refusal(folder)


def test_a_damaged_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer" in refusal(folder)


def test_a_quantised_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
    assert "quantised" in refusal(folder)


def test_code_that_comes_with_a_model_never_runs(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('code ran')")
    automatic = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": automatic, "model_type": "evil"}))
    assert "'evil'" in refusal(folder)


def test_the_hub_out_of_reach_says_which_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_cache: Callable[[Path], None]
) -> None:
    hub_cache(tmp_path)
    message = refusal("some-one/some-model")
    for file in ("config.json", "tokenizer.json", "model.safetensors", "some-one/some-model", "local folder"):
        assert file in message


def test_a_cached_model_opens_without_the_hub(saved: Path, tmp_path: Path, hub_cache: Callable[[Path], None]) -> None:
    hub_cache(tmp_path)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some-one--tiny"
    shutil.copytree(saved, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    model = open_model("some-one/tiny", device="cpu")
    assert model.facts.revision == commit
    assert model.facts.fingerprint == open_model(str(saved), device="cpu").facts.fingerprint
    (repository / "snapshots" / commit / "model.safetensors").unlink()
    message = refusal("some-one/tiny")
    assert "lacks model.safetensors of" in message


def test_names_that_cannot_be_are_refused() -> None:
    assert "no model 'foo bar'" in refusal("foo bar")


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`hub_cache(folder)`: the Hub is out of reach, and its cache is `folder`."""

    def use(folder: Path) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    return use


def test_the_catalog_tells_ready_models_from_others(
    saved: Path, folder: Path, tmp_path: Path, hub_cache: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tmp_path / "no cache")
    monkeypatch.setattr("headtorch.core.model.catalog.DEMO_FOLDER", saved)
    (folder / "model.safetensors").unlink()
    models = {model.kind + Path(model.path).name: model for model in models_at_hand([saved.parent, tmp_path])}
    demo, ready, broken = models["demotiny"], models["foldertiny"], models["foldermodel"]
    assert (demo.name, demo.problem, demo.family) == ("demo", None, "gpt2")
    assert ready.bytes == (saved / "model.safetensors").stat().st_size
    assert broken.problem is not None
    assert "model.safetensors missing" in broken.problem


def test_listing_models_loads_no_torch() -> None:
    code = (
        "import sys; import headtorch.core.model.catalog; "
        "sys.exit(' '.join(m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
