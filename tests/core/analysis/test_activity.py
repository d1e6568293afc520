"""Labels of prompts: each rule against a loop written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headtorch.core.analysis.activity import (
    active_heads,
    choose_heads,
    contrasted,
    head_activities,
    paper_rule_can_fire,
)
from headtorch.core.records import HeadActivity, HeadId, NeuronId

NEURON = NeuronId(2, 7)


def draws(seed: int = 0, prompts: int = 30, layers: int = 3, heads: int = 6) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(prompts, layers, heads))
    values[:, -1, :] = np.nan  # a layer that cannot feed the neuron
    return values


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("suppressing", [False, True])
def test_the_baseline_rule_is_two_deviations_from_the_heads_own_baseline(sign: int, suppressing: bool) -> None:
    values, rng = draws(), np.random.default_rng(1)
    mean, deviation = rng.normal(size=(3, 6)), rng.uniform(0.2, 0.8, size=(3, 6))
    found = active_heads(values, mean, deviation, sign=sign, suppressing=suppressing)
    direction = sign * (-1 if suppressing else 1)
    for prompt, layer, head in np.ndindex(*values.shape):
        expected = direction * (values[prompt, layer, head] - mean[layer, head]) > 2 * deviation[layer, head]
        assert found[prompt, layer, head] == expected
    assert found.any() and not found[:, -1].any()


def test_the_papers_rule_compares_the_heads_of_one_prompt() -> None:
    values = draws(heads=12)
    values[3, 0, 4] = 9.0
    values[5, 1, 2] = -9.0
    baseline = np.full((3, 12), 100.0)  # must not matter
    found = active_heads(values, baseline, baseline, rule="paper")
    mirrored = active_heads(values, baseline, baseline, rule="paper", suppressing=True)
    for prompt in range(len(values)):
        eligible = [float(value) for value in values[prompt].ravel() if not math.isnan(value)]
        mean = sum(eligible) / len(eligible)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in eligible) / (len(eligible) - 1))
        assert np.array_equal(found[prompt], values[prompt] > mean + 2 * deviation)
        assert np.array_equal(mirrored[prompt], values[prompt] < mean - 2 * deviation)
    assert found[3, 0, 4] and mirrored[5, 1, 2]


def test_the_papers_rule_never_fires_among_five_heads_and_can_among_six() -> None:
    for n_eligible in range(1, 12):
        values = np.full((1, 1, n_eligible), 0.1)
        values[0, 0, -1] = 1e3  # the most extreme prompt there can be
        fires = active_heads(values, np.zeros((1, n_eligible)), np.ones((1, n_eligible)), rule="paper").any()
        assert fires == paper_rule_can_fire(n_eligible) == (n_eligible > 5)


def test_top_k_takes_the_k_largest_above_zero() -> None:
    values = draws()
    values[0, :2] = -np.arange(1.0, 13.0).reshape(2, 6)
    found = active_heads(values, np.zeros((3, 6)), np.ones((3, 6)), rule="top-k", top_k=2)
    assert not found[0].any()
    for prompt in range(1, len(values)):
        largest = sorted((v for v in values[prompt].ravel() if not math.isnan(v) and v > 0), reverse=True)[:2]
        assert sorted(values[prompt][found[prompt]], reverse=True) == largest


def test_share_takes_the_fewest_heads_that_hold_the_share() -> None:
    values = np.array([[[5.0, 3.0, 2.0, -4.0, np.nan]], [[-1.0, -2.0, 0.0, -4.0, np.nan]]])
    zeros = np.zeros((1, 5))
    for share, expected in [(0.4, [0]), (0.5, [0]), (0.51, [0, 1]), (0.8, [0, 1]), (0.81, [0, 1, 2]), (1.0, [0, 1, 2])]:
        found = active_heads(values, zeros, zeros, rule="share", share=share)
        assert np.flatnonzero(found[0, 0]).tolist() == expected
        assert not found[1].any()
    assert np.flatnonzero(active_heads(values, zeros, zeros, rule="share", suppressing=True)[0, 0]).tolist() == [3]


def test_rounding_does_not_activate_a_head_that_never_varies() -> None:
    values = np.full((4, 1, 1), np.float32(0.1).item())
    assert not active_heads(values, np.full((1, 1), 0.1), np.zeros((1, 1))).any()
    assert active_heads(values + 1.0, np.full((1, 1), 0.1), np.zeros((1, 1))).all()


def test_records_keep_every_prompt_and_mark_suppressing_heads() -> None:
    values = np.zeros((8, 2, 2))
    values[:, 1] = np.nan
    values[::2, 0, 0] = 5.0  # supports on every other prompt, the first and the third of each half
    values[:2, 0, 1] = -5.0  # suppresses on two
    halves = ["explain"] * 4 + ["score"] * 4
    found = head_activities(NEURON, values, halves, np.zeros((2, 2)), np.ones((2, 2)))  # type: ignore[arg-type]
    assert [(one.head, one.suppressing) for one in found] == [(HeadId(0, 0), False), (HeadId(0, 1), True)]
    supporting, suppressing = found
    assert supporting.active == [True, False] * 4 and supporting.explain_share == 0.5
    assert supporting.mean_active == 5.0 and supporting.mean_inactive == 0.0
    assert suppressing.active == [True, True] + [False] * 6 and suppressing.explain_share == 0.5


def activity(share: float, head: int, mean: float | None = 1.0) -> HeadActivity:
    return HeadActivity(
        neuron=NEURON,
        head=HeadId(0, head),
        rule="baseline",
        suppressing=False,
        active=[],
        explain_share=share,
        mean_active=mean,
        mean_inactive=None,
    )


def test_heads_with_a_contrast_are_chosen_and_the_others_are_listed_apart() -> None:
    heads = [activity(share, i, float(i)) for i, share in enumerate([0.0, 0.24, 0.25, 0.5, 0.75, 0.76, 1.0])]
    choice = choose_heads(heads)
    assert [one.head.index for one in choice.explained] == [4, 3, 2]
    assert [one.head.index for one in choice.always] == [6, 5]
    assert [one.head.index for one in choice.rare] == [1, 0]


def test_an_always_active_head_is_explained_once_lower_prompts_give_it_a_contrast() -> None:
    heads = [activity(share, i) for i, share in enumerate([1.0, 0.8, 0.9, 0.5])]
    always = choose_heads(heads).always
    everywhere = [activity(share, i) for i, share in enumerate([0.75, 0.5, 0.76, 0.3])]
    found = contrasted(always, everywhere, lower=7)
    assert {one.head.index: (one.explain_share, one.lower) for one in found} == {0: (1.0, 7), 1: (0.8, 7)}
    assert contrasted(always, [], lower=7) == []
