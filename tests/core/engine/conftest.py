"""Shared by the tests of the engine: a tiny model and a small corpus in folders."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headtorch.core.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from wire import Wire`

from owls import Owls, prepared
from tiny_question import tiny_question


@pytest.fixture(scope="session")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A question about a tiny random GPT-2 on disk and 16 documents of random words."""
    return tiny_question(tmp_path_factory.mktemp("tiny"))


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
