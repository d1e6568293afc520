"""Heads exchanged within matched pairs, against whole forward passes of plain Hugging Face models."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from effect_cases import model_of, plain
from naive_effects import Change, head_outputs_at_end, modules_of, neuron_at_end
from torch import Tensor, nn

from headtorch.core.analysis.matched_patching import (
    JOINT,
    SINGLE,
    Exchanged,
    Pairs,
    counted,
    exchange,
    first_heads,
    head_sets,
    heads_for_most,
    limited,
    ranked_heads,
)
from headtorch.core.analysis.position_replay import Queries
from headtorch.core.records import HeadId, NeuronId

FAMILIES = ["gpt2", "llama", "gpt_neox", "gemma2"]
WITHOUT_POSITIONS = ["llama", "qwen3", "gpt_neox", "gpt_neox_sequential", "gemma2", "mistral", "bloom"]
ROWS = [[5, 9, 3, 7, 11, 2, 40, 8, 21, 6], [4, 4, 9, 30, 2, 7, 8], [12, 3, 5, 6, 7, 22, 90, 1, 2, 17, 8, 60]]
ON, OFF = [(0, 7), (0, 9), (2, 4)], [(1, 6), (2, 3), (0, 3)]  # the last pair: " the same token" 7
SAME_TOKEN = [((0, 7), (1, 6)), ((0, 7), (2, 10)), ((0, 3), (1, 5)), ((2, 4), (0, 3))]
NEURON = NeuronId(2, 5)
Ends = list[tuple[int, int]]


def queries(ends: Ends, neuron: NeuronId = NEURON) -> Queries:
    rows, offsets = (np.array(one) for one in zip(*ends, strict=True))
    return Queries.of(neuron, rows, offsets)


def pairs_of(on: Ends, off: Ends, neuron: NeuronId = NEURON) -> Pairs:
    return Pairs(neuron, queries(on, neuron), queries(off, neuron))


def cut(end: tuple[int, int]) -> list[int]:
    return ROWS[end[0]][: end[1] + 1]


def naive(family: str, end: tuple[int, int], other: tuple[int, int], heads: list[HeadId]) -> float:
    """The neuron at one end with the heads' outputs of the other end put in."""
    facts, donors = model_of(family).facts, head_outputs_at_end(plain(family), cut(other))

    def put_in(layer: int) -> Change:
        columns = [h.index * facts.d_head + i for h in heads if h.layer == layer for i in range(facts.d_head)]

        def change(z: Tensor) -> None:
            z[-1, columns] = donors[layer][columns]

        return change

    return neuron_at_end(plain(family), cut(end), NEURON, {layer: put_in(layer) for layer in {h.layer for h in heads}})[
        0
    ]


def mask_of(family: str, heads: list[HeadId]) -> np.ndarray:
    mask = np.zeros((model_of(family).facts.n_layers, model_of(family).facts.n_heads), bool)
    for head in heads:
        mask[head.layer, head.index] = True
    return mask


@pytest.mark.parametrize("family", FAMILIES)
def test_exchanged_heads_do_what_they_do_in_whole_forward_passes(family: str) -> None:
    sets = [[HeadId(0, 2)], [HeadId(1, 1)], [HeadId(0, 0), HeadId(1, 3), HeadId(0, 3)]]
    masks = np.stack([mask_of(family, heads) for heads in sets])
    [done] = exchange(model_of(family), ROWS, [pairs_of(ON, OFF)], [masks], [True])
    clean = {end: neuron_at_end(plain(family), cut(end), NEURON, {})[0] for end in [*ON, *OFF]}
    near = {"rtol": 1e-3, "atol": 2e-4 * max(map(abs, clean.values()))}
    for i, (on, off) in enumerate(zip(ON, OFF, strict=True)):
        np.testing.assert_allclose(done.difference[i], clean[on] - clean[off], **near)
        taken = [clean[on] - naive(family, on, off, heads) for heads in sets]
        restored = [naive(family, off, on, heads) - clean[off] for heads in sets]
        np.testing.assert_allclose(done.taken[:, i], taken, **near)
        np.testing.assert_allclose(done.restored[:, i], restored, **near)


