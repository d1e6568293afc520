"""Shared by all tests: one thread (the tests are small), folders of their own, and tiny random models by family."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start, too; torch reads it when it is imported

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from tiny_models import ...`

from tiny_models import tiny_model as make_tiny_model

from headtorch.core.model.language_model import LanguageModel

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is left with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Studies and caches of this process's tests, apart from the user's and from those of other workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(tmp_path_factory.mktemp("headtorch-home")))
        patch.setenv("HEADTORCH_CACHE", str(tmp_path_factory.mktemp("headtorch-cache")))
        yield


@cache
def _shared(family: str, bos: bool) -> LanguageModel:
    return make_tiny_model(family, bos=bos)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., LanguageModel]:
    """`tiny_model("gpt2")`: the tiny random model of a family, shared between tests; do not change its weights."""
    return lambda family, bos=True: _shared(family, bos)


@pytest.fixture(scope="session")
def tour_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the recorded study of a real model that ships with headtorch; open it for reading only."""
    from headtorch.core.study.tour import ARCHIVE
    from headtorch.core.study.unarchive import import_study

    return import_study(ARCHIVE, str(tmp_path_factory.mktemp("recorded") / "tour"))
