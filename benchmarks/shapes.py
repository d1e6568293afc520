"""Models with random weights in the shapes of published ones, and corpora of random tokens: honest for speed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import transformers as tf
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.corpus.windows import Windows
from headtorch.core.model import forward
from headtorch.core.model.anatomy import Anatomy, out_in
from headtorch.core.model.layouts import find_layout
from headtorch.core.records import Half, ModelFacts

FIRST_TOKEN = 0

SHAPES: dict[str, Callable[[], tf.PretrainedConfig]] = {
    "gpt2": tf.GPT2Config,
    "gpt2-large": lambda: tf.GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "pythia-1.4b": lambda: tf.GPTNeoXConfig(
        vocab_size=50_304,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=24,
        num_attention_heads=16,
        max_position_embeddings=2048,
        rotary_pct=0.25,
    ),
    "Llama-3-8B": lambda: tf.LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
    ),
}


class RandomModel:
    """A published shape with random weights, made straight on its device: what a scan needs, without a tokenizer."""

    def __init__(self, shape: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        config = SHAPES[shape]()
        with torch.device(device):
            torch.manual_seed(0)
            self.hf: PreTrainedModel = tf.AutoModelForCausalLM.from_config(config, dtype=dtype)
        self.hf.train(False).requires_grad_(False)
        self.device = self.hf.device
        self._anatomy = Anatomy.of(self.hf, find_layout(config.to_dict(), shape))
        d_model, d_mlp = out_in(self._anatomy.blocks[0].mlp_output).shape
        n_heads, layers = int(config.num_attention_heads), len(self._anatomy.blocks)
        self.facts = ModelFacts(
            name=shape, family=config.model_type, revision=None, fingerprint=f"random {shape}", n_layers=layers,
            n_heads=n_heads, n_kv_heads=n_heads, d_model=d_model, d_head=d_model // n_heads, d_mlp=d_mlp,
            d_vocab=config.vocab_size, context=1024, parallel=False, gated=self._anatomy.layout.gated,
            activation="", norm="layer", post_norm=False, soft_cap=None, first_token=FIRST_TOKEN,
            dtype=str(dtype).removeprefix("torch."), device=str(self.device),
        )  # fmt: skip

    @property
    def mlp_output_modules(self) -> list[nn.Module]:
        """Per layer, the module whose input is the activation of the neurons."""
        return [block.mlp_output for block in self._anatomy.blocks]

    def mlp_activations(self, rows: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """As a LanguageModel gives them."""
        return forward.mlp_activations(self.hf, self._anatomy, rows.to(self.device), layers)


class RandomCorpus:
    """Documents of random tokens, of 100 to 2,000 tokens each (or what is left); every other one is for scoring."""

    def __init__(self, tokens: int, d_vocab: int, context: int, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        ends = np.cumsum(draw.integers(100, 2_001, tokens // 100 + 1))
        offsets = np.concatenate([[0], ends[ends < tokens], [tokens]]).astype(np.int64)
        ids = draw.integers(1, d_vocab, tokens, dtype=np.int32)
        self.context, self.n_tokens = context, tokens
        self.fingerprint = f"random {tokens} {d_vocab} {seed}"
        self.windows = Windows(ids, offsets, context, FIRST_TOKEN)

    def half(self, document: int) -> Half:
        """By turns."""
        return "score" if document % 2 else "explain"
