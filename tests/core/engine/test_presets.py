"""The paper's choices: they replace defaults, and nothing that was asked for by name."""

from __future__ import annotations

from headtorch.core.engine.presets import paper_settings
from headtorch.core.settings import Settings

PLAIN = Settings(layers="last:2", context=256, neurons_limit=8)


def test_the_paper_reads_five_layers_in_long_contexts_by_the_dot_product() -> None:
    found = paper_settings(PLAIN)
    assert (found.layers, found.context, found.attribution, found.docs) == ("last:5", 1024, "dot", 10_000)
    assert (found.per_layer, found.neurons_limit) == (20, 100)
    assert (found.own_layer, found.prompt_limit, found.attribute_on) == (False, 100, "trimmed")
    assert paper_settings(Settings(model="gpt2-large")).per_layer == 40


def test_what_was_asked_for_by_name_stays() -> None:
    found = paper_settings(PLAIN, given={"layers", "context", "neurons_limit"})
    assert (found.layers, found.context, found.neurons_limit) == ("last:2", 256, 8)
    assert (found.preset, found.trim) == ("paper", "paper")
