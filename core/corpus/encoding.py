"""Texts to token ids, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def batch_encoder(tokenizer: Any) -> Callable[[list[str]], list[list[int]]]:
    """An encoder for `tokenize` from a Hugging Face tokenizer: the ids of `encode(text, add_special_tokens=False)`.

    Where the tokenizer stands on the Rust library, character offsets are left out: 2-3 times faster on long texts.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda texts: [tokenizer.encode(text, add_special_tokens=False, verbose=False) for text in texts]

    def encode_batch(texts: list[str]) -> list[list[int]]:
        backend.no_truncation()
        backend.no_padding()
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]

    return encode_batch
