"""A head that reaches the neuron only through a later head, in a GPT-2 set by hand: its effects in closed form.

The circuit, at a token " United", on top of the planted model without noise (all directions are orthonormal and of zero
mean, so that LayerNorm only divides):

- L0.H2, the finder, writes 4·s·A, where s is the attention that " treaty" gets (`planted.py` has its formula);
- L1.H3, the relay, attends from " United" to itself: what it reads at p is A, and it writes R;
- L2.N7, the neuron, reads R alone. All other heads write nothing that counts and every other neuron is silent.

So the finder's direct attribution is 0 and all that it does goes through the relay. With the finder's share s, clean or
what stands in for it, in a row of T tokens:

    σ₁² = (64 + 4 + 16·s²)/64 + 1e-5                    in front of the relay
    κ = e^β / (e^β + T − 1),  β = c²/(4·σ₁²)             its attention to " United" itself
    y = 5·κ·4·s/σ₁                                      what it writes
    σ₂² = (64 + 4 + 16·s² + y²)/64 + 1e-5               in front of the neuron
    pre-activation = y/σ₂ − 0.25
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import planted
import pytest
import torch
from transformers import GPT2LMHeadModel

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.replacements import replacements
from headtorch.core.causes import Replacement, Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId

FINDER, RELAY, NEURON = planted.HEAD, HeadId(1, 3), NeuronId(2, 7)
SHARP, GAIN, BIAS = 10.0, 5.0, -0.25
ROWS = (
    " letter treaty reform United",
    " our treaty with treaty after treaty and treaty United",
    " a long day of work at home before the treaty in the town of trade United",
)
OTHERS = (" the coast of iron land United", " one treaty United", " before it begins a treaty they trade United")


def relay_hf() -> GPT2LMHeadModel:
    hf, tokens = planted.planted_hf(noise=0.0), planted.planted_tokenizer().get_vocab()
    d_head = planted.WIDTH // planted.HEADS
    with torch.no_grad():
        united, written = (hf.transformer.wte.weight[tokens[t]] / 8 for t in (planted.TRIGGER, planted.TARGET))
        found = hf.transformer.h[0].attn.c_proj.weight[FINDER.index * d_head] / planted.LOOKUP_LENGTH
        hf.transformer.h[1].mlp.c_fc.bias[planted.NEURON.index] = -100.0
        relay = hf.transformer.h[RELAY.layer].attn
        query, key, value = (part * planted.WIDTH + RELAY.index * d_head for part in range(3))
        relay.c_attn.weight[:, query] = relay.c_attn.weight[:, key] = SHARP / 8 * united
        relay.c_attn.weight[:, value] = found
        relay.c_proj.weight[RELAY.index * d_head] = GAIN * written
        hf.transformer.h[NEURON.layer].mlp.c_fc.weight[:, NEURON.index] = written
        hf.transformer.h[NEURON.layer].mlp.c_fc.bias[NEURON.index] = BIAS
    return hf


@cache
def relay_model() -> LanguageModel:
    return LanguageModel.from_hf(relay_hf(), planted.planted_tokenizer(), name="relay")


def share(row: list[int]) -> float:
    """The attention that " treaty" gets from " United"."""
    matches = sum(relay_model().token_text(token) == planted.LOOKED_UP for token in row)
    looked_up = matches * math.exp(planted.SHARPNESS)
    return looked_up / (looked_up + len(row) - matches)


def relay_z(s: float, length: int) -> float:
    """κ·4·s/σ₁."""
    first = math.sqrt((68 + 16 * s**2) / 64 + planted.EPS)
    sharp = math.exp(SHARP**2 / (4 * first**2))
    return sharp / (sharp + length - 1) * 4 * s / first


def pre_activation(s: float, length: int, relay: float | None = None) -> float:
    """The closed form; `relay`: what stands in for the relay's z."""
    y = GAIN * (relay_z(s, length) if relay is None else relay)
    return y / math.sqrt((68 + 16 * s**2 + y**2) / 64 + planted.EPS) + BIAS


def rows() -> list[list[int]]:
    return [relay_model().row(text) for text in ROWS]


def relu(x: float) -> float:
    return max(x, 0.0)


def test_the_closed_form_is_what_the_model_computes() -> None:
    model = relay_model()
    found = effects(model, rows(), [NEURON] * 3, replacements(model, "zero"))
    for i, row in enumerate(rows()):
        assert found.clean_pre_activation[i] == pytest.approx(pre_activation(share(row), len(row)), abs=1e-4)
    assert found.clean_activation.min() > 1


@pytest.mark.parametrize(
    ("kind", "where"), [("zero", "last"), ("zero", "all"), ("double", "last"), ("mean", "last"), ("resample", "last")]
)
def test_a_head_that_works_through_a_later_head_has_the_effect_of_the_closed_form(
    kind: Replacement, where: Where
) -> None:
    model = relay_model()
    others = [model.row(text) for text in OTHERS]
    by = replacements(model, kind, others, donors=2)
    found = effects(model, rows(), [NEURON] * 3, by, where=where)
    for i, row in enumerate(rows()):
        s, length = share(row), len(row)
        stand_ins = {
            "zero": [0.0],
            "double": [2 * s],
            "mean": [float(np.mean([share(other) for other in others]))],
            "resample": [share(list(by.pool_rows[d])) for d in by.drawn(row)] if kind == "resample" else [],
        }[kind]
        clean, after = pre_activation(s, length), [pre_activation(one, length) for one in stand_ins]
        effect, through = clean - np.mean(after), relu(clean) - np.mean([relu(pre) for pre in after])
        assert found.pre_activation[i, FINDER.layer, FINDER.index] == pytest.approx(effect, abs=1e-4)
        assert found.activation[i, FINDER.layer, FINDER.index] == pytest.approx(through, abs=1e-4)


def test_its_direct_attribution_is_zero_and_the_relay_has_it_all() -> None:
    model = relay_model()
    direct = attribute(model, rows(), [NEURON] * 3).direct
    found = effects(model, rows(), [NEURON] * 3, replacements(model, "zero"))
    for i, row in enumerate(rows()):
        s, length = share(row), len(row)
        assert abs(direct[i, FINDER.layer, FINDER.index]) < 1e-5
        assert direct[i, RELAY.layer, RELAY.index] == pytest.approx(pre_activation(s, length) - BIAS, abs=1e-4)
        without = pre_activation(s, length) - pre_activation(s, length, relay=0.0)
        assert found.pre_activation[i, RELAY.layer, RELAY.index] == pytest.approx(without, abs=1e-4)
        twice = pre_activation(s, length) - pre_activation(s, length, relay=2 * relay_z(s, length))
        doubled = effects(model, [row], [NEURON], replacements(model, "double"))
        assert doubled.pre_activation[0, RELAY.layer, RELAY.index] == pytest.approx(twice, abs=1e-4)


def test_no_other_head_does_anything() -> None:
    model = relay_model()
    found = effects(model, rows(), [NEURON] * 3, replacements(model, "zero")).pre_activation
    for head in (FINDER, RELAY):
        found[:, head.layer, head.index] = 0
    assert np.nanmax(np.abs(found)) < 1e-4
