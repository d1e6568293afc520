"""Shared by the tests of the terminal: the made-up study, own folders; tiny models and a corpus, and a way to call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_hf, tiny_tokenizer

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from calls import ...`

from calls import Call, Left, Places, write_corpus
from claimed_study import claimed_folder
from pick_stage import CPU, GPU, at_hand
from sample_study import sample_folder, session_in

from headtorch.tui.cli import main
from headtorch.tui.picking import gather
from headtorch.tui.session import Session


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Studies and caches of this test alone, and nothing of the user's environment that shows."""
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def only_the_demo(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own folders; what the pick screen finds is the demo model and two devices."""
    monkeypatch.setattr(gather, "models", lambda: [at_hand("demo")])
    monkeypatch.setattr(gather, "devices", lambda: [CPU, GPU])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The made-up study, to be written as well."""
    return sample_folder(tmp_path)


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up study, shared by the tests that only read it."""
    return sample_folder(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up study with claims, shared by the tests that only read it."""
    return claimed_folder(tmp_path_factory.mktemp("claims"))


@pytest.fixture
def session(kept_folder: Path) -> Session:
    """A session over the made-up study; changes of it stay in memory."""
    return session_in(kept_folder)


def save_model(family: str, folder: Path, silent: bool = False) -> Path:
    """A tiny model as a Hugging Face folder; `silent`: its neuron L2.N5 never fires."""
    hf = tiny_hf(family)
    if silent:
        with torch.no_grad():
            mlp = hf.transformer.h[2].mlp.c_fc
            mlp.weight[:, 5] = 0.0
            mlp.bias[5] = -1.0
    hf.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Models, corpus and data folders, shared so that each index is built once."""
    root = tmp_path_factory.mktemp("cli")
    return Places(
        model=save_model("gpt2", root / "tiny", silent=True),
        gated=save_model("llama", root / "gated"),
        corpus=write_corpus(root / "texts", documents=16, words=120),
        home=root / "home",
        cache=root / "cache",
    )


@pytest.fixture
def cli(places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`cli("scan", "--json")`: run the command line in this process."""
    monkeypatch.setenv("HEADTORCH_HOME", str(places.home))
    monkeypatch.setenv("HEADTORCH_CACHE", str(places.cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(*args: object) -> Left:
        monkeypatch.setattr(sys, "argv", ["headtorch", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        code = left.value.code
        return Left(code if isinstance(code, int) else 0, out, err)

    return call


@pytest.fixture
def studied(cli: Call, places: Places) -> Call:
    """`studied("prompts", …)`: a command on the tiny model and the small corpus; a run is about " States"."""
    small = ("--model", places.model, "--corpus", places.corpus, "--context", 32, "--top-k", 16)

    def call(command: str, *args: object) -> Left:
        named = {"--token", "--neuron"} & set(map(str, args))
        about = ("--token", " States") if command == "run" and not named else ()
        return cli(command, *small, *about, *args)

    return call
