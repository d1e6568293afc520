"""Synergy of heads: planted AND and OR circuits in closed form, and the null of random pairs on made-up effects."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import TARGET
from planted_mechanism import FIRST, NEURON, SECOND, Circuit, Predicted, circuit_model, donors, predicted, rows, shares

from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.cooperation import (
    QUANTITIES,
    _direction,
    _reading,
    cooperation,
    joint_effects,
    random_pairs,
    strongest_heads,
)
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.pair_null import PairNull, matched_synergy, pair_null
from headtorch.core.analysis.replacements import replacements
from headtorch.core.causes import Replacement, Synergy
from headtorch.core.errors import AddressError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, Interval

THIRD = HeadId(1, 0)


def asked(circuit: Circuit, kind: Replacement = "zero") -> list[Synergy]:
    model = circuit_model(circuit)
    by = replacements(model, kind, donors(), donors=2)
    return cooperation(model, rows(), NEURON, model.single_token(TARGET), [FIRST, SECOND, THIRD], by)


@pytest.mark.parametrize("circuit", ["and", "or", "mediated"])
@pytest.mark.parametrize("kind", ["zero", "resample"])
def test_effects_and_synergies_are_those_of_the_closed_form(circuit: Circuit, kind: Replacement) -> None:
    model = circuit_model(circuit)
    by = replacements(model, kind, donors(), donors=2)
    groups = [(FIRST,), (SECOND,), (FIRST, SECOND)]
    found = joint_effects(model, rows(), NEURON, model.single_token(TARGET), groups, by)
    for i, row in enumerate(rows()):
        others = [(0.0, 0.0)] if kind == "zero" else [shares(list(by.pool_rows[d])) for d in by.drawn(row)]
        clean = predicted(circuit, row)

        def effect(name: str, after: list[Predicted], clean: Predicted = clean) -> float:
            return float(np.mean([getattr(clean, name) - getattr(one, name) for one in after]))

        for name in QUANTITIES:
            first = effect(name, [predicted(circuit, row, s) for s, _ in others])
            second = effect(name, [predicted(circuit, row, None, t) for _, t in others])
            joint = effect(name, [predicted(circuit, row, *both) for both in others])
            assert found.of(name, [FIRST])[i] == pytest.approx(first, abs=1e-4)
            assert found.of(name, [SECOND, FIRST])[i] == pytest.approx(joint, abs=1e-4)
            assert found.synergy(name, (FIRST, SECOND))[i] == pytest.approx(first + second - joint, abs=1e-4)


def test_two_heads_of_which_both_are_needed_cooperate() -> None:
    for found in asked("and"):
        [pair, *rest] = found.pairs
        assert (pair.first, pair.second) == (FIRST, SECOND)
        assert pair.synergy > 1 and pair.reading == "cooperation"
        assert pair.interval is not None and pair.interval.low > 0
        if found.quantity == "pre_activation":  # each alone takes all there is: I = e(A) = e(B) = e(A ∪ B)
            assert [one.effect for one in found.heads[:2]] == pytest.approx([pair.joint] * 2, abs=1e-4)
            assert pair.synergy == pytest.approx(pair.joint, abs=1e-4)
            assert found.joint == pytest.approx([pair.joint] * 3, abs=1e-4)
            assert found.sum == pytest.approx(2 * pair.joint, abs=1e-4)
        assert all(abs(one.synergy) < 1e-4 and one.reading == "neither" for one in rest)


def test_two_heads_of_which_either_will_do_are_redundant() -> None:
    for found in asked("or"):
        [pair, *_] = found.pairs
        assert pair.synergy < -1 and pair.reading == "redundancy"
        assert pair.synergy == pytest.approx(sum(one.effect for one in found.heads[:2]) - pair.joint, abs=1e-9)
        assert abs(found.heads[0].effect) < 0.2 * pair.joint


def test_the_reading_turns_with_the_sign_of_what_the_heads_do() -> None:
    """The same circuits on another token, which " States" displaces: effects on its log p are negative."""
    for circuit, expected in (("and", "cooperation"), ("or", "redundancy")):
        model = circuit_model(circuit)  # type: ignore[arg-type]
        by = replacements(model, "zero")
        displaced = model.single_token(" treaty")
        found = cooperation(model, rows(), NEURON, displaced, [FIRST, SECOND], by)[QUANTITIES.index("log_p")]
        assert found.pairs[0].joint < 0 and found.pairs[0].reading == expected


def test_without_enough_random_pairs_of_like_effects_a_synergy_is_untested() -> None:
    model = circuit_model("and")
    by, others = replacements(model, "zero"), list(combinations([HeadId(1, i) for i in range(4)], 2))
    token = model.single_token(TARGET)
    for found in cooperation(model, rows(), NEURON, token, [FIRST, SECOND], by, others=others):
        assert (found.pairs[0].reading, found.pairs[0].p, found.pairs[0].matched) == ("untested", None, 0)
        assert found.pairs[0].synergy > 1


def test_heads_that_push_in_opposite_directions_are_not_read() -> None:
    assert _direction(1.5, Interval(1, 2), [-2.0, 3.5]) == 0
    assert _direction(1.5, Interval(1, 2), [-0.1, -0.2]) == 1
    assert _direction(0.5, Interval(-1, 2), [0.2, 0.3]) == 0
    assert _direction(-1.5, Interval(-2, -1), [0.1, -1.5]) == -1
    known = PairNull(20, 0.01, None)
    for direction, interval, expected in (
        (1, Interval(1, 2), "cooperation"),
        (1, Interval(-2, -1), "redundancy"),
        (-1, Interval(-2, -1), "cooperation"),
        (0, Interval(1, 2), "neither"),
        (1, Interval(-1, 1), "neither"),
    ):
        assert _reading(direction, interval, known) == expected
    assert _reading(1, Interval(1, 2), PairNull(20, 0.5, None)) == "neither"
    assert _reading(1, Interval(1, 2), PairNull(3, None, None)) == "untested"


def test_joint_effects_equal_joint_ablation(tiny_model: Callable[..., LanguageModel]) -> None:
    model, some = tiny_model("llama"), [[1, 5, 9, 4], [1, 3, 7], [1, 8, 2, 6]]
    neuron, token, heads = NEURON, 17, [HeadId(0, 1), HeadId(1, 2)]
    by = replacements(model, "resample", [[1, 2, 3], [1, 4, 4], [1, 9, 9, 2]], donors=2)
    found = joint_effects(model, some, neuron, token, [[heads[0]], heads], by)
    for group, change in zip(
        ([heads[0]], heads), ablate_heads(model, some, neuron, token, [heads[0], heads], by=by), strict=True
    ):
        np.testing.assert_allclose(found.of("log_p", group), -change.delta_log_p, atol=1e-6)
        np.testing.assert_allclose(found.of("activation", group), -change.delta_activation, atol=1e-6)
    alone = effects(model, some, [neuron] * 3, by)
    np.testing.assert_allclose(found.of("pre_activation", [heads[0]]), alone.pre_activation[:, 0, 1], atol=1e-5)
    np.testing.assert_allclose(found.of("activation", [heads[0]]), alone.activation[:, 0, 1], atol=1e-5)
    with pytest.raises(AddressError, match="cannot feed"):
        joint_effects(model, some, neuron, token, [[HeadId(2, 0)]], by)


def test_the_strongest_heads_and_random_pairs_of_the_others() -> None:
    size = np.full((2, 3, 2), np.nan)
    size[:, :2] = [[[4.0, -8.0], [0.1, 1.0]], [[2.0, -8.0], [0.1, 3.0]]]
    assert strongest_heads(size, 3) == [HeadId(0, 1), HeadId(0, 0), HeadId(1, 1)]
    assert len(strongest_heads(size, 99)) == 4
    heads = strongest_heads(size, 2)
    pairs = random_pairs(size, heads, count=99)
    assert len(pairs) == len(set(pairs)) == 5 and (heads[1], heads[0]) not in pairs
    first = [random_pairs(size, heads, count=1, seed=seed)[0] for seed in range(200)]
    assert first.count((HeadId(0, 1), HeadId(1, 1))) > 60 > first.count((HeadId(0, 0), HeadId(1, 0)))


def curved(e: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the curvature behind two heads alone makes of effects [prompt 2]."""
    found: NDArray[np.float64] = -0.3 * e[:, 0] * e[:, 1]
    return found


