"""A GPT-2 whose weights are set by hand: a previous-token head and an induction head, each of which fires a neuron.

Everything else is small and random. At a cue, one of 74 words that share the direction `cue`:

- L0.H0 attends to the token before and writes what it was into the subspace "previous";
- L0.H1 looks for any of eight flags before and writes the direction B: a second way to fire both neurons;
- L1.H1 attends to tokens whose previous token was the present one, to the first token where there are none, and writes
  the direction A if what it finds is " States";
- L1.N5, the induction neuron, reads A + B and predicts " States";
- L1.N9, the previous-token neuron, fires if the token is a cue and, besides, either the previous one was " treaty" or
  there is B; it predicts " Nations".

All directions are orthonormal and of zero mean, so that LayerNorm only divides.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from planted import FLAGS, LOOKED_UP, OPENERS, START, TARGET, WORDS, random_matrices, word_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from headtorch.core.records import HeadId, NeuronId

PREVIOUS_TOKEN_HEAD, FLAG_HEAD, INDUCTION_HEAD = HeadId(0, 0), HeadId(0, 1), HeadId(1, 1)
INDUCTION_NEURON, PREVIOUS_TOKEN_NEURON = NeuronId(1, 5), NeuronId(1, 9)
SECOND_TARGET = " Nations"
CUES = [f" {word}" for word in WORDS[::3]]
FILLERS = [f" {word}" for word in WORDS if f" {word}" not in CUES]

LAYERS, HEADS, WIDTH, MLP_WIDTH, CONTEXT = 2, 3, 192, 32, 64
IDENTITY, FREQUENCIES = 60, 16  # dimensions of what a token is; of where it is, half of them
LENGTH, CUE_LENGTH, SHARPNESS = 8.0, 4.0, 24.0
NO_MATCH = 0.8  # of the score of a match: what the first token gets from a head that rests there
WRITE, FINAL_GAIN, EPS = 6.0, 0.15, 1e-5


def attention_tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer([LOOKED_UP, TARGET, SECOND_TARGET, *FLAGS])


@dataclass(frozen=True)
class _Space:
    """Which directions stand for what; rows are orthonormal and of zero mean."""

    identity: torch.Tensor  # [IDENTITY, WIDTH]; the first three are " States", " treaty" and " Nations"
    previous: torch.Tensor  # [IDENTITY, WIDTH], in the same order
    place: torch.Tensor  # [2·FREQUENCIES, WIDTH]
    cue: torch.Tensor
    flag: torch.Tensor
    found: torch.Tensor  # A
    second: torch.Tensor  # B
    start: torch.Tensor

    @classmethod
    def draw(cls, generator: torch.Generator) -> _Space:
        noise = torch.randn(WIDTH, WIDTH - 1, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(noise - noise.mean(0))[0].T
        identity, previous, place, rest = basis.split(
            [IDENTITY, IDENTITY, 2 * FREQUENCIES, WIDTH - 1 - 2 * IDENTITY - 2 * FREQUENCIES]
        )
        return cls(identity, previous, place, *rest[:5])


def _embeddings(space: _Space, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator) -> torch.Tensor:
    codes = torch.randn(len(tokenizer), IDENTITY - 3, generator=generator, dtype=torch.float64)
    rows = LENGTH * (codes / codes.norm(dim=1, keepdim=True)) @ space.identity[3:]  # [token, WIDTH]
    vocabulary = tokenizer.get_vocab()
    for index, token in enumerate((TARGET, LOOKED_UP, SECOND_TARGET)):
        rows[vocabulary[token]] = LENGTH * space.identity[index]
    for tokens, direction in ((CUES, space.cue), (FLAGS, space.flag), ([START], space.start)):
        rows[[vocabulary[token] for token in tokens]] += CUE_LENGTH * direction
    return rows


def _angles() -> torch.Tensor:  # [FREQUENCIES], odd multiples: neighbours are far apart in all of them together
    return 2 * math.pi / CONTEXT * (2 * torch.arange(FREQUENCIES, dtype=torch.float64) + 1)


def _places(space: _Space, shift: int = 0) -> torch.Tensor:  # [position, WIDTH]
    turned = (torch.arange(CONTEXT, dtype=torch.float64)[:, None] + shift) * _angles()
    return LENGTH / math.sqrt(FREQUENCIES) * torch.cat([turned.cos(), turned.sin()], dim=1) @ space.place


def _back_one(space: _Space) -> torch.Tensor:  # [2·FREQUENCIES, WIDTH]: reads a place as the one before it
    cosine, sine = torch.diag(_angles().cos()), torch.diag(_angles().sin())
    turn = torch.cat([torch.cat([cosine, sine], dim=1), torch.cat([-sine, cosine], dim=1)])
    return turn @ space.place


def _plant_head(
    hf: GPT2LMHeadModel, head: HeadId, query: torch.Tensor, key: torch.Tensor, length: float,
    reads: torch.Tensor, writes: torch.Tensor,
) -> None:  # fmt: skip
    """`head` matches ⟨query, x⟩ with ⟨key, x⟩, both of `length` where they match, and moves `reads` to `writes`.

    Rows are directions. `reads` comes out as long as it was, where one token has all the attention.
    """
    attention, d_head = hf.transformer.h[head.layer].attn, WIDTH // HEADS
    scale = math.sqrt(SHARPNESS * math.sqrt(d_head)) / length
    for part, rows in enumerate((scale * query, scale * key, reads)):
        start = part * WIDTH + head.index * d_head
        attention.c_attn.weight[:, start : start + d_head] = 0
        attention.c_attn.weight[:, start : start + len(rows)] = rows.T.float()
    own = slice(head.index * d_head, head.index * d_head + d_head)
    attention.c_proj.weight[own] = 0
    attention.c_proj.weight[own][: len(writes)] = writes.float()


def _rest_on_start(hf: GPT2LMHeadModel, head: HeadId, space: _Space) -> None:
    """Give `head` the first token to attend to where nothing matches."""
    attention, d_head = hf.transformer.h[head.layer].attn, WIDTH // HEADS
    size = math.sqrt(SHARPNESS * NO_MATCH * math.sqrt(d_head))
    query, key = ((part * HEADS + head.index + 1) * d_head - 1 for part in range(2))  # the last dimension of the head
    attention.c_attn.bias[query] = size
    attention.c_attn.weight[:, key] = (size / CUE_LENGTH * space.start).float()


def _plant_neuron(
    hf: GPT2LMHeadModel, neuron: NeuronId, reads: torch.Tensor, threshold: float, writes: torch.Tensor
) -> None:
    mlp = hf.transformer.h[neuron.layer].mlp
    mlp.c_fc.weight[:, neuron.index] = reads.float()
    mlp.c_fc.bias[neuron.index] = -threshold
    mlp.c_proj.weight[neuron.index] = (WRITE * writes).float()


def attention_hf(seed: int = 0) -> GPT2LMHeadModel:
    """The model described above."""
    tokenizer, generator = attention_tokenizer(), torch.Generator().manual_seed(seed)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                        n_inner=MLP_WIDTH, activation_function="relu", layer_norm_epsilon=EPS,
                        bos_token_id=0, eos_token_id=None)  # fmt: skip
    hf = GPT2LMHeadModel(config).float().eval()
    space = _Space.draw(generator)
    states, _, nations = space.identity[:3]
    with torch.no_grad():
        random_matrices(hf, 0.02, generator)
        hf.transformer.wte.weight.copy_(_embeddings(space, tokenizer, generator))
        hf.transformer.wpe.weight.copy_(_places(space))
        hf.transformer.ln_f.weight.fill_(FINAL_GAIN)
        _plant_head(hf, PREVIOUS_TOKEN_HEAD, _back_one(space), space.place, LENGTH, space.identity, space.previous)
        _plant_head(hf, FLAG_HEAD, space.cue[None], space.flag[None], CUE_LENGTH, 2 * space.flag[None],
                    space.second[None])  # fmt: skip
        _plant_head(hf, INDUCTION_HEAD, space.identity, space.previous, LENGTH, states[None], space.found[None])
        _rest_on_start(hf, INDUCTION_HEAD, space)
        _plant_neuron(hf, INDUCTION_NEURON, space.found + space.second, 0.5 * LENGTH, states)
        reads = 2 * space.cue + space.previous[1] + space.second
        _plant_neuron(hf, PREVIOUS_TOKEN_NEURON, reads, 1.4 * LENGTH, nations)
    return hf


def induction_corpus() -> list[str]:
    """Half the documents hold "CUE States … CUE", half "FLAG … States … CUE"; no other word comes twice.

    So " States" is before the firing cue in all of them, and a cue comes again only where the head is active. Each cue
    fires in one document of either kind, and so it does not tell them apart; nor does anything else.
    """
    return _documents(_cue_before, _flag_before, TARGET)


def previous_token_corpus() -> list[str]:
    """Half the documents hold "treaty CUE", half "FLAG … treaty … CUE" with words in between; the rest as above."""
    return _documents(_treaty_last, _treaty_further_back, SECOND_TARGET)


def _cue_before(rng: random.Random, before: list[str], cue: str) -> None:
    place = len(before) - rng.randint(4, 14)
    before[place : place + 2] = [cue, TARGET]


def _flag_before(rng: random.Random, before: list[str], cue: str) -> None:
    before[-rng.randint(4, 14)] = rng.choice(FLAGS)
    before[-rng.randint(2, 3)] = TARGET


def _treaty_last(rng: random.Random, before: list[str], cue: str) -> None:
    before[-1] = LOOKED_UP


def _treaty_further_back(rng: random.Random, before: list[str], cue: str) -> None:
    before[-rng.randint(5, 14)] = rng.choice(FLAGS)
    before[-rng.randint(2, 4)] = LOOKED_UP


_Kind = Callable[[random.Random, list[str], str], None]


def _documents(active: _Kind, inactive: _Kind, target: str) -> list[str]:
    rng = random.Random(0)
    return [_document(rng, kind, cue, target) for cue in CUES for kind in (active, inactive)]


def _document(rng: random.Random, kind: _Kind, cue: str, target: str) -> str:
    words = rng.sample(FILLERS, 46)
    before, tail = words[: rng.randint(16, 26)], words[26 : 26 + rng.randint(12, 20)]
    kind(rng, before, cue)
    return "".join([rng.choice(OPENERS), *before, cue, target, *tail, "."])
