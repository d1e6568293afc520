"""Shared by the tests of the engine: a tiny model and a small corpus in folders."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import tiny_hf, tiny_tokenizer

from headtorch.core.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from wire import Wire`

from owls import Owls, prepared

WORDS = "the of and State States United Union Congress people Government apple pear tree has been just".split()  # noqa: SIM905


@pytest.fixture(scope="session")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A question about a tiny random GPT-2 on disk and 16 documents of random words."""
    root = tmp_path_factory.mktemp("tiny")
    tiny_hf("gpt2").save_pretrained(root / "model")
    tiny_tokenizer().save_pretrained(root / "model")
    (root / "texts").mkdir()
    draw = random.Random(0)
    for i in range(16):
        (root / "texts" / f"{i:03}.txt").write_text(" ".join(draw.choices(WORDS, k=120)))
    return Settings(
        model=str(root / "model"),
        corpus=str(root / "texts"),
        token_texts=(" States",),
        layers="last:2",
        neurons_limit=2,
        random_neurons=2,
        context=32,
        top_k=16,
        explain_n=6,
        score_n=4,
    )


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home and a cache for the tests of one file."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield home


@pytest.fixture(scope="module")
def owls(own_home: Path, tiny_settings: Settings) -> Iterator[Owls]:
    """A study that has come to its heads, and the endpoint that it will ask."""
    with prepared(own_home, tiny_settings) as made:
        yield made
