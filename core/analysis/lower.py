"""Prompts on which a neuron fires less than on its strongest ones: the other side for heads active on all of those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.trim import Place, TrimCorpus, TrimModel, collapse, cut, trim
from headtorch.core.records import Half, NeuronId, Prompt
from headtorch.core.settings import TrimMethod
from headtorch.core.watch import SILENT, Watch


def lower_prompts(
    model: TrimModel,
    corpus: TrimCorpus,
    index: ActivationIndex,
    strongest: Sequence[Prompt],
    *,
    sign: int = 1,
    count: int,
    ratio: float = 0.8,
    method: TrimMethod = "doubling",
    watch: Watch = SILENT,
) -> list[Prompt]:
    """At most `count` prompts from lower bins of the activation histogram, beside the strongest of a neuron and half.

    The neuron does less (`sign` × activation) on each than on any of the strongest. They are drawn from the index's
    samples, one from each bin in turn and the highest bin first, so that weak firing and silence are both among them;
    one a cluster of documents, near-copies collapsed. They are trimmed like the strongest, but a context that keeps 0.8
    of hardly any activation is one token. So that length says little about the bin, each is at least as long as one of
    the strongest, in turn, as far as its context goes.
    """
    drawn = _drawn(corpus, index, strongest, sign, count)
    places = [place for place, _ in drawn]
    trimmed = trim(model, corpus, places, ratio=ratio, method=method, watch=watch)
    lengths = np.maximum(_lengths(trimmed), np.resize(_lengths(strongest), len(trimmed)))
    prompts = cut(model, corpus, places, lengths, watch=watch)
    kept, _ = collapse(
        [msgspec.structs.replace(prompt, bin=bin) for prompt, (_, bin) in zip(prompts, drawn, strict=True)], corpus
    )
    return kept


def _lengths(prompts: Sequence[Prompt]) -> np.ndarray:  # int [prompt], tokens of the document
    return np.array([prompt.position - prompt.start + 1 for prompt in prompts], np.int64)


def _drawn(
    corpus: TrimCorpus, index: ActivationIndex, strongest: Sequence[Prompt], sign: int, count: int
) -> list[tuple[Place, int]]:
    """Places and their bins, one a cluster of documents."""
    if not strongest:
        return []
    neuron, half = strongest[0].neuron, strongest[0].half
    weakest = min(sign * prompt.full_activation for prompt in strongest)
    samples = [_weaker(index, neuron, half, bin, sign, weakest) for bin in range(index.n_bins)[::-sign]]
    clusters: set[int] = set()
    found: list[tuple[Place, int]] = []
    while len(found) < count:
        before = len(found)
        for sample in samples:
            place = next((one for one in sample if corpus.cluster(one[0].document) not in clusters), None)
            if place is not None:
                clusters.add(corpus.cluster(place[0].document))
                found.append(place)
        if len(found) == before:
            break
    return found[:count]


def _weaker(
    index: ActivationIndex, neuron: NeuronId, half: Half, bin: int, sign: int, weakest: float
) -> Iterator[tuple[Place, int]]:
    """The sampled places of a bin where sign × activation is below `weakest`."""
    sample = index.reservoir(neuron, bin, half)
    for activation, document, position, window in zip(
        sample.activation, sample.document, sample.position, sample.window, strict=True
    ):
        if sign * activation < weakest:
            yield Place(neuron, int(document), int(position), int(window), float(activation)), bin
