"""Activations of neurons on suffixes of their contexts, many prompts and neurons at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from headtorch.core.analysis.batching import MemoryGuard, length_batches, pad_rows
from headtorch.core.analysis.observation import ActivationModel
from headtorch.core.analysis.places import Int32s, Int64s, WindowedCorpus
from headtorch.core.analysis.setup import block_size
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch


class Place(NamedTuple):
    """A neuron, the place where it fires, and how much it does there in its full context."""

    neuron: NeuronId
    document: int
    position: int
    window: int
    full_activation: float


class Suffixes:
    """The contexts of some places, cut from the left, the model's first token (where it has one) always in front.

    A suffix is told by its length in tokens of the document; `shortest` keeps the firing token off row index 0.
    """

    def __init__(self, model: ActivationModel, corpus: WindowedCorpus, places: Sequence[Place], watch: Watch) -> None:
        self._model, self._places, self._watch = model, places, watch
        self._first = model.facts.first_token is not None
        self._contexts = [_context(corpus, place) for place in places]
        self._layers = sorted({place.neuron.layer for place in places})
        self._guard = MemoryGuard()
        self.shortest = 1 if self._first else 2
        self.longest = np.array([len(context) - self._first for context in self._contexts], np.int64)  # [prompt]

    def row(self, prompt: int, length: int) -> Int32s:
        """What the model reads: the first token, then the last `length` tokens of the context."""
        context = self._contexts[prompt]
        suffix = context[len(context) - length :]
        return np.concatenate([context[:1], suffix]) if self._first else suffix

    def activations(self, prompts: Int64s, lengths: Int64s) -> np.ndarray:  # float64 [request]
        """Of each prompt's neuron at the last token of its suffix of the given length."""
        values = np.empty(len(prompts))
        budget = block_size(self._model, len(self._layers))
        for batch in length_batches(lengths + self._first, budget):
            self._watch.checkpoint()
            evaluate = partial(self._evaluate, prompts[batch], lengths[batch])
            values[batch] = np.concatenate(list(self._guard.run(len(batch), evaluate)))
        return values

    def _evaluate(self, prompts: Int64s, lengths: Int64s, part: slice) -> np.ndarray:  # [request]
        rows = [self.row(int(p), int(n)) for p, n in zip(prompts[part], lengths[part], strict=True)]
        neurons = [self._places[int(p)].neuron for p in prompts[part]]
        padded = pad_rows(rows, max(map(len, rows)), self._model.device)
        values = np.empty(len(rows))
        with torch.inference_mode():
            found = self._model.mlp_activations(padded, sorted({neuron.layer for neuron in neurons}))
            for layer, activations in found.items():  # [row, position, d_mlp]
                mine = [i for i, neuron in enumerate(neurons) if neuron.layer == layer]
                last = torch.tensor([len(rows[i]) - 1 for i in mine], device=padded.device)
                unit = torch.tensor([neurons[i].index for i in mine], device=padded.device)
                values[mine] = activations[torch.tensor(mine, device=padded.device), last, unit].double().cpu().numpy()
        return values


def _context(corpus: WindowedCorpus, place: Place) -> Int32s:
    """The window's row up to the place; raises ValueError when the place is not counted in the window."""
    window = corpus.windows[place.window]
    last = place.position - window.start + 1
    if window.document != place.document or not 1 <= last < len(window.ids):
        raise ValueError(f"position {place.position} of document {place.document} is not in window {place.window}")
    return window.ids[: last + 1]
