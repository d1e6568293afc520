"""The weight-only prior against the full product of weights."""

from __future__ import annotations

import hf_reference as reference
import numpy as np
import pytest
import torch
from planted import HEAD, NEURON, SECOND_HEAD, planted_hf, planted_tokenizer
from tiny_models import tiny_hf, tiny_model

from headtorch.core.analysis.prior import weight_prior
from headtorch.core.errors import ModelError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId


@pytest.mark.parametrize("kind", reference.KINDS)
def test_the_prior_equals_the_norms_of_the_full_product(kind: str) -> None:
    model, hf = tiny_model(kind), reference.double(tiny_hf(kind))
    neurons = [NeuronId(1, 4), NeuronId(2, 7)]
    found = weight_prior(model, neurons)
    blocks = reference.blocks(hf)
    for i, neuron in enumerate(neurons):
        mine = blocks[neuron.layer]
        for read, weight in enumerate(mine.read_weights):
            direction = reference.centre(mine.mlp_norm, weight[:, neuron.index] * mine.mlp_norm.weight).detach()
            for layer, head in np.argwhere(np.isfinite(found[i, read])):
                block = blocks[layer]
                gain = block.attention_norm.weight[:, None] * block.value_weight[head]
                product = (reference.centre(block.attention_norm, gain.T).T @ block.output_weight[head]).detach()
                expected = torch.linalg.norm(product @ direction) / direction.norm() / torch.linalg.matrix_norm(product)
                assert found[i, read, layer, head] == pytest.approx(float(expected), rel=1e-4)
        np.testing.assert_array_equal(np.isfinite(found[i, 0]), model.eligible_heads(neuron.layer))


def test_the_planted_heads_stand_out_by_their_weights_alone() -> None:
    model = LanguageModel.from_hf(planted_hf(), planted_tokenizer())
    prior = np.nan_to_num(weight_prior(model, [NEURON])[0, 0])
    strongest = set(np.argsort(-prior, axis=None)[:2].tolist())
    assert strongest == {HEAD.layer * 4 + HEAD.index, SECOND_HEAD.layer * 4 + SECOND_HEAD.index}
    assert prior[HEAD.layer, HEAD.index] == pytest.approx(3**-0.5, rel=1e-3)  # it writes A; the neuron reads U + A + B


def test_a_model_with_a_norm_after_attention_has_no_prior() -> None:
    with pytest.raises(ModelError, match="norm follows attention"):
        weight_prior(tiny_model("gemma2"), [NeuronId(0, 0)])
