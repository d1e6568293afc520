"""The text ceiling: what any explanation by text alone could reach (METHOD 7), by a kernel ridge on the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.stats import rankdata

from headtorch.core.explain.lexicon import normal_word

POSITIONS = 8  # tokens at the end whose place counts
BAG = 32  # tokens at the end whose words count wherever they are
RIDGES = np.logspace(-2, 2, 13)  # times the mean eigenvalue
LEAST_PER_CLASS = 5

Labels = Sequence[bool] | Bool[np.ndarray, " text"]


class TextKernel:
    """Similarities of texts, made once for a set of training and held-out texts, for any number of labellings.

    k(x, y) = Σ_d [x_d = y_d] / d over the last 8 tokens, plus the cosine of the bags of words of the last 32 tokens, a
    word weighing 1/√d at its smallest distance d from the end. Two texts count by the same words at the same places.
    """

    def __init__(self, train_texts: Sequence[Sequence[str]], held_out_texts: Sequence[Sequence[str]]) -> None:
        texts = [tuple(text[-BAG:]) for text in (*train_texts, *held_out_texts)]
        self.n_train = len(train_texts)
        kernel = _by_position(texts, self.n_train) + _by_words(texts, self.n_train)  # [text, training text]
        mean = kernel[: self.n_train].mean(axis=0) if self.n_train else np.zeros(0)
        centred = kernel - mean - kernel.mean(axis=1, keepdims=True) + mean.mean() if self.n_train else kernel
        self._held_out = centred[self.n_train :]
        values, self._vectors = scipy.linalg.eigh(centred[: self.n_train]) if self.n_train else (np.zeros(0), centred)
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


def _by_position(texts: Sequence[tuple[str, ...]], n_train: int) -> Float[np.ndarray, "text train"]:
    ids = _numbered([tuple(reversed(text[-POSITIONS:])) for text in texts])
    kernel = np.zeros((len(texts), n_train))
    for distance, column in enumerate(ids.T, start=1):
        same = (column[:, None] == column[None, :n_train]) & (column[:, None] >= 0)
        kernel += same / distance
    return kernel


def _numbered(texts: Sequence[tuple[str, ...]]) -> Int[np.ndarray, "text place"]:
    numbers: dict[str, int] = {}
    ids = np.full((len(texts), max(map(len, texts), default=0)), -1)
    for i, text in enumerate(texts):
        ids[i, : len(text)] = [numbers.setdefault(token, len(numbers)) for token in text]
    return ids


def _by_words(texts: Sequence[tuple[str, ...]], n_train: int) -> Float[np.ndarray, "text train"]:
    numbers: dict[str, int] = {}
    columns: list[int] = []
    weights: list[float] = []
    starts = [0]
    for text in texts:
        nearest: dict[int, int] = {}
        for distance, token in enumerate(reversed(text), start=1):
            nearest.setdefault(numbers.setdefault(normal_word(token) or token, len(numbers)), distance)
        columns.extend(nearest)
        weights.extend(distance**-0.5 for distance in nearest.values())
        starts.append(len(columns))
    bags = scipy.sparse.csr_array((weights, columns, starts), shape=(len(texts), max(1, len(numbers))))
    norms = np.sqrt(np.asarray(bags.multiply(bags).sum(axis=1)).ravel())
    scaled = scipy.sparse.csr_array(scipy.sparse.diags_array(1 / np.maximum(norms, 1e-12)) @ bags)
    train = scipy.sparse.csr_array(scaled[:n_train])
    dense: NDArray[np.float64] = (scaled @ train.T).toarray()
    return dense
