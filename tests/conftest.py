"""Shared by all tests: one thread (the tests are small), and tiny random models by family."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from tiny_models import ...`

from tiny_models import tiny_model as make_tiny_model

from headtorch.core.model.language_model import LanguageModel

torch.set_num_threads(1)


@cache
def _shared(family: str, bos: bool) -> LanguageModel:
    return make_tiny_model(family, bos=bos)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., LanguageModel]:
    """`tiny_model("gpt2")`: the tiny random model of a family, shared between tests; do not change its weights."""
    return lambda family, bos=True: _shared(family, bos)
