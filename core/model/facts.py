"""What a model is, as far as the method depends on it, read from its config, its modules and its tokenizer."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headtorch.core.model.anatomy import Anatomy, out_in
from headtorch.core.records import ModelFacts

ACTIVATION_FIELDS = ("hidden_activation", "activation_function", "hidden_act", "activation")
CONTEXT_FIELDS = ("n_positions", "max_position_embeddings", "seq_length", "max_sequence_length")
DEFAULT_CONTEXT = 2048  # Bloom's ALiBi knows no limit; this is what it was trained on


def model_facts(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    anatomy: Anatomy,
    *,
    name: str,
    revision: str | None,
    fingerprint: str,
) -> ModelFacts:
    """The facts of a loaded model."""
    config = hf.config.to_dict()
    n_heads = int(hf.config.num_attention_heads)
    d_model, z_width = out_in(anatomy.blocks[0].attention_output).shape
    unembedding_rows = len(cast(Tensor, anatomy.unembedding.weight))
    d_vocab = min(len(tokenizer), unembedding_rows)
    mlp_norm = anatomy.blocks[0].mlp_norm
    return ModelFacts(
        name=name,
        family=hf.config.model_type,
        revision=revision,
        fingerprint=fingerprint,
        n_layers=len(anatomy.blocks),
        n_heads=n_heads,
        n_kv_heads=_kv_heads(config, n_heads),
        d_model=d_model,
        d_head=z_width // n_heads,
        d_mlp=out_in(anatomy.blocks[0].mlp_output).shape[1],
        d_vocab=d_vocab,
        context=int(_first(config, CONTEXT_FIELDS) or DEFAULT_CONTEXT),
        parallel=anatomy.layout.parallel(config),
        gated=anatomy.layout.gated,
        activation=str(_first(config, ACTIVATION_FIELDS) or "gelu"),
        norm="none" if mlp_norm is None else mlp_norm.kind,
        post_norm=anatomy.layout.attention_post_norm is not None,
        soft_cap=config.get("final_logit_softcapping"),
        first_token=first_token(tokenizer, d_vocab),
        dtype=str(hf.dtype).removeprefix("torch."),
        device=str(hf.device),
        hardware=hardware(hf.device),
    )


def hardware(device: torch.device) -> str:
    """The name of the GPU, or of the CPU as the system tells it; "" where it does not."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def first_token(tokenizer: PreTrainedTokenizerBase, d_vocab: int) -> int | None:
    """The id put in front of every row: the tokenizer's BOS, or None where it has none (Qwen) that the model knows."""
    bos = tokenizer.bos_token_id
    return int(bos) if isinstance(bos, int) and bos < d_vocab else None


def _kv_heads(config: dict[str, Any], n_heads: int) -> int:
    if config.get("model_type") == "falcon":
        return 1 if config.get("multi_query", True) else n_heads
    return int(config.get("num_key_value_heads") or n_heads)


def _first(config: dict[str, Any], fields: tuple[str, ...]) -> Any:
    return next((config[field] for field in fields if config.get(field) is not None), None)
