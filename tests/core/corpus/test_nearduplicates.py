"""Near-duplicates end up in one cluster and one half, whatever their order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from headtorch.core.corpus import open_corpus
from headtorch.core.corpus.nearduplicates import Signer, find_clusters, shingles, split_halves

VOCABULARY = [f"word{i}" for i in range(5_000)]


def random_text(rng: np.random.Generator, words: int = 400) -> list[str]:
    return [VOCABULARY[i] for i in rng.integers(len(VOCABULARY), size=words)]


def edited(rng: np.random.Generator, words: list[str], edits: int) -> list[str]:
    """A copy with so many words replaced."""
    copy = list(words)
    for position in rng.choice(len(words), size=edits, replace=False):
        copy[position] = f"new{rng.integers(10**9)}"
    return copy


@cache
def word_sets(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(one: str, other: str) -> float:
    """Exact Jaccard similarity of the sets of 5 words in a row."""
    shared = len(word_sets(one) & word_sets(other))
    return shared / (len(word_sets(one)) + len(word_sets(other)) - shared)


def signatures(texts: Sequence[str]) -> np.ndarray:
    signer = Signer()
    return np.stack([signer.signature(text) for text in texts])


def clusters(texts: Sequence[str]) -> list[int]:
    return find_clusters(signatures(texts)).tolist()


def test_shingles_are_five_words_without_case_and_punctuation() -> None:
    assert list(shingles("One, two -- THREE four; five six.")) == [
        b"one two three four five",
        b"two three four five six",
    ]
    assert list(shingles("Only three words!")) == [b"only three words"]
    assert len(list(shingles("第一の文書です。"))) == 3  # each sign of a script without spaces is a word
    assert list(shingles("?!")) == []


@pytest.mark.parametrize("edits", [0, 4, 16, 30, 60, 200])
def test_the_estimate_is_within_five_standard_errors_of_the_exact_similarity(edits: int) -> None:
    rng = np.random.default_rng(edits)
    one = random_text(rng)
    texts = [" ".join(one), " ".join(edited(rng, one, edits))]
    exact = jaccard(*texts)
    first, second = signatures(texts)
    assert abs((first == second).mean() - exact) <= 5 * np.sqrt(exact * (1 - exact) / 256) + 1e-12


def planted_corpus(seed: int) -> list[str]:
    """Originals with close copies (exact similarity over 0.6) and far ones (under 0.4), shuffled."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(25):
        original = random_text(rng)
        copies = [edited(rng, original, edits) for edits in rng.choice([0, 2, 8, 60, 100], size=3)]
        texts += [" ".join(words) for words in [original, *copies]]
    return [texts[i] for i in rng.permutation(len(texts))]


@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_are_the_components_of_exact_similarity(seed: int) -> None:
    texts = planted_corpus(seed)
    exact = np.array([[jaccard(one, other) for other in texts] for one in texts])
    assert not ((exact > 0.42) & (exact < 0.58)).any()  # else the estimate may differ from the exact value
    n_clusters, expected = connected_components(exact >= 0.5)
    found = clusters(texts)
    assert len(set(found)) == n_clusters < len(texts)
    assert len(set(zip(found, expected.tolist(), strict=True))) == n_clusters  # the same partition


def test_a_copy_of_a_copy_is_with_the_original_though_unlike_it() -> None:
    rng = np.random.default_rng(7)
    versions = [random_text(rng, 1000)]
    for _ in range(4):
        versions.append(edited(rng, versions[-1], 40))
    chain = [" ".join(version) for version in versions]
    assert jaccard(chain[0], chain[-1]) < 0.35
    assert all(jaccard(one, other) > 0.6 for one, other in pairwise(chain))
    other = " ".join(random_text(rng, 1000))
    assert clusters([chain[0], other, chain[4], chain[2], chain[1], chain[3]]) == [0, 1, 0, 0, 0, 0]


def test_the_partition_does_not_depend_on_order() -> None:
    texts = planted_corpus(3)
    original = clusters(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = clusters([texts[i] for i in order])
    pairs = {(original[old], new) for old, new in zip(order, shuffled, strict=True)}
    assert len(pairs) == len(set(original)) == len(set(shuffled))


def test_many_equal_documents_and_many_without_words_are_quick_and_right() -> None:
    found = clusters(["the same five or six words"] * 3_000 + [f"{'!' * i}" for i in range(1, 50)])
    assert found == [0] * 3_000 + list(range(1, 50))


def digests(texts: Sequence[str]) -> np.ndarray:
    return np.stack([np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts])


def halves(texts: Sequence[str]) -> list[bool]:
    return split_halves(np.array(clusters(texts), dtype=np.int32), digests(texts)).tolist()


def test_no_cluster_is_in_both_halves() -> None:
    texts = planted_corpus(5)
    pairs = set(zip(clusters(texts), halves(texts), strict=True))
    assert len(pairs) == len(set(clusters(texts)))
    assert {half for _, half in pairs} == {True, False}


def test_the_half_of_a_text_depends_neither_on_order_nor_on_the_other_texts() -> None:
    texts = planted_corpus(6)
    half_of = dict(zip(texts, halves(texts), strict=True))
    assert halves(texts[::-1]) == [half_of[text] for text in texts[::-1]]
    strangers = [" ".join(random_text(np.random.default_rng(s))) for s in range(100, 130)]
    assert halves(strangers + texts)[30:] == [half_of[text] for text in texts]


@pytest.mark.parametrize("count", range(2, 8))
def test_two_clusters_or_more_fill_both_halves(count: int) -> None:
    for trial in range(40):  # without the rule, 40 pairs would all differ with probability 1e-12
        numbers = np.arange(count, dtype=np.int32)
        content = digests([f"{trial} {i}" for i in range(count)])
        assert set(split_halves(numbers, content).tolist()) == {True, False}


def test_halves_of_many_clusters_are_near_equal() -> None:
    explain = split_halves(np.arange(4_000, dtype=np.int32), digests([str(i) for i in range(4_000)])).sum()
    assert abs(explain - 2_000) < 5 * np.sqrt(1_000)


def test_an_opened_corpus_keeps_clusters_and_halves(tmp_path: Path) -> None:
    texts = planted_corpus(8)
    for index, text in enumerate(texts):
        (tmp_path / f"{index:03d}.txt").write_text(text)
    for _ in ("read", "stored"):
        corpus = open_corpus(str(tmp_path))
        assert corpus.clusters.tolist() == clusters(texts)
        assert corpus.halves.tolist() == halves(texts)
        assert corpus.facts.clusters == len(set(clusters(texts)))
