"""The text ceiling, held against a ridge solved directly, and on texts that tell the label or do not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from random_texts import noisy_labels, random_texts

from headtorch.core.explain.ceiling import TextKernel, auroc, text_ceiling


def coin(n: int, seed: int) -> list[bool]:
    rng = random.Random(seed)
    return [rng.random() < 0.5 for _ in range(n)]


def united(text: tuple[str, ...]) -> bool:
    return " United" in text[-6:]


def test_text_that_tells_the_label_has_a_high_ceiling_and_noise_none() -> None:
    train, held_out = random_texts(300, seed=1), random_texts(200, seed=2)
    told = text_ceiling(train, [united(t) for t in train], held_out, [united(t) for t in held_out])
    assert told is not None and told > 0.95
    kernel = TextKernel(train, held_out)
    chance = [kernel.auroc(coin(300, seed), coin(200, seed + 50)) for seed in range(20)]
    assert np.mean([value for value in chance if value is not None]) == pytest.approx(0.5, abs=0.03)


def test_noise_in_held_out_labels_lowers_the_ceiling_as_it_must() -> None:
    """With a share q of the labels turned round, the AUROC of perfect knowledge is (1 − q) in balanced classes."""
    train, held_out = random_texts(400, seed=3), random_texts(400, seed=4)
    found = TextKernel(train, held_out).auroc(
        noisy_labels(train, united, seed=5), noisy_labels(held_out, united, seed=6)
    )
    assert found is not None and 0.7 < found < 0.86


def test_the_score_is_that_of_a_ridge_solved_directly() -> None:
    train, held_out = random_texts(60, seed=7), random_texts(40, seed=8)
    labels = np.array([united(text) for text in train])
    kernel = TextKernel(train, held_out)
    centred = kernel._vectors @ np.diag(kernel._values) @ kernel._vectors.T
    target = np.where(labels, 1.0, -1.0) - np.where(labels, 1.0, -1.0).mean()

    def left_out(ridge: float) -> float:
        """Σ of squared errors, each text predicted by a ridge on the others."""
        errors = []
        for i in range(60):
            rest = np.arange(60) != i
            alpha = np.linalg.solve(centred[np.ix_(rest, rest)] + ridge * np.eye(59), target[rest])
            errors.append(target[i] - centred[i, rest] @ alpha)
        return float(np.sum(np.square(errors)))

    ridges = np.logspace(-2, 2, 13) * kernel._values.mean()
    best = ridges[np.argmin([left_out(ridge) for ridge in ridges])]
    expected = np.linalg.solve(centred + best * np.eye(60), target)
    assert kernel._weights(labels) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([1.0, 0.0, 1.0, 0.5]), np.array([True, False, False, True])) == (0.5 + 1 + 0 + 1) / 4


@pytest.mark.parametrize("n", [0, 3, 12])
def test_too_few_texts_of_a_class_have_no_ceiling(n: int) -> None:
    texts = random_texts(n, seed=9)
    assert text_ceiling(texts, [False] * n, texts, [False] * n) is None


def test_labels_of_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 labels"):
        text_ceiling([(" a",)], [True, False], [(" b",)], [True])
