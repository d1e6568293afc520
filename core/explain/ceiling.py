"""The text ceiling: what any explanation by text alone could reach (METHOD 7), by a kernel ridge on the texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import rankdata

from headtorch.core.explain.lexicon import normal_word, token_classes

POSITIONS = 8  # tokens at the end whose place counts
BAG = 32  # tokens at the end whose words count wherever they are
BAG_WEIGHT, CLASS_WEIGHT = 3.0, 0.2  # beside 1 for tokens by position
SQUARE_WEIGHT = 4.0  # of two features together, beside each alone
RIDGES = np.logspace(-2, 2, 13)  # times the mean eigenvalue
LEAST_PER_CLASS = 5

Feature: TypeAlias = tuple[Hashable, float]  # name and weight
Sparse: TypeAlias = "scipy.sparse.csr_array[np.float64]"
Labels: TypeAlias = Sequence[bool] | Bool[np.ndarray, " text"]


class TextKernel:
    """Similarities of texts, made once for a set of training and held-out texts, for any number of labellings.

    k = c + 4c² of the cosine c of two texts, over three kinds of features: which tokens the last 8 are, by position d,
    each weighing 1/√d; which classes they belong to, likewise; which words are among the last 32 tokens, each weighing
    1/√d at its smallest distance d from the end. So any feature counts, and any two together.
    """

    def __init__(self, train_texts: Sequence[Sequence[str]], held_out_texts: Sequence[Sequence[str]]) -> None:
        texts = [tuple(text[-BAG:]) for text in (*train_texts, *held_out_texts)]
        self.n_train = len(train_texts)
        cosine = _cosines(texts, self.n_train)  # [text, training text]
        kernel = cosine + SQUARE_WEIGHT * cosine**2
        if self.n_train:
            mean = kernel[: self.n_train].mean(axis=0)
            kernel += mean.mean() - mean - kernel.mean(axis=1, keepdims=True)
        self._held_out = kernel[self.n_train :]
        values, self._vectors = scipy.linalg.eigh(kernel[: self.n_train]) if self.n_train else (np.zeros(0), kernel)
        self._values = np.maximum(values, 0.0)

    def auroc(self, train_labels: Labels, held_out_labels: Labels) -> float | None:
        """AUROC of the ridge, fitted on the training texts, on the held-out ones.

        The ridge parameter is that of least leave-one-out error on the training texts (closed form). None with fewer
        than 5 texts of either class in either split. Raises ValueError where labels and texts differ in number.
        """
        train, held_out = np.asarray(train_labels, dtype=bool), np.asarray(held_out_labels, dtype=bool)
        if (len(train), len(held_out)) != (self.n_train, len(self._held_out)):
            raise ValueError(f"{len(train)} and {len(held_out)} labels for {self.n_train} and {len(self._held_out)}.")
        if min(train.sum(), (~train).sum(), held_out.sum(), (~held_out).sum()) < LEAST_PER_CLASS:
            return None
        return auroc(self._held_out @ self._weights(train), held_out)

    def _weights(self, labels: Bool[np.ndarray, " text"]) -> Float[np.ndarray, " text"]:
        target = np.where(labels, 1.0, -1.0)
        target -= target.mean()
        along, squares = self._vectors.T @ target, self._vectors**2
        best, least = np.zeros(len(labels)), np.inf
        for ridge in RIDGES * max(float(self._values.mean()), 1e-12):
            shrunk = 1 / (self._values + ridge)
            weights = self._vectors @ (along * shrunk)
            error = float(((weights / (squares @ shrunk)) ** 2).sum())  # Σ of squared leave-one-out residuals
            if error < least:
                best, least = weights, error
        return best


def text_ceiling(
    train_texts: Sequence[Sequence[str]],
    train_labels: Labels,
    held_out_texts: Sequence[Sequence[str]],
    held_out_labels: Labels,
) -> float | None:
    """Held-out AUROC of a kernel ridge on the texts; see `TextKernel`."""
    return TextKernel(train_texts, held_out_texts).auroc(train_labels, held_out_labels)


def auroc(scores: Float[np.ndarray, " text"], labels: Bool[np.ndarray, " text"]) -> float:
    """P(score of a positive > that of a negative), ties counted half."""
    n_positive = int(labels.sum())
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (len(labels) - n_positive)))


def _cosines(texts: Sequence[tuple[str, ...]], n_train: int) -> Float[np.ndarray, "text train"]:
    words = _features(texts, _words)
    norms = np.sqrt(np.asarray(words.multiply(words).sum(axis=1)).ravel())
    bags = scipy.sparse.diags_array(math.sqrt(BAG_WEIGHT) / np.maximum(norms, 1e-12)) @ words
    classes = _features(texts, _classes_by_position) * math.sqrt(CLASS_WEIGHT)
    features = scipy.sparse.csr_array(scipy.sparse.hstack([_features(texts, _tokens_by_position), classes, bags]))
    norms = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
    unit = scipy.sparse.csr_array(scipy.sparse.diags_array(1 / np.maximum(norms, 1e-12)) @ features)
    cosines: NDArray[np.float64] = (unit @ scipy.sparse.csr_array(unit[:n_train]).T).toarray()
    return cosines


def _features(texts: Sequence[tuple[str, ...]], read: Callable[[tuple[str, ...]], Iterator[Feature]]) -> Sparse:
    """One row for each text, one column for each name that `read` gives."""
    numbers: dict[Hashable, int] = {}
    columns: list[int] = []
    weights: list[float] = []
    starts = [0]
    for text in texts:
        for name, weight in read(text):
            columns.append(numbers.setdefault(name, len(numbers)))
            weights.append(weight)
        starts.append(len(columns))
    return scipy.sparse.csr_array((weights, columns, starts), shape=(len(texts), max(1, len(numbers))))


def _tokens_by_position(text: tuple[str, ...]) -> Iterator[Feature]:
    for distance, token in enumerate(reversed(text[-POSITIONS:]), start=1):
        yield (distance, token), distance**-0.5


def _classes_by_position(text: tuple[str, ...]) -> Iterator[Feature]:
    for distance, token in enumerate(reversed(text[-POSITIONS:]), start=1):
        for name in token_classes(token):
            yield (distance, name), distance**-0.5


def _words(text: tuple[str, ...]) -> Iterator[Feature]:
    nearest: dict[str, int] = {}
    for distance, token in enumerate(reversed(text), start=1):
        nearest.setdefault(normal_word(token) or token, distance)
    for word, distance in nearest.items():
        yield word, distance**-0.5
