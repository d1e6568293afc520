"""The paper's choices: they replace defaults, and nothing that was asked for by name."""

from __future__ import annotations

from pathlib import Path

from tiny_question import tiny_question

from headtorch.core.engine.presets import paper_settings
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings

PLAIN = Settings(layers="last:2", context=256, neurons_limit=8)


def test_the_paper_reads_five_layers_in_long_contexts_by_the_dot_product() -> None:
    found = paper_settings(PLAIN)
    assert (found.layers, found.context, found.attribution, found.docs) == ("last:5", 1024, "dot", 10_000)
    assert (found.per_layer, found.neurons_limit) == (20, 100)
    assert (found.own_layer, found.prompt_limit, found.attribute_on) == (False, 100, "trimmed")
    assert paper_settings(Settings(model="gpt2-large")).per_layer == 40


def test_the_context_is_at_most_the_models(tmp_path: Path, own_home: Path) -> None:
    workspace = Workspace(paper_settings(tiny_question(tmp_path), given={"layers"}))
    assert workspace.settings.context == 1024 and workspace.model.facts.context == 64
    assert workspace.corpus.context == 64 == max(len(window.ids) for window in workspace.corpus.windows)


def test_what_was_asked_for_by_name_stays() -> None:
    found = paper_settings(PLAIN, given={"layers", "context", "neurons_limit"})
    assert (found.layers, found.context, found.neurons_limit) == ("last:2", 256, 8)
    assert (found.preset, found.trim) == ("paper", "paper")
