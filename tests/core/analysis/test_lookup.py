"""Where an attribution comes from: the tokens that a head looked at, the upstream neurons of an MLP."""

from __future__ import annotations

import hf_reference as reference
import numpy as np
import pytest
import torch
from attribution_cases import SUPPORTED, model_of, pairs_of
from tiny_models import ragged_rows, tiny_hf

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.lookup import check_feeds, sources, top_upstream_neurons, upstream_contributions
from headtorch.core.errors import AddressError
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import HeadId, NeuronId


@pytest.mark.parametrize("family", SUPPORTED)
def test_sources_sum_to_the_heads_attribution(family: str) -> None:
    model = model_of(family)
    rows, neurons, found = pairs_of(family)
    neurons = [NeuronId(2, neuron.index) for neuron in neurons]
    heads = [HeadId(1, 2), HeadId(0, 0), HeadId(1, 1)]
    given = sources(model, rows, neurons, heads)
    found = attribute(model, rows, neurons)
    assert given.shape == (len(rows), 1 + model.facts.gated, len(heads), max(map(len, rows)))
    expected = np.stack([found.heads[:, :, head.layer, head.index] for head in heads], axis=2)
    np.testing.assert_allclose(given.sum(-1), expected, atol=2e-5)
    for i, row in enumerate(rows):
        assert not given[i, ..., len(row) :].any()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_each_source_equals_pattern_times_value_by_hand(kind: str) -> None:
    hf = reference.double(tiny_hf(kind))
    hf.set_attn_implementation("eager")
    [row] = ragged_rows(model_of(kind), 1, seed=4)
    neuron, head = NeuronId(1, 6), HeadId(1, 3)
    block = reference.blocks(hf)[head.layer]
    norm, bias = block.mlp_norm, getattr(block.attention_norm, "bias", 0)
    with reference.recording({"x": (block.attention_norm, "out"), "r": (norm, "in")}) as seen, torch.no_grad():
        patterns = hf(torch.tensor([row]), output_attentions=True, use_cache=False).attentions
        values = (seen["x"][0] - bias) @ block.value_weight[head.index]  # position d_head
        outputs = patterns[head.layer][0, head.index, -1][:, None] * (values @ block.output_weight[head.index])
        scaled = reference.centre(norm, outputs) * norm.weight / reference.norm_scale(norm, seen["r"][0, -1])
        expected = torch.stack([scaled @ weight[:, neuron.index] for weight in block.read_weights])
    given = sources(model_of(kind), [row], [neuron], [head])
    np.testing.assert_allclose(given[0, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", reference.KINDS)
def test_upstream_neurons_and_the_output_bias_sum_to_the_mlps_part(kind: str) -> None:
    model, hf = model_of(kind), tiny_hf(kind)
    rows, neuron = ragged_rows(model, 3), NeuronId(2, 8)
    found = attribute(model, rows, [neuron] * 3)
    given = upstream_contributions(model, rows, neuron)
    block = reference.blocks(hf)[neuron.layer]
    for k in range(neuron.layer):
        output = hf.get_submodule(LAYOUTS[hf.config.model_type].blocks)[k].get_submodule(
            LAYOUTS[hf.config.model_type].mlp_output
        )
        for i, row in enumerate(rows):
            scale = reference.norm_scale(block.mlp_norm, reference.run(hf, row)[f"r {neuron.layer}"])
            rest = reference.centre(block.mlp_norm, output.bias) * block.mlp_norm.weight / scale
            rest = torch.stack([rest @ weight[:, neuron.index] for weight in block.read_weights]).detach()
            np.testing.assert_allclose(given[i, :, k].sum(-1) + rest.numpy(), found.mlps[i, :, k], atol=2e-5)


def test_the_strongest_upstream_neurons_come_first() -> None:
    model = model_of("gpt2")
    rows, neuron = ragged_rows(model, 2), NeuronId(2, 8)
    given = upstream_contributions(model, rows, neuron)[:, 0]
    for i, strongest in enumerate(top_upstream_neurons(model, rows, neuron, n=3)):
        assert [abs(one.contribution) for one in strongest] == sorted(np.abs(given[i]).flatten(), reverse=True)[:3]
        assert all(given[i, one.neuron.layer, one.neuron.index] == one.contribution for one in strongest)
    assert top_upstream_neurons(model, rows, NeuronId(0, 8), n=3) == [[], []]


def test_a_head_that_cannot_feed_the_neuron_is_refused_with_the_reason() -> None:
    with pytest.raises(AddressError, match=r"L2\.H0 cannot feed L1\.N3, because it comes after it; .* layers 0-1"):
        check_feeds(model_of("gpt2"), HeadId(2, 0), NeuronId(1, 3))
    with pytest.raises(AddressError, match=r"L1\.H0 cannot feed L1\.N3, .* in parallel.* layers 0-0"):
        check_feeds(model_of("gpt_neox"), HeadId(1, 0), NeuronId(1, 3))
    with pytest.raises(AddressError, match="no head feeds"):
        check_feeds(model_of("gpt_neox"), HeadId(0, 0), NeuronId(0, 3))
    with pytest.raises(AddressError, match="0-3"):
        check_feeds(model_of("gpt2"), HeadId(0, 9), NeuronId(1, 3))
    check_feeds(model_of("gpt2"), HeadId(1, 0), NeuronId(1, 3))
    with pytest.raises(AddressError):
        sources(model_of("gpt2"), [[1, 2]], [NeuronId(0, 0)], [HeadId(1, 0)])
