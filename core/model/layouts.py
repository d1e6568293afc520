"""Where each supported family keeps the parts that the method reads, and which models are refused.

The table is the whole of headtorch's knowledge of architectures: module paths inside a Hugging Face causal language
model, and the few facts that paths do not tell. No torch here, so that models can be listed without loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headtorch.core.errors import ModelError

Config = Mapping[str, Any]


def _never(_config: Config) -> bool:
    return False


def _always(_config: Config) -> bool:
    return True


def _nothing(_config: Config) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Module paths of one family. Paths below `blocks` are relative to a block."""

    title: str  # the family's name for people
    blocks: str
    final_norm: str
    attention_norm: str | None  # None: attention reads the raw residual stream
    mlp_norm: str | None  # None: the MLP reads the raw residual stream
    attention_output: str  # its input is z, the heads' concatenated outputs
    mlp_reads: tuple[str, ...]  # input projections: one, or gate and up
    mlp_output: str  # its input is the activation of the neurons
    activation: str
    attention_post_norm: str | None = None
    mlp_post_norm: str | None = None
    fused_gate_up: bool = False  # one projection holds the gate rows, then the up rows
    gain_offset: float = 0.0  # Gemma multiplies by 1 + weight
    parallel: Callable[[Config], bool] = _never
    refusal: Callable[[Config], str | None] = _nothing  # why a model of the family cannot be read exactly

    @property
    def gated(self) -> bool:
        """The activation is act(gate) · up."""
        return self.fused_gate_up or len(self.mlp_reads) == 2

    def for_config(self, config: Config) -> Layout:
        """This layout with what depends on the single model settled."""
        if self.title == "Falcon" and not config.get("parallel_attn", True):
            return replace(self, mlp_norm="post_attention_layernorm")
        return self


def _falcon_refusal(config: Config) -> str | None:
    if config.get("new_decoder_architecture"):
        return "its new decoder architecture (Falcon 40B and later) groups queries, keys and values in a way that \
TransformerBridge does not split"
    if config.get("alibi"):
        return "TransformerBridge does not reproduce its ALiBi attention"
    return None


def _opt_refusal(config: Config) -> str | None:
    if not config.get("do_layer_norm_before", True):
        return "it normalises after each sublayer, so that no residual stream carries the parts unchanged"
    if config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size"):
        return "it projects between embedding and residual stream"
    return None


def _bloom_refusal(config: Config) -> str | None:
    if config.get("apply_residual_connection_post_layernorm"):
        return "its residual connections start after the norm, so that no residual stream carries the parts unchanged"
    return None


def _gpt2_refusal(config: Config) -> str | None:
    return "it has cross-attention" if config.get("add_cross_attention") else None


LLAMA = Layout(
    title="Llama",
    blocks="model.layers",
    final_norm="model.norm",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    attention_output="self_attn.o_proj",
    mlp_reads=("mlp.gate_proj", "mlp.up_proj"),
    mlp_output="mlp.down_proj",
    activation="mlp.act_fn",
)
GPT2 = Layout(
    title="GPT-2",
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    attention_norm="ln_1",
    mlp_norm="ln_2",
    attention_output="attn.c_proj",
    mlp_reads=("mlp.c_fc",),
    mlp_output="mlp.c_proj",
    activation="mlp.act",
    refusal=_gpt2_refusal,
)
BLOOM = Layout(
    title="Bloom",
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    attention_output="self_attention.dense",
    mlp_reads=("mlp.dense_h_to_4h",),
    mlp_output="mlp.dense_4h_to_h",
    activation="mlp.gelu_impl",
    refusal=_bloom_refusal,
)
GEMMA2 = replace(
    LLAMA,
    title="Gemma 2",
    mlp_norm="pre_feedforward_layernorm",
    attention_post_norm="post_attention_layernorm",
    mlp_post_norm="post_feedforward_layernorm",
    gain_offset=1.0,
)

