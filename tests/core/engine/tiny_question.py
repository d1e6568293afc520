"""A question that takes a second: about a tiny random model on disk and documents of random words."""

from __future__ import annotations

import random
from pathlib import Path

from tiny_models import tiny_hf, tiny_tokenizer

from headtorch.core.settings import Settings

WORDS = "the of and State States United Union Congress people Government apple pear tree has been just".split()  # noqa: SIM905


def tiny_question(folder: Path, family: str = "gpt2", documents: int = 16) -> Settings:
    """Writes the model and the texts into the folder."""
    tiny_hf(family).save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    (folder / "texts").mkdir()
    draw = random.Random(0)
    for i in range(documents):
        (folder / "texts" / f"{i:03}.txt").write_text(" ".join(draw.choices(WORDS, k=120)))
    return Settings(
        model=str(folder / "model"),
        corpus=str(folder / "texts"),
        token_texts=(" States",),
        layers="last:2",
        neurons_limit=2,
        random_neurons=2,
        context=32,
        top_k=16,
        explain_n=6,
        score_n=4,
    )
