"""Random texts of function words with planted ones, for what learns from texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Label = Callable[[Sequence[str]], bool]

_COMMON = (
    "of to in a is that for it as was with be by on not he this are or his from at which but have an had they you were "
    "their all we can her has there been if more"
)
WORDS = [f" {word}" for word in _COMMON.split()]


def random_texts(n: int, seed: int, planted: str = " United", length: int = 48) -> list[tuple[str, ...]]:
    """Texts of `length` tokens, in every other one `planted` among the last 8."""
    rng = random.Random(seed)
    texts = [[rng.choice(WORDS) for _ in range(length)] for _ in range(n)]
    for text in texts:
        if rng.random() < 0.5:
            text[-rng.randint(1, 8)] = planted
    return [tuple(text) for text in texts]


def noisy_labels(texts: Sequence[Sequence[str]], label: Label, seed: int, noise: float = 0.2) -> list[bool]:
    """What `label` says of each text, turned round for a share `noise` of them."""
    rng = random.Random(seed)
    return [label(text) != (rng.random() < noise) for text in texts]
