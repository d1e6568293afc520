"""What is not proven exact is refused by name, with the reason; what turns out not to be exact is refused too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf
from tiny_models import CONFIGS, tiny_hf, tiny_tokenizer

from headtorch.core.errors import ModelError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.layouts import LAYOUTS, find_layout


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (tf.MixtralConfig(), "mixture of experts"),
        (tf.T5Config(), "encoder-decoder"),
        (tf.MambaConfig(), "no attention heads"),
        (tf.FalconConfig(new_decoder_architecture=True), "new decoder architecture"),
        (tf.FalconConfig(alibi=True), "ALiBi"),
        (tf.OPTConfig(do_layer_norm_before=False), "after each sublayer"),
        (tf.OPTConfig(word_embed_proj_dim=512, hidden_size=1024), "projects"),
        (tf.BloomConfig(apply_residual_connection_post_layernorm=True), "after the norm"),
        (tf.GPT2Config(add_cross_attention=True), "cross-attention"),
        (tf.GraniteConfig(), "not been proven exact"),
    ],
)
def test_an_unsupported_model_is_refused_with_its_reason(config: tf.PretrainedConfig, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as refusal:
        find_layout(config.to_dict(), "some/model")
    assert str(refusal.value).startswith("some/model ")


def test_a_refusal_of_a_family_names_every_family_that_is_supported() -> None:
    with pytest.raises(ModelError) as refusal:
        find_layout({"model_type": "mixtral"}, "some/model")
    for layout in LAYOUTS.values():
        assert layout.title in str(refusal.value)


def test_every_supported_family_has_a_tiny_model() -> None:
    assert set(LAYOUTS) == {make().model_type for make in CONFIGS.values()}


def test_a_model_whose_two_faces_differ_is_refused_at_its_first_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel.from_hf(tiny_hf("llama"), tiny_tokenizer(), "twisted")

    def run(*args: Any) -> dict[int, torch.Tensor]:
        return {layer: activation * 1.01 for layer, activation in honest(*args).items()}

    honest = model.mlp_activations
    monkeypatch.setattr(model, "mlp_activations", run)
    for _ in range(2):  # a second call is not let through
        with pytest.raises(ModelError, match="twisted cannot be taken apart exactly"):
            model.trace([[1, 2, 3]], 0)


def test_inverse_layer_scaling_of_gpt2_is_either_exact_or_refused() -> None:
    config = CONFIGS["gpt2"]()
    config.scale_attn_by_inverse_layer_idx = True
    torch.manual_seed(0)
    hf = tf.GPT2LMHeadModel(config)
    for parameter in hf.parameters():
        parameter.data = parameter.data + 0.2 * torch.randn_like(parameter)
    model = LanguageModel.from_hf(hf, tiny_tokenizer())
    try:
        trace = model.trace([[1, 2, 3, 4, 5]], 2)
    except ModelError:
        return
    scanned = model.mlp_activations(torch.tensor([[1, 2, 3, 4, 5]]), [2])[2][0, -1]
    assert torch.allclose(trace.activation[0], scanned, atol=1e-5)
