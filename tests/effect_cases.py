"""What the tests of effects and of their estimate ask: rows, neurons and replacements of tiny models of each family."""

from __future__ import annotations

from functools import cache

import torch
from naive_effects import head_outputs_at_end
from tiny_models import ragged_rows, tiny_hf, tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from headtorch.core.analysis.replacements import Replacements, replacements
from headtorch.core.causes import Replacement
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


@cache
def plain(family: str) -> PreTrainedModel:
    """The same weights in a Hugging Face model that headtorch knows nothing of."""
    return tiny_hf(family)


@cache
def others_of(family: str) -> list[list[int]]:
    return ragged_rows(model_of(family), 7, seed=11)


@cache
def made(family: str, kind: Replacement) -> Replacements:
    return replacements(model_of(family), kind, others_of(family), donors=2)


@cache
def asked(family: str) -> tuple[list[list[int]], list[NeuronId]]:
    """Rows of different lengths, two of one length, one of a single token; one row for two neurons of a layer."""
    model = model_of(family)
    rows = [*ragged_rows(model, 2), *ragged_rows(model, 1, seed=2), [3]]
    return [*rows, rows[1]], [NeuronId(2, 4), NeuronId(2, 4), NeuronId(1, 7), NeuronId(2, 1), NeuronId(2, 30)]


def stand_ins(by: Replacements, family: str, row: list[int]) -> list[list[Tensor]]:
    """By hand: for each replacement, a vector [head·d_head] for each layer."""
    hf, z = plain(family), head_outputs_at_end(plain(family), row)
    if by.kind == "zero":
        return [[0 * one for one in z]]
    if by.kind == "double":
        return [[2 * one for one in z]]
    donors = [head_outputs_at_end(hf, other) for other in others_of(family)]
    if by.kind == "mean":
        return [[torch.stack(layer).mean(0) for layer in zip(*donors, strict=True)]]
    return [head_outputs_at_end(hf, list(by.pool_rows[i])) for i in by.drawn(row)]
