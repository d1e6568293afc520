"""Which heads are chosen by their effects, and on which places each is called active."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.claim_heads import (
    CANDIDATES,
    FEWEST,
    SPARSE_CANDIDATES,
    Labelled,
    candidate_heads,
    carries,
    choose_claim_heads,
    label_head,
)
from headtorch.core.records import HeadId

Array = NDArray[np.float64]
HEAD = HeadId(1, 2)
PLACES = 200
TRAIN = np.arange(PLACES) < 100


def label(
    effect: Array, attribution: Array, activation: Array | None = None, baseline: tuple[float, float] = (0.0, 0.5)
) -> Labelled:
    strength = np.full(PLACES, 2.0) if activation is None else activation
    return label_head(
        HEAD, effect=effect, attribution=attribution, activation=strength, train=TRAIN, baseline=baseline, sparse=False
    )


@pytest.fixture
def spread() -> Array:
    """Attributions around 0 in both splits, half of them above 1."""
    return np.random.default_rng(0).permuted(np.linspace(-1, 3, PLACES))


@pytest.mark.parametrize("sign", [1, -1])
def test_candidates_are_the_heads_of_largest_summed_estimate_of_either_direction(sign: int) -> None:
    estimate = np.random.default_rng(0).normal(size=(50, 4, 6)) * np.random.default_rng(1).uniform(0, 3, (4, 6))
    estimate[:, 3, 2:] = np.nan  # heads that cannot feed the neuron
    heads = candidate_heads(estimate, sign * np.full(50, 100.0))
    total = {HeadId(k, i): abs(estimate[:, k, i].sum()) for k in range(4) for i in range(6) if k < 3 or i < 2}
    assert heads == sorted(total, key=lambda head: -total[head])[:CANDIDATES]


@pytest.mark.parametrize("sign", [1, -1])
def test_candidates_for_sparse_heads_carry_some_places_though_their_sum_is_small(sign: int) -> None:
    rng = np.random.default_rng(0)
    estimate = rng.uniform(0.05, 0.1, (100, 3, 8))
    estimate[:, 2] = 0.0
    estimate[3:6, 2, 5], estimate[30:60, 2, 5] = 0.5, -0.05  # the positive and the negative cancel
    estimate[7:9, 2, 1] = 0.3
    heads = candidate_heads(sign * estimate, sign * np.ones(100))
    assert heads[CANDIDATES:] == [HeadId(2, 5), HeadId(2, 1)]
    assert len(heads) <= CANDIDATES + SPARSE_CANDIDATES


@pytest.mark.parametrize("sign", [1, -1])
def test_heads_are_chosen_by_the_ratio_of_sums_and_sparse_ones_by_the_places_that_they_carry(sign: int) -> None:
    activation = sign * np.concatenate([np.full(90, 1.0), np.full(10, 9.0)])
    effect = np.zeros((100, 6))
    effect[:, 0] = 0.1
    effect[90:, 1] = 2.0  # less per activation, though most in sum
    effect[:, 2] = -0.15  # suppressing
    effect[:4, 3] = 0.25  # sparse: carries 4 places
    effect[:2, 4] = 0.5  # carries 2 places: too few
    effect[:50, 5] = 0.1  # carries none
    by_sum, sparse = choose_claim_heads([HeadId(0, i) for i in range(6)], sign * effect, activation, 3)
    assert (by_sum, sparse) == ([1, 2, 0], [3])


def test_a_head_carries_where_its_effect_is_a_fifth_of_the_activation_or_more() -> None:
    effect, activation = np.array([0.2, 0.19, -0.5, -0.2, 0.2]), np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    assert carries(effect, activation).tolist() == [True, False, False, True, False]


def test_an_attribution_that_ranks_places_as_the_effect_does_labels_them(spread: Array) -> None:
    labelled = label(0.1 * spread**3, spread, baseline=(-0.2, 0.6))
    assert labelled.head.label == "attribution" and labelled.head.label_effect_spearman == pytest.approx(1)
    np.testing.assert_array_equal(labelled.active, spread + 0.2 > 1.2)
    assert labelled.head.active_share == pytest.approx((spread[TRAIN] > 1).mean())
    assert labelled.head.not_explained is None


def test_the_label_is_chosen_by_training_places_alone(spread: Array) -> None:
    effect = np.where(TRAIN, spread, -spread)
    assert label(effect, spread).head.label == "attribution"
    assert label(-effect, spread).head.label == "carries"
    assert label(effect, spread).head.effect == pytest.approx(spread[TRAIN].sum() / 200)


@pytest.mark.parametrize(("agreement", "kind"), [(0.9, "attribution"), (0.3, "carries"), (-1.0, "carries")])
def test_one_that_does_not_gives_way_to_places_that_the_head_carries(
    spread: Array, agreement: float, kind: str
) -> None:
    noise = np.random.default_rng(2).normal(size=PLACES)
    effect = 0.3 + 0.2 * (agreement * spread + np.sqrt(1 - agreement**2) * noise)
    labelled = label(effect, spread)
    assert labelled.head.label == kind
    expected = effect >= 0.2 * 2.0 if kind == "carries" else spread > 1.0
    np.testing.assert_array_equal(labelled.active, expected)


def test_a_suppressing_head_is_active_where_it_holds_the_neuron_back(spread: Array) -> None:
    labelled = label(spread - 2.5, spread - 2.5, baseline=(0.0, 0.5))
    assert labelled.head.suppressing and labelled.head.effect < 0 and labelled.head.label == "attribution"
    np.testing.assert_array_equal(labelled.active, spread - 2.5 < -1.0)
    flat = np.where(np.arange(PLACES) % 3 == 0, -0.5, -0.1)
    labelled = label(flat, spread)
    assert labelled.head.suppressing and labelled.head.label == "carries"
    np.testing.assert_array_equal(labelled.active, flat == -0.5)


def test_a_neuron_that_fires_negatively_is_driven_by_negative_effects(spread: Array) -> None:
    positive, negative = label(spread, spread), label(-spread, -spread, activation=np.full(PLACES, -2.0))
    assert not negative.head.suppressing and negative.head.effect == pytest.approx(positive.head.effect)
    np.testing.assert_array_equal(negative.active, positive.active)


@pytest.mark.parametrize(
    ("on", "reason"), [(FEWEST - 1, "too rare"), (FEWEST, None), (100 - FEWEST, None), (101 - FEWEST, "always active")]
)
def test_a_head_with_few_places_of_a_class_is_not_explained(on: int, reason: str | None) -> None:
    effect = np.where(np.arange(PLACES) % 100 < on, 1.0, 0.0)
    labelled = label(effect, np.zeros(PLACES))
    assert labelled.head.label == "carries" and labelled.head.label_effect_spearman is None
    assert (labelled.head.not_explained, labelled.head.active_share) == (reason, on / 100)
