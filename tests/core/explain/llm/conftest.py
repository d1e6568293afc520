"""Endpoints on loopback are reached without a proxy, with keys of the tests' own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headtorch.core.explain.llm import calls

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from kept_answers import ...`


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where answers are kept."""
    return tmp_path / "cache" / "answers"


@pytest.fixture(autouse=True)
def _plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_DELAY", 0.05)
