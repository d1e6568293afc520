"""A study whose heads a language model on loopback, the owl, explains and judges."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from chat_server import ChatServer
from oracle import oracle

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.pipeline import explain_study, run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import BudgetReached
from headtorch.core.events import (
    AnyEvent,
)
from headtorch.core.explain.llm.cache import answers_folder
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import SILENT, Watch

NAME = "llm:owl"


KEY = "sk-test-9f8e7d6c5b4a39281706"


WORDS = "the of and State States United Union Congress people Government apple pear tree has been just".split()  # noqa: SIM905


@dataclass
class Owls:
    """A study that has come to its heads, and the endpoint that it will ask."""

    server: ChatServer
    settings: Settings
    home: Path
    model: LanguageModel

    def study(self, name: str) -> str:
        """A copy of it under a name, and no answers kept from before."""
        shutil.copytree(self.home / "studies" / "prepared", self.home / "studies" / name)
        shutil.rmtree(answers_folder(), ignore_errors=True)
        self.server.requests.clear()
        self.server.answer = oracle
        return name

    def run(
        self, name: str, *, watch: Watch = SILENT, settings: Settings | None = None, **access: object
    ) -> StudyState:
        """The state after what is left of it, or of another explainer's part in it."""
        for _ in self.events(name, watch=watch, settings=settings, **access):
            pass
        return Study.open(name).state

    def events(
        self,
        name: str,
        *,
        watch: Watch = SILENT,
        settings: Settings | None = None,
        leave: Callable[[list[PlannedCalls]], None] | None = None,
        tell: Callable[[AnyEvent], None] | None = None,
        **access: object,
    ) -> Iterator[AnyEvent]:
        workspace = Workspace(self.settings, watch=watch, model=self.model)
        reached = msgspec.structs.replace(LlmAccess(attempts=1, timeout=5.0, concurrency=4), **access)
        workspace.llm = LanguageModels(reached, watch=watch, tell=tell, leave=leave)
        with Study.create(name, self.settings) as study:
            yield from run_study(study, workspace) if settings is None else explain_study(study, workspace, settings)


@contextmanager
def prepared(home: Path, question: Settings) -> Iterator[Owls]:
    """A study of the question on texts of its own, stopped before its first call."""
    texts = home / "texts"
    texts.mkdir()
    draw = random.Random(1)
    for i in range(40):
        (texts / f"{i:03}.txt").write_text(" ".join(draw.choices(WORDS, k=120)))
    with ChatServer(oracle) as server, pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("OPENAI_API_KEY", KEY)
        settings = msgspec.structs.replace(
            question,
            corpus=str(texts),
            neurons_limit=3,
            random_neurons=3,
            top_k=32,
            explain_n=12,
            explainer="llm",
            llm=LlmSettings(model="owl", base_url=server.base_url, control_n=2, random_n=3),
        )
        made = Owls(server, settings, home, open_model(settings.model, device="cpu"))
        with pytest.raises(BudgetReached):
            made.run("prepared", max_calls=0)
        assert server.calls == 0
        yield made