@pytest.mark.parametrize("family", WITHOUT_POSITIONS)
def test_all_heads_take_and_restore_all_of_every_pair_where_positions_enter_by_attention_alone(family: str) -> None:
    on, off = [list(one) for one in zip(*SAME_TOKEN, strict=True)]
    assert [ROWS[r][p] for r, p in on] == [ROWS[r][p] for r, p in off]
    every = model_of(family).eligible_heads(NEURON.layer)[None]
    [done] = exchange(model_of(family), ROWS, [pairs_of(on, off)], [every], [True])
    assert np.abs(done.difference).min() > 1e-3
    np.testing.assert_allclose(done.taken[0], done.difference, rtol=1e-3, atol=1e-4 * np.abs(done.difference).max())
    np.testing.assert_allclose(done.restored[0], done.difference, rtol=1e-3, atol=1e-4 * np.abs(done.difference).max())


def test_with_position_embeddings_all_heads_take_all_only_where_positions_are_equal() -> None:
    rows = [[5, 9, 3, 7, 11], [4, 2, 9, 7, 30], [4, 7, 9, 30, 2]]
    every = model_of("gpt2").eligible_heads(NEURON.layer)[None]
    ends = [(0, 3), (0, 3)], [(1, 3), (2, 1)]
    [done] = exchange(model_of("gpt2"), rows, [pairs_of(*ends)], [every], [True])
    assert done.taken[0, 0] == pytest.approx(done.difference[0], rel=1e-3)
    assert done.taken[0, 1] != pytest.approx(done.difference[1], rel=1e-2)


def test_several_neurons_share_a_pass_and_one_way_restores_nothing() -> None:
    model, other = model_of("llama"), NeuronId(1, 7)
    masks = [mask_of("llama", [HeadId(0, 1)])[None], np.stack([mask_of("llama", [HeadId(1, i)]) for i in range(2)])]
    together = exchange(model, ROWS, [pairs_of(ON, OFF), pairs_of(OFF, ON, other)], masks, [False, True])
    [alone] = exchange(model, ROWS, [pairs_of(ON, OFF)], masks[:1], [True])
    np.testing.assert_allclose(together[0].taken, alone.taken, rtol=1e-4, atol=1e-6)
    assert not together[0].restored.any() and alone.restored.any()
    [alone] = exchange(model, ROWS, [pairs_of(OFF, ON, other)], masks[1:], [True])
    np.testing.assert_allclose(together[1].taken, alone.taken, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(together[1].restored, alone.restored, rtol=1e-4, atol=1e-6)


def test_of_a_neuron_that_fires_negatively_activations_count_times_its_sign() -> None:
    model, pairs = model_of("llama"), pairs_of(ON, OFF)
    negative = Pairs(NEURON, pairs.on, pairs.off, sign=-1)
    masks = mask_of("llama", [HeadId(0, 1)])[None]
    one, other = exchange(model, ROWS, [pairs, negative], [masks, masks], [True, True])
    for name in ("difference", "taken", "restored"):
        np.testing.assert_allclose(getattr(other, name), -getattr(one, name), rtol=1e-5)
    ranked, reversed_order = ranked_heads(model, ROWS, [pairs, negative])
    assert reversed_order == ranked[::-1]
    assert limited(negative, 2).sign == -1


def gradient_at_end(family: str, row: list[int]) -> list[Tensor]:
    """∂a/∂z [head·d_head] of every layer up to the neuron's, by plain hooks and one backward pass."""
    hf, nudges, seen = plain(family), list[Tensor](), list[Tensor]()

    def nudge(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        nudges.append(torch.zeros(inputs[0].shape[-1], requires_grad=True))
        last = torch.zeros(len(row), 1)
        last[-1] = 1.0
        return (inputs[0] + (last * nudges[-1]).view_as(inputs[0]), *inputs[1:])

    with ExitStack() as hooks, torch.enable_grad():
        for module in modules_of(hf, "attention_output")[: NEURON.layer + 1]:
            hooks.callback(module.register_forward_pre_hook(nudge).remove)
        output = modules_of(hf, "mlp_output")[NEURON.layer]
        hooks.callback(output.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0])).remove)
        hf(torch.tensor([row]), use_cache=False)
        activation = seen[0].reshape(len(row), -1)[-1, NEURON.index]
        return list(torch.autograd.grad(activation, nudges, allow_unused=True))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_heads_are_ranked_by_the_gradient_times_the_difference_of_their_outputs(family: str) -> None:
    facts = model_of(family).facts
    estimate = np.zeros((facts.n_layers, facts.n_heads))
    for on, off in zip(ON, OFF, strict=True):
        slopes = gradient_at_end(family, cut(on))
        z_on, z_off = (head_outputs_at_end(plain(family), cut(end)) for end in (on, off))
        for layer, slope in enumerate(slopes):
            if slope is not None:
                product = slope * (z_on[layer] - z_off[layer])
                estimate[layer] += product.view(facts.n_heads, -1).sum(1).numpy()
    [ranked] = ranked_heads(model_of(family), ROWS, [pairs_of(ON, OFF)])
    eligible = [HeadId(int(k), int(i)) for k, i in np.argwhere(model_of(family).eligible_heads(NEURON.layer))]
    assert ranked == sorted(eligible, key=lambda head: -estimate[head.layer, head.index])


