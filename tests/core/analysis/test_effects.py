"""Effects of heads against one whole forward pass for every head, prompt and replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from effect_cases import asked, made, model_of, others_of, plain, stand_ins
from hf_reference import KINDS
from naive_effects import neuron_at_end
from tiny_models import FAMILIES, tiny_model
from torch import Tensor, nn

from headtorch.core.analysis.effect_records import effect_records
from headtorch.core.analysis.effects import Effects, effects
from headtorch.core.analysis.gradient import gradient_estimate
from headtorch.core.analysis.replacements import Replacements, replacements
from headtorch.core.causes import Replacement, Where
from headtorch.core.errors import AddressError, InputError, Interrupted
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch

MENU: list[tuple[Replacement, Where]] = [
    ("resample", "last"), ("mean", "last"), ("zero", "last"), ("double", "last"), ("mean", "all"), ("zero", "all")
]  # fmt: skip


def naive(family: str, row: list[int], neuron: NeuronId, by: Replacements, where: Where) -> np.ndarray:
    """[quantity, layer, head], nan where a head does not feed the neuron."""
    model, hf = model_of(family), plain(family)
    d_head, found = model.facts.d_head, np.full((2, model.facts.n_layers, model.facts.n_heads), np.nan)
    clean = np.array(neuron_at_end(hf, row, neuron, {}))
    given = stand_ins(by, family, row)
    for k, h in np.argwhere(model.eligible_heads(neuron.layer)).tolist():
        mine = slice(h * d_head, (h + 1) * d_head)
        after = []
        for vectors in given:

            def change(z: Tensor, vectors: list[Tensor] = vectors, k: int = k, mine: slice = mine) -> None:
                z[-1 if where == "last" else slice(None), mine] = vectors[k][mine]

            after.append(neuron_at_end(hf, row, neuron, {k: change}))
        found[:, k, h] = clean - np.mean(after, axis=0)
    return found


def assert_naive(family: str, kind: Replacement, where: Where) -> Effects:
    rows, neurons = asked(family)
    by = made(family, kind)
    found = effects(model_of(family), rows, neurons, by, where=where)
    for i, (row, neuron) in enumerate(zip(rows, neurons, strict=True)):
        activation, pre_activation = naive(family, row, neuron, by, where)
        np.testing.assert_allclose(found.activation[i], activation, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(found.pre_activation[i], pre_activation, atol=1e-4, rtol=1e-4)
        clean = neuron_at_end(plain(family), row, neuron, {})
        np.testing.assert_allclose((found.clean_activation[i], found.clean_pre_activation[i]), clean, atol=1e-4)
    assert np.nanmax(np.abs(found.pre_activation)) > 0.1
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("replacement", "where"), MENU)
def test_effects_equal_one_forward_pass_for_each_head(kind: str, replacement: Replacement, where: Where) -> None:
    assert_naive(kind, replacement, where)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in KINDS])
def test_effects_equal_one_forward_pass_for_each_head_in_every_family(family: str) -> None:
    assert_naive(family, *MENU[FAMILIES.index(family) % len(MENU)])
    if FAMILIES.index(family) % len(MENU):
        assert_naive(family, "resample", "last")


def test_zero_at_all_positions_is_what_value_vectors_of_zero_everywhere_do() -> None:
    """As Neo, Cohen and Barez ablate a head: here in the fused projection of GPT-2."""
    model, hf = model_of("gpt2"), plain("gpt2")
    row, neuron, width, d_head = asked("gpt2")[0][1], NeuronId(2, 4), model.facts.d_model, model.facts.d_head
    found = effects(model, [row], [neuron], replacements(model, "zero"), where="all")
    clean = np.array(neuron_at_end(hf, row, neuron, {}))
    for k, h in [(0, 1), (1, 3), (2, 0)]:
        mine = slice(2 * width + h * d_head, 2 * width + (h + 1) * d_head)

        def without_values(_module: nn.Module, _inputs: Any, output: Tensor, mine: slice = mine) -> None:
            output[..., mine] = 0

        handle = hf.transformer.h[k].attn.c_attn.register_forward_hook(without_values)
        effect = clean - np.array(neuron_at_end(hf, row, neuron, {}))
        handle.remove()
        np.testing.assert_allclose((found.activation[0, k, h], found.pre_activation[0, k, h]), effect, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma2", "olmo2"])
@pytest.mark.parametrize("where", ["last", "all"])
def test_a_prompt_has_the_same_effects_alone_and_among_others(family: str, where: Where) -> None:
    rows, neurons = asked(family)
    by = made(family, "resample" if where == "last" else "mean")
    together = effects(model_of(family), rows, neurons, by, where=where)
    for i, (row, neuron) in enumerate(zip(rows, neurons, strict=True)):
        alone = effects(model_of(family), [row], [neuron], by, where=where)
        np.testing.assert_allclose(alone.activation[0], together.activation[i], atol=2e-5)
        np.testing.assert_allclose(alone.pre_activation[0], together.pre_activation[i], atol=2e-5)


def test_passes_of_a_few_replacements_at_a_time_give_the_same_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, neurons = asked("gpt2")
    found = [effects(model_of("gpt2"), rows, neurons, made("gpt2", "resample"))]
    monkeypatch.setattr("headtorch.core.analysis.replay.pass_tokens", lambda device: 5)
    found.append(effects(model_of("gpt2"), rows, neurons, made("gpt2", "resample")))
    np.testing.assert_allclose(found[0].activation, found[1].activation, atol=2e-5)


def test_a_replay_leaves_the_model_as_it_was() -> None:
    model = tiny_model("gpt2")
    before = model.logits(torch.tensor([[1, 2, 3]]))
    effects(model, [[1, 2, 3]], [NeuronId(2, 1)], replacements(model, "zero"))
    gradient_estimate(model, [[1, 2, 3]], [NeuronId(2, 1)], replacements(model, "zero"))
    torch.testing.assert_close(model.logits(torch.tensor([[1, 2, 3]])), before, rtol=0, atol=0)
    assert not any("forward" in vars(block) or block._forward_pre_hooks for block in model.block_modules)


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_that_cannot_feed_the_neuron_have_no_effect_at_all(family: str) -> None:
    model, (rows, neurons) = model_of(family), asked(family)
    by = replacements(model, "zero")
    for found in (effects(model, rows, neurons, by), gradient_estimate(model, rows, neurons, by)):
        for i, neuron in enumerate(neurons):
            eligible = model.eligible_heads(neuron.layer)
            np.testing.assert_array_equal(np.isfinite(found.activation[i]), eligible)
            np.testing.assert_array_equal(np.isfinite(found.pre_activation[i]), eligible)


def test_donors_follow_from_the_prompt_and_are_never_the_prompt_itself() -> None:
    model, pool = model_of("gpt2"), others_of("gpt2")
    by = replacements(model, "resample", pool, donors=4, seed=1)
    drawn = by.drawn(pool[0])
    assert drawn == by.drawn(pool[0]) and len(set(drawn)) == 4
    assert tuple(pool[0]) not in [by.pool_rows[i] for i in drawn]
    assert any(by.drawn([1, k]) != by.drawn([1, 0]) for k in range(1, 5))
    assert any(by.drawn([1, k]) != replacements(model, "resample", pool, seed=2).drawn([1, k]) for k in range(5))


def test_donors_are_drawn_evenly() -> None:
    by = Replacements("resample", donors=2, pool_rows=tuple((i,) for i in range(5)), pool=torch.zeros(5, 1, 1, 1))
    counts = np.bincount([i for k in range(1000) for i in by.drawn([7, k])], minlength=5)
    assert counts.min() > 340 and counts.max() < 460  # 400 each, sd 15


def test_what_cannot_be_replaced_is_said() -> None:
    model = model_of("gpt2")
    only = replacements(model, "resample", [[1, 2]])
    with pytest.raises(InputError, match="there is none; use a larger corpus"):
        effects(model, [[1, 2]], [NeuronId(2, 1)], only)
    for kind in ("resample", "mean"):
        with pytest.raises(InputError, match="made from other texts"):
            replacements(model, kind)
    for kind in ("resample", "double"):
        with pytest.raises(InputError, match="for the last position alone"):
            effects(model, [[1, 2]], [NeuronId(2, 1)], Replacements(kind), where="all")
    with pytest.raises(AddressError, match="has no neuron"):
        effects(model, [[1, 2]], [NeuronId(3, 1)], replacements(model, "zero"))
    with pytest.raises(InputError, match="reads at most"):
        effects(model, [[1] * 65], [NeuronId(2, 1)], replacements(model, "zero"))


def test_effects_can_be_stopped_between_passes() -> None:
    class Stop(Watch):
        def checkpoint(self) -> None:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        effects(model_of("gpt2"), [[1, 2]], [NeuronId(2, 1)], replacements(model_of("gpt2"), "zero"), watch=Stop())


def test_records_hold_the_effects_by_layer_and_head() -> None:
    model, (rows, neurons) = model_of("gpt_neox"), asked("gpt_neox")
    by = made("gpt_neox", "mean")
    found, estimate = effects(model, rows, neurons, by), gradient_estimate(model, rows, neurons, by)
    records = effect_records(model, rows, found, estimate)
    assert [record.neuron for record in records] == neurons
    for i, record in enumerate(records):
        assert record.token_ids == rows[i]
        for quantity in ("activation", "pre_activation"):
            for effects_of, held in ((found, record.effects), (estimate, record.estimate)):
                grid = np.array(getattr(held, quantity), dtype=float)  # None becomes nan
                np.testing.assert_array_equal(grid, getattr(effects_of, quantity)[i])
        assert record.estimate_error is not None
        off = np.nanmax(np.abs(found.activation[i] - estimate.activation[i]))
        assert record.estimate_error.activation.max == pytest.approx(off)
    assert effect_records(model, rows, found)[0].estimate is None
