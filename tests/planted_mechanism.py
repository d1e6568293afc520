"""Circuits set by hand for what becomes of a token when heads are taken away: AND, OR, mediation, self-repair.

Each is the planted model without noise (`planted.py`), with its two heads and one more part. At a token " United" the
first head writes s·O₁ and the second t·O₂, s and t the attention that their looked-up tokens get; all other heads
and neurons are silent. x̂ is x after a LayerNorm, (·)₊ is ReLU, and all directions are orthonormal and of zero mean:

    r₀ = embedding + position + s·O₁ + t·O₂,  O₁ = 4A, O₂ = 4B but where said

    and         m = (⟨A + B, r̂₀⟩ − 4.5)₊, added as 4m·C: nothing unless both heads find something
    or          m = (⟨A + B, r̂₀⟩)₊ − (⟨A + B, r̂₀⟩ − 2)₊, added as 4m·C: as much from one head as from both
                n = (⟨2C, r̂₁⟩ + 0.25)₊, added as 6n·S, S the direction of " States"
    mediated    n = (⟨A, r̂₁⟩ − 0.5)₊, added as 6n·S
    unmediated  O₁ = 4A + 5S, and n = 0.25 whatever the heads do
    both        O₁ = 4A + 5S, and n as in "mediated"
    repaired    O₁ = 4A + 5S; a later head attends from " United" to itself and writes 2·⟨U/2 − A, r̂₀⟩·S, U the
                direction of " United": it writes nothing while A is there and makes up for it when A is gone

The last r goes through the final norm, whose gain is 0.15, and against the embeddings: `predicted` is all of this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import planted
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId

Circuit = Literal["and", "or", "mediated", "unmediated", "both", "repaired"]
Vector = NDArray[np.float64]

FIRST, SECOND, NEURON = planted.HEAD, planted.SECOND_HEAD, planted.NEURON
BACKUP = HeadId(1, 3)
SHARP, BACKUP_GAIN, DIRECT = 12.0, 2.0, 5.0
ROWS = (
    " letter treaty land banner United",
    " our treaty with eagle after treaty and treaty United",
    " a crest long day of work at home before the treaty in the town of trade United",
    " by banner anthem and law treaty United",
)
DONORS = (" the coast of iron land United", " so treaty labor United", " flag treaty banner made")


@dataclass(frozen=True)
class Neuron:
    """A ReLU neuron: what it reads behind the norm, its bias, what it writes."""

    layer: int
    index: int
    reads: Vector
    bias: float
    writes: Vector


@dataclass(frozen=True)
class Space:
    """The directions, fp64."""

    united: Vector
    states: Vector
    first: Vector  # A
    second: Vector  # B
    carrier: Vector  # C


@cache
def space() -> Space:
    hf, tokens = planted.planted_hf(noise=0.0), planted.planted_tokenizer().get_vocab()
    d_head, output = planted.WIDTH // planted.HEADS, hf.transformer.h[0].attn.c_proj.weight
    united, states, treaty = (
        hf.transformer.wte.weight[tokens[t]].detach() / planted.TOKEN_LENGTH
        for t in (planted.TRIGGER, planted.TARGET, planted.LOOKED_UP)
    )
    first, second = (output[head.index * d_head].detach() / planted.LOOKUP_LENGTH for head in (FIRST, SECOND))
    named = [united, states, treaty, first, second, *hf.transformer.wpe.weight.detach()[:8], torch.ones(planted.WIDTH)]
    named.append(hf.transformer.wte.weight[tokens[planted.FLAGS[0]]].detach())
    basis = torch.linalg.svd(torch.stack(named).double())[2]
    carrier = basis[-1]  # orthogonal to all of them
    return Space(*(one.double().numpy() for one in (united, states, first, second, carrier)))


def neurons(circuit: Circuit) -> list[Neuron]:
    s = space()
    both = s.first + s.second
    if circuit == "and":
        middle = [Neuron(0, 3, both, -4.5, 4 * s.carrier)]
    elif circuit == "or":
        middle = [Neuron(0, 3, both, 0.0, 4 * s.carrier), Neuron(0, 4, both, -2.0, -4 * s.carrier)]
    else:
        middle = []
    reads, bias = {
        "and": (2 * s.carrier, 0.25),
        "or": (2 * s.carrier, 0.25),
        "mediated": (s.first, -0.5),
        "both": (s.first, -0.5),
        "unmediated": (0 * s.first, 0.25),
        "repaired": (0 * s.first, 0.25),
    }[circuit]
    return [*middle, Neuron(NEURON.layer, NEURON.index, reads, bias, 6 * s.states)]


def first_output(circuit: Circuit) -> Vector:
    return 4 * space().first + (DIRECT * space().states if circuit in ("unmediated", "both", "repaired") else 0)


def circuit_hf(circuit: Circuit) -> GPT2LMHeadModel:
    hf, d_head = planted.planted_hf(noise=0.0), planted.WIDTH // planted.HEADS
    blocks = hf.transformer.h
    with torch.no_grad():
        blocks[0].attn.c_proj.weight[FIRST.index * d_head] = torch.tensor(first_output(circuit)).float()
        for neuron in neurons(circuit):
            mlp = blocks[neuron.layer].mlp
            mlp.c_fc.weight[:, neuron.index] = torch.tensor(neuron.reads).float()
            mlp.c_fc.bias[neuron.index] = neuron.bias
            mlp.c_proj.weight[neuron.index] = torch.tensor(neuron.writes).float()
        if circuit == "repaired":
            _plant_backup(blocks[BACKUP.layer].attn, d_head)
    return hf


def _plant_backup(attention: torch.nn.Module, d_head: int) -> None:
    s = space()
    query, key, value = (part * planted.WIDTH + BACKUP.index * d_head for part in range(3))
    united, reads = (torch.tensor(one).float() for one in (s.united, s.united / 2 - s.first))
    attention.c_attn.weight[:, query] = attention.c_attn.weight[:, key] = SHARP / 8 * united
    attention.c_attn.weight[:, value] = reads
    attention.c_proj.weight[BACKUP.index * d_head] = torch.tensor(BACKUP_GAIN * s.states).float()


@cache
def circuit_model(circuit: Circuit) -> LanguageModel:
    return LanguageModel.from_hf(circuit_hf(circuit), planted.planted_tokenizer(), name=circuit)


def rows() -> list[list[int]]:
    return [circuit_model("and").row(text) for text in ROWS]


def donors() -> list[list[int]]:
    return [circuit_model("and").row(text) for text in DONORS]


def shares(row: list[int]) -> tuple[float, float]:
    """The attention that " treaty", and that flags, get from the end of the row."""
    tokens, weight = circuit_model("and").token_texts(row), math.exp(planted.SHARPNESS)
    found = []
    for looked_up in ({planted.LOOKED_UP}, set(planted.FLAGS)):
        matches = sum(token in looked_up for token in tokens)
        sharp = matches * weight / (matches * weight + len(row) - matches)
        found.append(sharp if tokens[-1] == planted.TRIGGER else matches / len(row))
    return found[0], found[1]


@dataclass(frozen=True)
class Predicted:
    """What the circuit does at the end of a row."""

    pre_activation: float
    activation: float
    log_p: float
    logit: float


def normed(x: Vector) -> Vector:
    x = x - x.mean()
    found: Vector = x / math.sqrt(float((x**2).mean()) + planted.EPS)
    return found


def residual_stream(circuit: Circuit, row: list[int]) -> Vector:
    """What the heads of layer 0 find at the end of the row: its embedding and position."""
    weights = circuit_model(circuit).hf.transformer
    found: Vector = (weights.wte.weight[row[-1]] + weights.wpe.weight[len(row) - 1]).double().numpy()
    return found


def predicted(
    circuit: Circuit,
    row: list[int],
    first: float | None = None,
    second: float | None = None,
    *,
    held: float | None = None,
) -> Predicted:
    """The closed form; `first` and `second` stand in for the heads' shares, `held` for the neuron's activation."""
    s, t = shares(row)
    r = residual_stream(circuit, row)
    r = (
        r
        + (s if first is None else first) * first_output(circuit)
        + (t if second is None else second) * 4 * space().second
    )
    r, pre, activation = _through(circuit, r, held)
    return _read(circuit, r, pre, activation)


def frozen(circuit: Circuit, row: list[int], first: float) -> Predicted:
    """The closed form where the first head's share is another and everything behind it keeps its clean value."""
    s, t = shares(row)
    r = residual_stream(circuit, row) + s * first_output(circuit) + t * 4 * space().second
    r, pre, activation = _through(circuit, r, None)
    scale = math.sqrt(float(((r - r.mean()) ** 2).mean()) + planted.EPS)
    moved = normed(r) + (first - s) * first_output(circuit) / scale
    return _logits(circuit, moved, pre, activation)


def _through(circuit: Circuit, r: Vector, held: float | None) -> tuple[Vector, float, float]:
    every = neurons(circuit)
    before = normed(r)
    r = r + sum(max(float(n.reads @ before) + n.bias, 0.0) * n.writes for n in every if n.layer == 0)
    if circuit == "repaired":
        r = r + BACKUP_GAIN * float((space().united / 2 - space().first) @ normed(r)) * space().states
    [neuron] = [n for n in every if n.layer == NEURON.layer]
    pre = float(neuron.reads @ normed(r)) + neuron.bias
    activation = max(pre, 0.0) if held is None else held
    return r + activation * neuron.writes, pre, activation


def _read(circuit: Circuit, r: Vector, pre: float, activation: float) -> Predicted:
    return _logits(circuit, normed(r), pre, activation)


def _logits(circuit: Circuit, last: Vector, pre: float, activation: float) -> Predicted:
    model = circuit_model(circuit)
    logits = model.hf.transformer.wte.weight.double().numpy() @ (planted.FINAL_GAIN * last)
    target = float(logits[model.single_token(planted.TARGET)])
    return Predicted(pre, activation, target - float(np.logaddexp.reduce(logits)), target)