def test_the_sets_are_the_strongest_heads_alone_then_some_and_all_together() -> None:
    model = model_of("llama")
    ranked = [HeadId(k, i) for k in (1, 0, 2) for i in range(4)]
    masks = head_sets(model, NeuronId(2, 0), ranked)
    as_sets = [{HeadId(int(k), int(i)) for k, i in np.argwhere(mask)} for mask in masks]
    singles = [{head} for head in ranked[:SINGLE]]
    assert as_sets == [*singles, *(set(ranked[:count]) for count in JOINT), set(ranked)]
    firsts = first_heads(model, ranked, [1, 7, 12])
    assert [{HeadId(int(k), int(i)) for k, i in np.argwhere(mask)} for mask in firsts] == [
        set(ranked[:1]), set(ranked[:7]), set(ranked)
    ]  # fmt: skip


def test_counts_are_dense_at_first_and_end_with_all_heads() -> None:
    for n in (1, 2, 7, 8, 9, 36, 171, 1024):
        counts = counted([HeadId(0, i) for i in range(n)])
        assert counts[:8] == list(range(1, min(n, 8) + 1)) and counts[-1] == n
        assert all(a < b <= 1.25 * a + 1 for a, b in pairwise(counts))


@pytest.mark.parametrize(
    ("taken", "heads"), [([1, 5, 8.0, 10], 3), ([9, 7, 8, 10], 1), ([1, 2, 3, 7.9], None), ([1, 2, 3, 8.1], 9)]
)
def test_the_number_of_heads_for_most_is_the_smallest_that_takes_80_percent(
    taken: list[float], heads: int | None
) -> None:
    halves = np.array([[one / 4, 3 * one / 4] for one in taken])
    done = Exchanged(np.array([4.0, 6.0]), halves, np.zeros_like(halves))
    assert heads_for_most(done, [1, 2, 3, 9]) == heads
    assert heads_for_most(Exchanged(np.array([-4.0, 2.0]), halves, halves), [1, 2, 3, 9]) is None


def test_limited_pairs_are_spread_over_all() -> None:
    many = pairs_of([(0, i % 10) for i in range(100)], [(1, i % 7) for i in range(100)])
    some = limited(many, 10)
    assert len(some) == 10 and limited(many, 100).on.offset.tolist() == many.on.offset.tolist()
    indices = [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert some.on.offset.tolist() == [i % 10 for i in indices] and some.off.offset.tolist() == [i % 7 for i in indices]
