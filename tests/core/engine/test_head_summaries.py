"""What stages log of a neuron's heads: means of A(h), whatever heads are judged by, and which heads are judged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_question import tiny_question

from headtorch.core.engine.firing_stage import find_places
from headtorch.core.engine.heads_stage import choose_heads
from headtorch.core.engine.stages import (
    attribute_heads,
    build_index,
    discover,
    judged_heads,
    open_model,
    trim_prompts,
)
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study


def attributed(settings: Settings, name: str) -> tuple[Study, Workspace]:
    """A study that has come to its attribution."""
    workspace = Workspace(settings)
    with Study.create(name, settings) as study:
        for stage in (open_model, discover, build_index, trim_prompts, attribute_heads):
            for event in stage(study, workspace):
                study.append(event)
    return Study.open(name), workspace


def test_a_gated_neurons_means_are_of_the_half_rule_and_its_rank_is_by_removal(tmp_path: Path, own_home: Path) -> None:
    study, _ = attributed(tiny_question(tmp_path, "llama"), "gated")
    for neuron, event in study.state.attributed.items():
        arrays = study.load_arrays(event.artefact)
        heads, (gate, up) = arrays["heads"].astype(float), arrays["pre_activation"].astype(float).T
        ratio = arrays["activation"] / (gate * up)
        share = (ratio / 2)[:, None, None] * (
            heads[:, 0] * up[:, None, None] + gate[:, None, None] * heads[:, 1]
        )  # prompt layer head
        means = study.state.mean_headlines(neuron)
        for summary in event.heads:
            at = (summary.head.layer, summary.head.index)
            assert summary.mean_direct == pytest.approx(share.mean(0)[at], rel=1e-4, abs=1e-6)
            assert means[summary.head] == summary.mean_removal == pytest.approx(arrays["removal"].mean(0)[at], rel=1e-5)
        ranked = sorted(means, key=lambda head: -abs(means[head]))
        assert event.top_heads == ranked[:5]


@pytest.mark.parametrize("own_layer", [True, False])
def test_heads_of_the_neurons_own_layer_are_not_judged_where_the_settings_say_so(
    own_layer: bool, tmp_path: Path, own_home: Path
) -> None:
    settings = msgspec.structs.replace(tiny_question(tmp_path), own_layer=own_layer)
    study, workspace = attributed(settings, f"own-{own_layer}")
    for neuron, event in study.state.attributed.items():
        judged = np.isfinite(study.load_arrays(event.artefact)["headline"]).all(0)  # layer head
        np.testing.assert_array_equal(judged, judged_heads(study, workspace, neuron.layer))
        assert judged[neuron.layer].all() == own_layer and judged[: neuron.layer].all()
        assert len(event.heads) == workspace.model.eligible_heads(neuron.layer).sum()  # the sum has all of its parts
        assert own_layer or all(head.layer < neuron.layer for head in event.top_heads)


def test_claims_are_not_about_heads_of_the_neurons_own_layer_where_the_settings_say_so(
    tmp_path: Path, own_home: Path
) -> None:
    question = tiny_question(tmp_path)
    chosen = {}
    for own_layer in (True, False):
        settings = msgspec.structs.replace(question, own_layer=own_layer)
        _, workspace = attributed(settings, f"claims-{own_layer}")
        with Study.create(f"claims-{own_layer}", settings) as study:
            for stage in (find_places, choose_heads):
                for event in stage(study, workspace):
                    study.append(event)
        of_neurons = study.state.claim_heads.items()
        chosen[own_layer] = [one.head.layer == neuron.layer for neuron, event in of_neurons for one in event.heads]
    assert any(chosen[True])
    assert chosen[False] and not any(chosen[False])