LAYOUTS: dict[str, Layout] = {
    "gpt2": GPT2,
    "gpt_neo": replace(GPT2, title="GPT-Neo", attention_output="attn.attention.out_proj", refusal=_nothing),
    "gpt_neox": Layout(
        title="GPT-NeoX (Pythia)",
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        attention_norm="input_layernorm",
        mlp_norm="post_attention_layernorm",
        attention_output="attention.dense",
        mlp_reads=("mlp.dense_h_to_4h",),
        mlp_output="mlp.dense_4h_to_h",
        activation="mlp.act",
        parallel=lambda config: bool(config.get("use_parallel_residual", True)),
    ),
    "gptj": replace(
        GPT2,
        title="GPT-J",
        mlp_norm="ln_1",
        attention_output="attn.out_proj",
        mlp_reads=("mlp.fc_in",),
        mlp_output="mlp.fc_out",
        parallel=_always,
        refusal=_nothing,
    ),
    "llama": LLAMA,
    "mistral": replace(LLAMA, title="Mistral"),
    "qwen2": replace(LLAMA, title="Qwen 2"),
    "qwen3": replace(LLAMA, title="Qwen 3"),
    "gemma": replace(LLAMA, title="Gemma", gain_offset=1.0),
    "phi": replace(
        LLAMA,
        title="Phi",
        final_norm="model.final_layernorm",
        mlp_norm="input_layernorm",
        attention_output="self_attn.dense",
        mlp_reads=("mlp.fc1",),
        mlp_output="mlp.fc2",
        activation="mlp.activation_fn",
        parallel=_always,
    ),
    "phi3": replace(
        LLAMA, title="Phi-3", mlp_reads=("mlp.gate_up_proj",), fused_gate_up=True, activation="mlp.activation_fn"
    ),
    "falcon": replace(
        BLOOM,
        title="Falcon",
        mlp_norm="input_layernorm",
        activation="mlp.act",
        parallel=lambda config: bool(config.get("parallel_attn", True)),
        refusal=_falcon_refusal,
    ),
    "bloom": BLOOM,
    "opt": Layout(
        title="OPT",
        blocks="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        attention_norm="self_attn_layer_norm",
        mlp_norm="final_layer_norm",
        attention_output="self_attn.out_proj",
        mlp_reads=("fc1",),
        mlp_output="fc2",
        activation="activation_fn",
        refusal=_opt_refusal,
    ),
    "gemma2": GEMMA2,
    "gemma3_text": replace(GEMMA2, title="Gemma 3 (text)"),
    "olmo2": replace(
        LLAMA,
        title="OLMo 2",
        attention_norm=None,
        mlp_norm=None,
        attention_post_norm="post_attention_layernorm",
        mlp_post_norm="post_feedforward_layernorm",
    ),
}

REASONS: dict[str, str] = {
    "mixtral": "a mixture of experts routes tokens between MLPs, so that a neuron is not one pair of directions",
    "qwen2_moe": "a mixture of experts routes tokens between MLPs, so that a neuron is not one pair of directions",
    "qwen3_moe": "a mixture of experts routes tokens between MLPs, so that a neuron is not one pair of directions",
    "mamba": "it has no attention heads",
    "mamba2": "it has no attention heads",
    "rwkv": "it has no attention heads",
    "t5": "it is an encoder-decoder model",
    "bart": "it is an encoder-decoder model",
    "bert": "it does not predict the next token",
    "gemma3": "it is the multimodal Gemma 3; only its text-only sizes (model type gemma3_text) are supported",
}


def supported_families() -> str:
    """The supported families, for a sentence."""
    return ", ".join(layout.title for layout in LAYOUTS.values())


def find_layout(config: Config, name: str) -> Layout:
    """The layout for a Hugging Face config (as a dict).

    Raises:
        ModelError: the family, or this model of it, is not proven exact; says why and which families are.
    """
    family = str(config.get("model_type", "unknown"))
    layout = LAYOUTS.get(family)
    if layout is None:
        reason = REASONS.get(family, "its decomposition into heads and neurons has not been proven exact")
        raise ModelError(
            f"{name} is of the family {family!r}, which is not supported: {reason}. "
            f"Supported are {supported_families()}."
        )
    refusal = layout.refusal(config)
    if refusal is not None:
        raise ModelError(f"{name} is a {layout.title} model that is not supported: {refusal}.")
    return layout.for_config(config)
