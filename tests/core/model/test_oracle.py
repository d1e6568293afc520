"""Folded weights against TransformerBridge's compatibility mode, which folds the norms into a whole model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import tiny_hf, tiny_tokenizer
from torch import Tensor
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from headtorch.core.model.language_model import LanguageModel


@torch.no_grad()
def folded(family: str) -> Any:
    hf = tiny_hf(family, attn_implementation="eager").requires_grad_(False)
    bridge = build_bridge_from_module(hf, type(hf).__name__, hf_config=hf.config)
    bridge.enable_compatibility_mode(disable_warnings=True)
    return bridge


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other.detach(), atol=1e-5 * float(other.detach().abs().max()), rtol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gpt_neox_sequential", "llama", "mistral"])
def test_folded_reads_are_those_of_compatibility_mode(family: str) -> None:
    model = LanguageModel.from_hf(tiny_hf(family), tiny_tokenizer())
    bridge = folded(family)
    layer_norm = model.facts.norm == "layer"
    for layer in range(model.facts.n_layers):
        reads, biases = model.read_directions(layer), model.read_biases(layer)
        if model.facts.gated:
            assert close(reads[0], bridge.W_gate[layer].T)
        assert close(reads[-1], bridge.W_in[layer].T)
        if family == "mistral":
            assert not biases.any()
        else:
            assert close(biases[-1], bridge.b_in[layer])
        writes = model.write_directions(layer)
        if layer_norm:  # compatibility mode also centres what is written, which a LayerNorm does not see
            writes = writes - writes.mean(-1, keepdim=True)
        assert close(writes, bridge.W_out[layer])
