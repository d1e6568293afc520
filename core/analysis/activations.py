"""A neuron's activation on every token of whole rows."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch


def activations(
    model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId, watch: Watch
) -> list[list[float]]:
    """The neuron's activation on every token of every row."""
    found: list[list[float]] = [[] for _ in rows]
    for batch in length_batches([len(row) for row in rows], pass_tokens(model.device)):
        watch.checkpoint()
        chosen = [rows[i] for i in batch]
        padded = pad_rows(chosen, max(map(len, chosen)), model.device)
        values = model.mlp_activations(padded, [neuron.layer])[neuron.layer][..., neuron.index]  # row position
        for i, row in zip(batch, values.float().cpu().tolist(), strict=True):
            found[int(i)] = row[: len(rows[int(i)])]
    return found
