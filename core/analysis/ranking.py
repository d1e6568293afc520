"""Where neurons fire most, ranked by activations in fp32 whatever precision the index was made in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.places import HALVES, Top
from headtorch.core.analysis.suffixes import Place, Suffixes
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.precision import in_float32
from headtorch.core.records import Half, NeuronId
from headtorch.core.watch import SILENT, Watch

Ranked = tuple[NeuronId, Half, int]  # the last is the sign


class Ranking:
    """The `top` of an index. In reduced precision its 2K places of a neuron are read again in fp32, and K are kept.

    That happens when a neuron is first asked for, or for many neurons together with `prepare`.
    """

    def __init__(self, model: LanguageModel, corpus: TokenizedCorpus, index: ActivationIndex) -> None:
        self._model, self._corpus, self._index = model, corpus, index
        self._known: dict[Ranked, Top] = {}

    def top(self, neuron: NeuronId, half: Half, sign: int = 1, k: int | None = None) -> Top:
        """The windows where the neuron fires most, best first: at most `k`, by default the index's K."""
        if self._model.facts.dtype == "float32":
            return self._index.top(neuron, half, sign, k)
        self.prepare([(neuron, sign)])
        return _taken(self._known[neuron, half, sign], slice(k))

    def prepare(self, neurons: Iterable[tuple[NeuronId, int]], watch: Watch = SILENT) -> None:
        """Rank these neurons, each for a sign, in one go. Nothing to do in fp32.

        Raises:
            AddressError: a neuron is not in the index.
            DeviceError: not even one row fits into the device's memory.
            Interrupted: through `watch`.
        """
        wanted = [(neuron, half, sign) for neuron, sign in neurons for half in HALVES]
        missing = [one for one in dict.fromkeys(wanted) if one not in self._known]
        if not missing or self._model.facts.dtype == "float32":
            return
        kept = self._index.top_keys.shape[-1]
        candidates = [self._index.top(neuron, half, sign, k=kept) for neuron, half, sign in missing]
        values = self._in_float32(
            [
                Place(neuron, int(document), int(position), int(window), 0.0)
                for (neuron, _, _), top in zip(missing, candidates, strict=True)
                for document, position, window in zip(top.document, top.position, top.window, strict=True)
            ],
            watch,
        )
        ends = np.cumsum([len(top) for top in candidates])[:-1]
        for one, top, activation in zip(missing, candidates, np.split(values, ends), strict=True):
            order = np.lexsort((top.position, top.document, -one[-1] * activation))[: self._index.top_k]
            self._known[one] = _taken(Top(activation, top.document, top.position, top.window), order)

    def _in_float32(self, places: list[Place], watch: Watch) -> np.ndarray:  # float32 [place]
        """Each place's activation in its full context."""
        contexts = Suffixes(self._model, self._corpus, places, watch)
        with in_float32(self._model.hf):
            return contexts.activations(np.arange(len(places)), contexts.longest).astype(np.float32)


def _taken(top: Top, which: slice | np.ndarray) -> Top:
    return Top(top.activation[which], top.document[which], top.position[which], top.window[which])
