"""A model and a corpus made by hand: activations are whole numbers, computed exactly, so that ties are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from headtorch.core.corpus.windows import Windows
from headtorch.core.records import Half, ModelFacts

FIRST = 99


class FakeModel:
    """Activation of neuron j of layer l at row index i: a number in −9 … 40 mixed from j, l and the tokens 0 … i.

    It is no monotone function of anything. Row index 0 and padding show a huge value, which nobody may count.
    """

    def __init__(self, *, gated: bool = False, first_token: int | None = FIRST, salt: int = 0, d_mlp: int = 6) -> None:
        self.facts = ModelFacts(
            name="fake", family="fake", revision=None, fingerprint=f"fake{salt}", n_layers=3, n_heads=1, n_kv_heads=1,
            d_model=4, d_head=4, d_mlp=d_mlp, d_vocab=100, context=64, parallel=False, gated=gated, activation="relu",
            norm="layer", post_norm=False, soft_cap=None, first_token=first_token, dtype="float32", device="cpu",
        )  # fmt: skip
        self.device = torch.device("cpu")
        self.salt = salt
        self.rows_seen = 0
        self.calls = 0

    def mlp_activations(self, rows: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        self.calls += 1
        self.rows_seen += len(rows)
        place = torch.arange(1, rows.shape[1] + 1)
        read = (rows * (place * place + 31 * place + self.salt)).cumsum(1)  # [row, position], causal
        neuron = torch.arange(self.facts.d_mlp)
        found = {}
        for layer in layers:
            mixed = (read[..., None] + self.salt) * (2 * neuron + 3) * 7919 + 104729 * (layer + 1)
            values = ((mixed ^ (mixed >> 7)) % 50 - 9).float()
            values[:, 0] = 1000.0
            values[rows == 0] = 1000.0  # padding: no document holds token 0
            found[layer] = values
        return found

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        return [f" t{i}" for i in ids]

    def activation(self, layer: int, neuron: int, row: Sequence[int]) -> float:
        """At the last token of one row, alone."""
        return float(self.mlp_activations(torch.tensor([list(row)]), [layer])[layer][0, -1, neuron])


class FakeCorpus:
    """Documents of random tokens 1 … 90. Every third document is for scoring; clusters are pairs of documents."""

    def __init__(
        self, lengths: Sequence[int], *, context: int = 32, first_token: int | None = FIRST, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.documents = [rng.integers(1, 91, length).astype(np.int32) for length in lengths]
        self.context = context
        self.fingerprint = f"corpus{seed}-{context}-{list(lengths)}"
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.windows = Windows(np.concatenate(self.documents), offsets, context, first_token)
        self.corpus = SimpleNamespace(titles=[f"Speech {i}" for i in range(len(lengths))])

    def half(self, document: int) -> Half:
        return "score" if document % 3 == 2 else "explain"

    def cluster(self, document: int) -> int:
        return document // 2

    def document_ids(self, document: int) -> np.ndarray:
        return self.documents[document]
