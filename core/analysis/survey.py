"""The activations of a study's neurons at every position of a sample of the corpus: where firing places are drawn from.

The activation index keeps each neuron's strongest places and little of the rest of its upper tail. The survey is a
second pass, for some neurons only, over windows drawn evenly from the clusters of documents of both splits, so that no
long document crowds out the others. A corpus smaller than the budget is surveyed whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.analysis.places import hash_places
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.records import NeuronId
from headtorch.core.watch import SILENT, Watch

Ints = Int[np.ndarray, " place"]


@dataclass(frozen=True)
class Survey:
    """Every counted position of some windows, window by window, and what the neurons do there."""

    neurons: list[NeuronId]
    windows: list[int]  # of the corpus, ascending
    rows: list[NDArray[np.int32]]  # token ids of each window, the first token included
    row: Ints  # index into `windows` and `rows`
    offset: Ints  # row index in the window
    document: Ints
    position: Ints
    cluster: Ints
    held_out: Bool[np.ndarray, " place"]
    token: Ints  # at the position
    activation: Float[np.ndarray, "neuron place"]

    def __len__(self) -> int:
        return len(self.row)

    def of(self, neuron: NeuronId) -> Float[np.ndarray, " place"]:
        """The activations of one neuron."""
        activation: Float[np.ndarray, " place"] = self.activation[self.neurons.index(neuron)]
        return activation


def survey(
    model: LanguageModel,
    corpus: TokenizedCorpus,
    neurons: Sequence[NeuronId],
    *,
    tokens: int,
    seed: int,
    watch: Watch = SILENT,
) -> Survey:
    """Read windows of about `tokens` positions and keep what `neurons` do at each, the first token left out."""
    windows = surveyed_windows(corpus, tokens, seed)
    rows = [corpus.windows[w] for w in windows]
    lengths = np.array([len(window.ids) for window in rows])
    row = np.repeat(np.arange(len(rows)), lengths - 1)
    starts = np.cumsum(lengths - 1) - (lengths - 1)  # [row], of its places
    offset = np.arange(len(row)) - np.repeat(starts, lengths - 1) + 1
    document = np.array([window.document for window in rows])[row]
    position = np.array([window.start for window in rows])[row] + offset - 1
    found = Survey(
        neurons=list(neurons),
        windows=windows,
        rows=[window.ids for window in rows],
        row=row,
        offset=offset,
        document=document,
        position=position,
        cluster=corpus.corpus.clusters[document],
        held_out=~np.asarray(corpus.corpus.halves, bool)[document],
        token=np.concatenate([window.ids[1:] for window in rows]) if rows else np.zeros(0, np.int64),
        activation=np.zeros((len(neurons), len(row)), np.float32),
    )
    _fill(model, found, starts, lengths, watch)
    return found


def surveyed_windows(corpus: TokenizedCorpus, tokens: int, seed: int) -> list[int]:
    """Windows of about `tokens` positions: one of every cluster of documents, another of every one, and so on.

    Windows of a cluster come in the order of a hash; both splits share the budget evenly as far as they can.
    """
    document, start = corpus.windows.places
    order = np.argsort(hash_places(seed, document, start), kind="stable")
    cluster, split = corpus.corpus.clusters[document], np.asarray(corpus.corpus.halves, bool)[document]
    size = corpus.windows.lengths - 1
    turn = np.empty(len(order), np.int64)  # [window], how many of its cluster come before it
    by_cluster = order[np.argsort(cluster[order], kind="stable")]
    first = np.searchsorted(cluster[by_cluster], cluster[by_cluster], side="left")
    turn[by_cluster] = np.arange(len(by_cluster)) - first
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    chosen: list[int] = []
    budget = tokens
    halves = [np.flatnonzero(split == half) for half in (True, False)]
    for n, members in enumerate(sorted(halves, key=lambda members: int(size[members].sum()))):
        in_turn = members[np.lexsort((rank[members], turn[members]))]
        within = np.cumsum(size[in_turn]) <= budget // (2 - n)
        taken = in_turn[within] if within.any() else in_turn[:1]
        budget -= int(size[taken].sum())
        chosen += taken.tolist()
    return sorted(chosen)


@torch.no_grad()
def _fill(
    model: LanguageModel, found: Survey, starts: NDArray[np.int64], lengths: NDArray[np.int64], watch: Watch
) -> None:
    layers = sorted({neuron.layer for neuron in found.neurons})
    columns = {
        layer: [(n, neuron.index) for n, neuron in enumerate(found.neurons) if neuron.layer == layer]
        for layer in layers
    }
    done, total = 0, int(lengths.sum())
    for batch in length_batches(lengths, pass_tokens(model.device)):
        watch.progress("survey", done, total, "tokens")
        watch.checkpoint()
        ids = pad_rows([found.rows[r] for r in batch], int(lengths[batch].max()), model.device)
        with fast_products(model.hf):
            activations = model.mlp_activations(ids, layers)
        for layer, pairs in columns.items():
            into, index = (list(axis) for axis in zip(*pairs, strict=True))
            read = activations[layer][:, :, index].float().cpu().numpy()  # row position neuron
            for i, r in enumerate(batch.tolist()):
                places = slice(starts[r], starts[r] + lengths[r] - 1)
                found.activation[into, places] = read[i, 1 : lengths[r]].T
        done += int(lengths[batch].sum())
    watch.progress("survey", total, total, "tokens")
