"""Shortest contexts in which neurons still fire (after Neo, Cohen and Barez, arXiv 2402.15055)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from headtorch.core.analysis.observation import ActivationModel
from headtorch.core.analysis.places import Int32s, Int64s, WindowedCorpus
from headtorch.core.analysis.suffixes import Place, Suffixes
from headtorch.core.records import Half, NeuronId, Prompt
from headtorch.core.watch import SILENT, Watch

__all__ = ["Place", "collapse", "cut", "trim"]

LONG = 100  # tokens of the document
TAIL = 12  # tokens; prompts that end in the same ones are copies
_AT_ONCE = 4096  # tokens that a round of the exact search asks for, when one length of each prompt is fewer


class TrimModel(ActivationModel, Protocol):
    """What trimming needs of a language model."""

    def token_texts(self, ids: Sequence[int]) -> list[str]: ...


class Titles(Protocol):
    @property
    def titles(self) -> Sequence[str]: ...


class TrimCorpus(WindowedCorpus, Protocol):
    """What trimming needs of a tokenized corpus."""

    @property
    def corpus(self) -> Titles: ...
    def document_ids(self, document: int) -> Int32s: ...
    def cluster(self, document: int) -> int: ...


def trim(
    model: TrimModel,
    corpus: TrimCorpus,
    places: Iterable[tuple[NeuronId, int, int, int, float]],
    *,
    ratio: float = 0.8,
    method: Literal["doubling", "exact", "paper"] = "doubling",
    watch: Watch = SILENT,
) -> list[Prompt]:
    """For each (neuron, document, position, window, full activation), in that order, a short context that will do.

    That is a suffix of the window up to the position on which the neuron's activation a is at least `ratio` of the
    full one, a ≥ ratio · a_full; for a negative a_full, −a ≥ ratio · −a_full.

    Every suffix that is returned was evaluated, and its own activation is stored; if no shorter one will do, it is the
    full context. Activations are not monotone in the length, so the methods differ:
    doubling: lengths 1, 2, 4, … until the first success, then bisection between it and the failure before it.
    exact: every length from 1 up; the shortest suffix that succeeds.
    paper: bisection between two tokens and the full context, as the paper's code has it.

    Raises:
        ValueError: a place is not counted in its window.
        DeviceError: not even one row fits into the device's memory.
        Interrupted: through `watch`.
    """
    wanted = [Place(*place) for place in places]
    search = _Search(Suffixes(model, corpus, wanted, watch), wanted, ratio, watch)
    if wanted:
        {"doubling": search.doubling, "exact": search.exact, "paper": search.paper}[method]()
    kept = zip(search.length.tolist(), search.activation.tolist(), strict=True)
    return [
        _prompt(model, corpus, wanted[i], search.suffixes.row(i, length), length, activation)
        for i, (length, activation) in enumerate(kept)
    ]


def cut(
    model: TrimModel,
    corpus: TrimCorpus,
    places: Sequence[Place],
    lengths: Sequence[int] | np.ndarray,
    *,
    watch: Watch = SILENT,
) -> list[Prompt]:
    """The places with the last `lengths` tokens of their contexts, or as many as there are, whatever is left there.

    Raises as `trim` does.
    """
    if not places:
        return []
    suffixes = Suffixes(model, corpus, places, watch)
    kept = np.clip(np.asarray(lengths, np.int64), suffixes.shortest, suffixes.longest)
    values = suffixes.activations(np.arange(len(places)), kept)
    return [
        _prompt(model, corpus, place, suffixes.row(i, int(kept[i])), int(kept[i]), float(values[i]))
        for i, place in enumerate(places)
    ]


class _Search:
    """For each prompt the suffix taken so far, its activation, and the longest shorter suffix known to fail."""

    def __init__(self, suffixes: Suffixes, places: Sequence[Place], ratio: float, watch: Watch) -> None:
        self.suffixes = suffixes
        self._watch = watch
        full = np.array([place.full_activation for place in places])  # [prompt]
        self._sign = np.where(full < 0, -1.0, 1.0)
        self._threshold = ratio * np.abs(full)
        self.length = suffixes.longest.copy()
        self.activation = full
        self._failed = np.full(len(places), suffixes.shortest - 1)

    def doubling(self) -> None:
        prompts, length = np.arange(len(self.length)), self.suffixes.shortest
        while len(prompts):
            prompts = prompts[~self._try(prompts, np.minimum(length, self.suffixes.longest[prompts]))]
            length *= 2
        self._bisect()

    def exact(self) -> None:
        prompts, length = np.arange(len(self.length)), self.suffixes.shortest
        while len(prompts):
            several = max(1, _AT_ONCE // (len(prompts) * length))
            prompt = np.repeat(prompts, several)  # [request]
            tried = np.tile(np.arange(length, length + several), len(prompts))
            inside = tried <= self.suffixes.longest[prompt]
            succeeded = self._try(prompt[inside], tried[inside])
            prompts = np.setdiff1d(prompts, prompt[inside][succeeded])
            length += several

    def paper(self) -> None:
        self._failed = np.maximum(self._failed, np.minimum(1, self.length - 1))  # one token is never tried
        self._try(np.arange(len(self.length)), self.suffixes.longest)
        self._bisect(upper=True)

    def _bisect(self, *, upper: bool = False) -> None:
        """Halve the gap until there is none; of two lengths in its middle the lower one is tried, or the upper one."""
        while len(open_prompts := np.flatnonzero(self.length - self._failed > 1)):
            self._try(open_prompts, (self.length[open_prompts] + self._failed[open_prompts] + upper) // 2)

    def _try(self, prompts: Int64s, lengths: Int64s) -> npt.NDArray[np.bool_]:  # [request]
        """Evaluate suffixes; a prompt takes the shortest that succeeds. The full context always does."""
        values = self.suffixes.activations(prompts, lengths)
        succeeded: npt.NDArray[np.bool_] = self._sign[prompts] * values >= self._threshold[prompts]
        succeeded |= lengths == self.suffixes.longest[prompts]
        taken = np.flatnonzero(succeeded)
        taken = taken[np.argsort(-lengths[taken])]  # the shortest last: of several values for one index, numpy keeps it
        self.length[prompts[taken]] = lengths[taken]
        self.activation[prompts[taken]] = values[taken]
        self._failed[prompts[~succeeded]] = lengths[~succeeded]
        self._watch.progress("trim", int((self.length - self._failed <= 1).sum()), len(self.length), "prompts")
        return succeeded


def _prompt(model: TrimModel, corpus: TrimCorpus, place: Place, row: Int32s, length: int, activation: float) -> Prompt:
    """The record of a place whose last `length` tokens were kept; `row` is what the model reads."""
    ids = corpus.document_ids(place.document)
    following = int(ids[place.position + 1]) if place.position + 1 < len(ids) else None
    without_first = model.facts.first_token is None
    return Prompt(
        neuron=place.neuron,
        document=place.document,
        title=corpus.corpus.titles[place.document],
        position=place.position,
        start=place.position - length + 1,
        window_start=corpus.windows[place.window].start - without_first,
        token_ids=row.tolist(),
        tokens=model.token_texts(row.tolist()),
        activation=activation,
        full_activation=place.full_activation,
        kept_ratio=activation / place.full_activation if place.full_activation else 1.0,
        cluster=corpus.cluster(place.document),
        half=corpus.half(place.document),
        long=length > LONG,
        next_token_id=following,
        next_token=None if following is None else model.token_texts([following])[0],
    )


def collapse(prompts: Sequence[Prompt], corpus: TrimCorpus) -> tuple[list[Prompt], int]:
    """Keep the best of near-copies, per neuron and half; returns the kept prompts, in order, and how many were dropped.

    Near-copies are of the same cluster of documents, or end in the same 12 tokens. A prompt that was trimmed to fewer
    is compared with the tokens before it too: two sentences are not copies for ending in the same two tokens.
    The best has the largest full activation in magnitude; ties go to the lower document and position.
    """
    best_first = sorted(
        range(len(prompts)), key=lambda i: (-abs(prompts[i].full_activation), prompts[i].document, prompts[i].position)
    )
    clusters: set[tuple[NeuronId, Half, int]] = set()
    tails: set[tuple[NeuronId, Half, bytes]] = set()
    kept = []
    for i in best_first:
        prompt = prompts[i]
        end = corpus.document_ids(prompt.document)[max(0, prompt.position + 1 - TAIL) : prompt.position + 1]
        cluster = (prompt.neuron, prompt.half, prompt.cluster)
        tail = (prompt.neuron, prompt.half, end.tobytes())
        if cluster not in clusters and tail not in tails:
            clusters.add(cluster)
            tails.add(tail)
            kept.append(i)
    return [prompts[i] for i in sorted(kept)], len(prompts) - len(kept)
