"""The survey against plain Hugging Face hooks, and how its windows are drawn from clusters and splits."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from fake_model import FakeCorpus
from naive_effects import modules_of
from tiny_models import tiny_hf, tiny_model

from headtorch.core.analysis.survey import Survey, survey, surveyed_windows
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId

NEURONS = [NeuronId(2, 5), NeuronId(0, 3), NeuronId(2, 1)]
CONTEXT = 17  # 16 counted positions a window


class SplitCorpus(FakeCorpus):
    """Documents of whole windows, with clusters and halves that are given."""

    def __init__(self, windows: list[int], clusters: list[int], training: list[bool]) -> None:
        super().__init__([(CONTEXT - 1) * n for n in windows], context=CONTEXT)
        self.corpus.clusters = np.array(clusters, np.int32)
        self.corpus.halves = np.array(training)


def even_corpus(documents: int) -> SplitCorpus:
    """Every document of one window and a cluster of its own, every other one for training."""
    return SplitCorpus([1] * documents, list(range(documents)), [d % 2 == 0 for d in range(documents)])


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


def take(corpus: FakeCorpus, tokens: int, seed: int = 0) -> Survey:
    return survey(model_of("llama"), corpus, [NeuronId(0, 2)], tokens=tokens, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "opt"])
def test_activations_are_those_of_plain_hooks_at_the_same_positions(family: str) -> None:
    corpus = SplitCorpus([2, 1, 3], [0, 1, 2], [True, False, True])
    corpus.documents[1][-3:] = 7
    read = survey(model_of(family), corpus, NEURONS, tokens=10**6, seed=0)  # type: ignore[arg-type]
    hf, seen = tiny_hf(family), dict[int, torch.Tensor]()
    for layer in (0, 2):
        module = modules_of(hf, "mlp_output")[layer]
        module.register_forward_pre_hook(lambda _m, inputs, layer=layer: seen.update({layer: inputs[0]}))
    for number, window in enumerate(read.windows):
        row = corpus.windows[window]
        with torch.no_grad():
            hf(torch.tensor(row.ids)[None].long(), use_cache=False)
        mine = np.flatnonzero(read.row == number)
        assert read.offset[mine].tolist() == list(range(1, len(row.ids)))
        for n, neuron in enumerate(NEURONS):
            expected = seen[neuron.layer].reshape(len(row.ids), -1)[1:, neuron.index]
            np.testing.assert_allclose(read.activation[n, mine], expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(read.of(neuron), read.activation[n])


@pytest.mark.parametrize("first_token", [99, None])
def test_every_position_but_the_first_of_a_row_is_there_once_with_its_document_and_token(
    first_token: int | None,
) -> None:
    corpus = FakeCorpus([40, 3, 70], context=CONTEXT, first_token=first_token)
    corpus.corpus.clusters, corpus.corpus.halves = np.array([5, 6, 5]), np.array([True, False, True])
    read = take(corpus, 10**6)
    places = list(zip(read.document.tolist(), read.position.tolist(), strict=True))
    first = 0 if first_token is not None else 1
    assert places == [(d, p) for d, ids in enumerate(corpus.documents) for p in range(first, len(ids))]
    assert read.token.tolist() == [int(corpus.documents[d][p]) for d, p in places]
    assert read.cluster.tolist() == [int(corpus.corpus.clusters[d]) for d, _ in places]
    assert read.held_out.tolist() == [d == 1 for d, _ in places]
    for row, offset, token in zip(read.row, read.offset, read.token, strict=True):
        assert read.rows[row][offset] == token


def test_a_small_corpus_is_read_whole_and_a_large_one_up_to_the_budget() -> None:
    corpus = even_corpus(40)
    assert take(corpus, 10**6).windows == list(range(40))
    for tokens in (16 * 10, 16 * 10 + 15):
        read = take(corpus, tokens)
        assert len(read) == 16 * 10


def test_both_splits_share_the_budget_and_a_small_one_leaves_its_rest_to_the_other() -> None:
    even = take(even_corpus(40), 16 * 10)
    assert int(even.held_out.sum()) == len(even) // 2
    uneven = SplitCorpus([1] * 40, list(range(40)), [d >= 2 for d in range(40)])
    read = take(uneven, 16 * 10)
    assert int(read.held_out.sum()) == 16 * 2 and len(read) == 16 * 10


def test_no_cluster_gives_a_second_window_before_every_one_has_given_its_first() -> None:
    sizes, clusters = [30, 30, *[2] * 18], [0, 0, *range(1, 19)]
    corpus = SplitCorpus(sizes, clusters, [cluster % 2 == 0 for cluster in clusters])
    for seed in range(3):
        windows = surveyed_windows(corpus, 16 * 30, seed)  # type: ignore[arg-type]
        drawn = Counter(clusters[corpus.windows[w].document] for w in windows)
        total = Counter(clusters[window.document] for window in corpus.windows)
        for cluster, other in ((a, b) for a in total for b in total if a % 2 == b % 2):
            assert drawn[other] == total[other] or drawn[cluster] <= drawn[other] + 1
        assert sum(drawn.values()) == 30


def test_the_draw_is_that_of_the_seed() -> None:
    corpus = even_corpus(60)
    assert take(corpus, 16 * 20, seed=3).windows == take(corpus, 16 * 20, seed=3).windows
    assert take(corpus, 16 * 20, seed=3).windows != take(corpus, 16 * 20, seed=4).windows
