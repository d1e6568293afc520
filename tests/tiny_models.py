"""Tiny random models of every supported family, made by transformers' own classes.

Every matrix, bias and norm weight is random: a bias or a gain that is dropped anywhere changes the numbers. The
unembedding has more rows than the tokenizer has tokens, as in many published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import transformers as tf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from headtorch.core.model.language_model import LanguageModel

TEXT = (
    "The State of the Union is strong. The United States of America and the people of the United States "
    "have seen the Congress of the United States act, and the Government of the United States has been just. "
    "He climbed the tree and picked an apple; she climbed the tree and picked a pear. "
) * 4
PADDED_ROWS = 7
LAYERS, HEADS, WIDTH, CONTEXT = 3, 4, 32, 64
END = "<|end|>"


@cache
def _byte_pairs() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    return tokenizer.to_str()


def tiny_tokenizer(bos: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 340 tokens in which " States" and " the" are single tokens; `bos`: has a first token."""
    special = {"bos_token": END} if bos else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_pairs()), eos_token=END, model_max_length=CONTEXT, **special
    )


def _vocab() -> int:
    return len(tiny_tokenizer()) + PADDED_ROWS


def _decoder(**more: Any) -> dict[str, Any]:
    """The configuration fields that most families share."""
    fields: dict[str, Any] = {
        "vocab_size": _vocab(),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 48,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return fields | more


def _gpt2() -> tf.PretrainedConfig:
    return tf.GPT2Config(
        vocab_size=_vocab(), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=48
    )


def _gpt_neo() -> tf.PretrainedConfig:
    return tf.GPTNeoConfig(
        vocab_size=_vocab(),
        max_position_embeddings=CONTEXT,
        hidden_size=WIDTH,
        num_layers=4,
        num_heads=HEADS,
        attention_types=[[["global", "local"], 2]],
        window_size=6,
        intermediate_size=48,
    )


def _gpt_j() -> tf.PretrainedConfig:
    return tf.GPTJConfig(
        vocab_size=_vocab(), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=48, rotary_dim=4
    )


CONFIGS: dict[str, Callable[[], tf.PretrainedConfig]] = {
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
    "gpt_neox": lambda: tf.GPTNeoXConfig(**_decoder(use_parallel_residual=True, rotary_pct=0.5)),
    "gpt_neox_sequential": lambda: tf.GPTNeoXConfig(**_decoder(use_parallel_residual=False)),
    "gptj": _gpt_j,
    "llama": lambda: tf.LlamaConfig(**_decoder(num_key_value_heads=2, attention_bias=True, mlp_bias=True)),
    "mistral": lambda: tf.MistralConfig(**_decoder(num_key_value_heads=2, head_dim=12, sliding_window=16)),
    "qwen2": lambda: tf.Qwen2Config(**_decoder(num_key_value_heads=2)),
    "qwen3": lambda: tf.Qwen3Config(**_decoder(num_key_value_heads=2, head_dim=12)),
    "gemma": lambda: tf.GemmaConfig(**_decoder(num_key_value_heads=1, head_dim=12)),
    "phi": lambda: tf.PhiConfig(**_decoder(partial_rotary_factor=0.5)),
    "phi3": lambda: tf.Phi3Config(**_decoder(num_key_value_heads=2)),
    "falcon": lambda: tf.FalconConfig(
        **_decoder(
            new_decoder_architecture=False,
            multi_query=True,
            parallel_attn=True,
            bias=True,
            alibi=False,
            ffn_hidden_size=48,
        )
    ),
    "falcon_sequential": lambda: tf.FalconConfig(
        **_decoder(
            new_decoder_architecture=False,
            multi_query=False,
            parallel_attn=False,
            bias=True,
            alibi=False,
            ffn_hidden_size=48,
        )
    ),
    "bloom": lambda: tf.BloomConfig(vocab_size=_vocab(), hidden_size=WIDTH, n_layer=LAYERS, n_head=HEADS),
    "opt": lambda: tf.OPTConfig(**_decoder(ffn_dim=48, word_embed_proj_dim=WIDTH)),
    "gemma2": lambda: tf.Gemma2Config(
        **_decoder(num_key_value_heads=2, head_dim=12, sliding_window=8, query_pre_attn_scalar=12, attention_bias=True)
    ),
    "gemma3": lambda: tf.Gemma3TextConfig(
        **_decoder(num_key_value_heads=2, head_dim=12, sliding_window=8, query_pre_attn_scalar=12)
    ),
    "olmo2": lambda: tf.Olmo2Config(**_decoder(num_key_value_heads=2, attention_bias=True)),
}
FAMILIES = tuple(CONFIGS)


def tiny_hf(family: str, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A fresh random model of `family` in fp32, evaluation mode; `options` go to transformers."""
    torch.manual_seed(seed)
    model = tf.AutoModelForCausalLM.from_config(CONFIGS[family](), **options).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Matrices large enough that heads attend unevenly; gains around 1 (or Gemma's 0), biases around 0.
            parameter.copy_(0.25 * noise if parameter.ndim > 1 else parameter + 0.3 * noise)
    return model


def tiny_model(family: str, *, seed: int = 0, bos: bool = True) -> LanguageModel:
    """A LanguageModel over `tiny_hf(family)`."""
    return LanguageModel.from_hf(tiny_hf(family, seed), tiny_tokenizer(bos), name=f"tiny {family}")


def ragged_rows(model: LanguageModel, n: int = 4, seed: int = 0) -> list[list[int]]:
    """`n` rows of different lengths with random tokens behind the first token."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [3 + (7 * i) % 23 for i in range(n)]
    ids = [torch.randint(0, model.facts.d_vocab, (length,), generator=generator).tolist() for length in lengths]
    return [model.with_first_token(row) for row in ids]
