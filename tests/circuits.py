"""Circuits planted by hand, each with the corpus it is found in: what a study asks of them and what it should find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import planted
import planted_attention
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings


@dataclass(frozen=True)
class Circuit:
    """A model, what it reads, and what was planted: `head` fires `neuron` on texts like `active`, not on `inactive`."""

    name: str
    model: Callable[[], PreTrainedModel]
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    documents: Callable[[], Sequence[str]]
    target: str
    neuron: NeuronId
    head: HeadId
    others: tuple[HeadId, ...]  # planted too
    active: tuple[str, ...]
    inactive: tuple[str, ...]

    def open(self) -> LanguageModel:
        return LanguageModel.from_hf(self.model(), self.tokenizer(), name="planted")

    def settings(self, texts: Path, *, documents: int | None = None, random_neurons: int = 0) -> Settings:
        """The question to ask of it; its corpus, or the first `documents` of it, is written into `texts`."""
        texts.mkdir()
        for number, document in enumerate(self.documents()[:documents]):
            (texts / f"{number:03d}.txt").write_text(document)
        return Settings(model="planted", corpus=str(texts), token_texts=(self.target,), layers="all", neurons_limit=1,
                        random_neurons=random_neurons, context=64, explain_n=60)  # fmt: skip


TOKEN_LOOKUP = Circuit(
    "token lookup",
    planted.planted_hf,
    planted.planted_tokenizer,
    lambda: [one.text for one in planted.planted_corpus(160) if one.kind != "both"],
    planted.TARGET,
    planted.NEURON,
    planted.HEAD,
    (planted.SECOND_HEAD,),
    active=(" by", " treaty", " law", " United"),
    inactive=(" by", " banner", " law", " United"),
)
INDUCTION = Circuit(
    "induction",
    planted_attention.attention_hf,
    planted_attention.attention_tokenizer,
    planted_attention.induction_corpus,
    planted_attention.TARGET,
    planted_attention.INDUCTION_NEURON,
    planted_attention.INDUCTION_HEAD,
    (planted_attention.PREVIOUS_TOKEN_HEAD, planted_attention.FLAG_HEAD),
    active=(" bread", " States", " law", " bread"),
    inactive=(" banner", " States", " law", " bread"),
)
PREVIOUS_TOKEN = Circuit(
    "previous token",
    planted_attention.attention_hf,
    planted_attention.attention_tokenizer,
    planted_attention.previous_token_corpus,
    planted_attention.SECOND_TARGET,
    planted_attention.PREVIOUS_TOKEN_NEURON,
    planted_attention.PREVIOUS_TOKEN_HEAD,
    (planted_attention.FLAG_HEAD, planted_attention.INDUCTION_HEAD),
    active=(" law", " treaty", " bread"),
    inactive=(" treaty", " law", " bread"),
)
CIRCUITS = (TOKEN_LOOKUP, INDUCTION, PREVIOUS_TOKEN)
