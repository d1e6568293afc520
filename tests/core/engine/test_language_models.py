"""The language models of a request: what is said of them beside their answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.events import Warned
from headtorch.core.settings import LlmSettings


def test_that_answers_cannot_be_kept_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    models = LanguageModels()
    models.judge(LlmSettings(model="small"))
    [said] = [*models.accounted(iter(())), *models.accounted(iter(()))]
    assert isinstance(said, Warned) and "answers of language models are not kept" in said.text


def test_nothing_is_said_of_a_cache_that_works_or_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path / "cache"))
    models = LanguageModels()
    assert list(models.accounted(iter(()))) == []
    assert not (tmp_path / "cache").exists()
    models.judge(LlmSettings(model="small"))
    assert list(models.accounted(iter(()))) == []