def made_up_pairs(draw: np.random.Generator, n: int) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    pairs = [np.abs(draw.normal(draw.uniform(0.5, 2), 0.3, (30, 2))) for _ in range(n)]
    return pairs, [curved(one) + draw.normal(0, 0.05) + draw.normal(0, 0.05, 30) for one in pairs]


def test_a_pair_like_the_others_is_found_as_often_as_chance_says() -> None:
    draw = np.random.default_rng(0)
    p = []
    for _ in range(200):
        pairs, synergies = made_up_pairs(draw, 40)
        found = pair_null(pairs[0], synergies[0], pairs[1:], synergies[1:])
        if found.p is not None:
            assert found.matched >= 10
            p.append(found.p)
    assert len(p) > 100
    assert np.mean(np.array(p) <= 0.1) < 0.17


def test_a_pair_with_more_synergy_than_its_effects_bring_is_found_and_curvature_alone_is_not() -> None:
    draw = np.random.default_rng(1)
    pairs, synergies = made_up_pairs(draw, 60)
    effects_of_pair = np.full((30, 2), 1.2) + draw.normal(0, 0.2, (30, 2))
    alone = pair_null(effects_of_pair, curved(effects_of_pair), pairs, synergies)
    assert alone.p is not None and alone.p > 0.1 and curved(effects_of_pair).mean() < -0.3
    assert alone.interval is not None and alone.interval.high < 0
    more = pair_null(effects_of_pair, curved(effects_of_pair) + 0.5, pairs, synergies)
    assert more.p is not None and more.p == 1 / (1 + more.matched)


def test_without_random_pairs_of_like_effects_there_is_no_p() -> None:
    draw = np.random.default_rng(2)
    pairs, synergies = made_up_pairs(draw, 30)
    found = pair_null(np.full((30, 2), 50.0), np.zeros(30), pairs, synergies)
    assert (found.matched, found.p, found.interval) == (0, None, None)


def test_prompts_are_matched_in_either_order_of_the_heads() -> None:
    others = np.array([[0.0, 3.0], [1.0, 2.0], [9.0, 9.0]])
    mean, distance = matched_synergy(np.array([[3.0, 0.0], [1.0, 2.5]]), others, np.array([10.0, 20.0, 70.0]))
    assert (mean, distance) == (15.0, 0.25)


def test_every_pair_of_the_heads_is_there() -> None:
    found = asked("and")[0]
    assert [(one.first, one.second) for one in found.pairs] == list(combinations([FIRST, SECOND, THIRD], 2))
    assert len(found.joint) == 3 and found.joint_interval is not None
