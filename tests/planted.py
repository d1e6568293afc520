"""A GPT-2 whose weights are set by hand, and a corpus for it: one head looks up " treaty" and fires one neuron.

The circuit, at a token " United" (every other head and neuron is small and random, `noise` times its size):

- L0.H2, the planted head, looks for " treaty" anywhere before and writes the direction A;
- L0.H1, the second pathway, looks for any of eight flags (" banner", " eagle", …) and writes the direction B;
- L1.N5, the planted neuron, reads " United" + A + B and fires when " United" comes with at least one of the two;
- its output is the embedding of " States", so " States" is predicted only when one of the two was found.

Closed form without noise. All directions are orthonormal and of zero mean, so that LayerNorm only divides. A token has
length 8, its position 2, a head's output 4·share, where share is the attention that its looked-up tokens get:
share = m·e^β / (m·e^β + T − m) at " United" in a row of T tokens with m looked-up ones (β = 14), and m/T elsewhere.
With share_A and share_B: σ² = (64 + 4 + 16·share_A² + 16·share_B²) / 64 + 1e-5 and

    pre-activation of L1.N5 = (8·[token is " United"] + 4·share_A + 4·share_B) / σ − 8.5
    direct attribution of L0.H2 = 4·share_A / σ
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from headtorch.core.records import HeadId, NeuronId

HEAD = HeadId(0, 2)
SECOND_HEAD = HeadId(0, 1)
NEURON = NeuronId(1, 5)
TRIGGER, LOOKED_UP, TARGET = " United", " treaty", " States"
FLAGS = (" banner", " eagle", " anthem", " emblem", " pennant", " crest", " ensign", " standard")

LAYERS, HEADS, WIDTH, MLP_WIDTH, CONTEXT = 3, 4, 64, 32, 64
TOKEN_LENGTH, POSITION_LENGTH, LOOKUP_LENGTH = 8.0, 2.0, 4.0
SHARPNESS, THRESHOLD, WRITE, FINAL_GAIN, EPS = 14.0, 8.5, 6.0, 0.15, 1e-5

START, UNKNOWN = "<|start|>", "<|unknown|>"
_OPENERS = "Today Yesterday Again Here Once Later Often Now Perhaps Soon Still Then There Thus When While"
_WORDS = """
able about above account acres across added affairs after again agreed aid all almost along also always among amount
ancient annual another any appeal are army around arts asked at away bank bear before began behind below best better
between beyond board bold bonds border both branch brave bread bridge bring broad build but by call calm camp canal
care cause chief children choice cities city claim clear close coast coin common corn cost could council country
courts cover crops cross custom daily danger day debt deep delay desire distant doubt draft dry during duty each early
earth east easy effort eight empire end enough equal even every exact fair faith farm father fear few field final find
firm first fish fleet follow food for force form four free fresh friend from frontier full funds future gain gave
general gift give gold good grain grant great green ground growth half hand harbor hard harvest have health heavy help
high hills home honor hope horse house how human idea in income indeed iron island issue join journey just keep kind
labor lake land large last law lead learn less letter level light line little local long look lower made mail main
make many march market may mean men mine minds money month more most mountain much must nation near need never new
"""
OPENERS, WORDS = _OPENERS.split(), _WORDS.split()

DocumentKind = Literal["treaty", "flag", "both", "neither"]


def planted_tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer([TRIGGER, LOOKED_UP, TARGET, *FLAGS])


def word_tokenizer(special: Sequence[str]) -> PreTrainedTokenizerFast:
    """Whole words, each with its leading space (" treaty"), those in `special` among them; openers without one."""
    tokens = [START, UNKNOWN, ".", *special, *OPENERS, *(f" {word}" for word in WORDS)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[^\s.]+|\."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )


def _directions(generator: torch.Generator) -> torch.Tensor:  # [WIDTH − 1, WIDTH], orthonormal, each of zero mean
    noise = torch.randn(WIDTH, WIDTH - 1, generator=generator, dtype=torch.float64)
    basis, _ = torch.linalg.qr(noise - noise.mean(0))
    return basis.T


@dataclass(frozen=True)
class _Space:
    """Which direction stands for what."""

    united: torch.Tensor
    treaty: torch.Tensor
    states: torch.Tensor
    flag: torch.Tensor
    head: torch.Tensor  # A
    second: torch.Tensor  # B
    cosine: torch.Tensor
    sine: torch.Tensor
    rest: torch.Tensor  # [words, WIDTH]

    @classmethod
    def draw(cls, generator: torch.Generator) -> _Space:
        basis = _directions(generator)
        return cls(*basis[:8], rest=basis[8:])

    def filler(self, generator: torch.Generator) -> torch.Tensor:
        weights = torch.randn(len(self.rest), generator=generator, dtype=torch.float64)
        return weights / weights.norm() @ self.rest


def _embeddings(space: _Space, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator) -> torch.Tensor:
    rows = torch.stack([space.filler(generator) for _ in range(len(tokenizer))])  # [token, WIDTH], unit length
    vocabulary = tokenizer.get_vocab()
    for token, direction in ((TRIGGER, space.united), (LOOKED_UP, space.treaty), (TARGET, space.states)):
        rows[vocabulary[token]] = direction
    for token in FLAGS:
        rows[vocabulary[token]] = (rows[vocabulary[token]] + space.flag) / math.sqrt(2)
    return TOKEN_LENGTH * rows


def _positions(space: _Space) -> torch.Tensor:
    angle = 0.3 * torch.arange(CONTEXT, dtype=torch.float64)[:, None]
    return POSITION_LENGTH * (angle.cos() * space.cosine + angle.sin() * space.sine)


def _plant_head(hf: GPT2LMHeadModel, index: int, query: torch.Tensor, key: torch.Tensor, write: torch.Tensor) -> None:
    """Head `index` of layer 0 attends from `query` tokens to `key` tokens and writes `write`.

    `query` and `key` are scaled so that their product with such a token is 1; the norm before attention divides by σ₀.
    """
    attention, d_head = hf.transformer.h[0].attn, WIDTH // HEADS
    sigma = math.sqrt((TOKEN_LENGTH**2 + POSITION_LENGTH**2) / WIDTH + EPS)
    columns = [part * WIDTH + index * d_head for part in range(3)]
    for column in columns:
        attention.c_attn.weight[:, column : column + d_head] = 0
    size = math.sqrt(SHARPNESS * math.sqrt(d_head))
    attention.c_attn.weight[:, columns[0]] = (sigma * size * query).float()
    attention.c_attn.weight[:, columns[1]] = (sigma * size * key).float()
    attention.c_attn.weight[:, columns[2]] = (sigma * key).float()
    attention.c_proj.weight[index * d_head : (index + 1) * d_head] = 0
    attention.c_proj.weight[index * d_head] = (LOOKUP_LENGTH * write).float()


def _plant_neuron(hf: GPT2LMHeadModel, space: _Space) -> None:
    mlp = hf.transformer.h[NEURON.layer].mlp
    mlp.c_fc.weight[:, NEURON.index] = (space.united + space.head + space.second).float()
    mlp.c_fc.bias[NEURON.index] = -THRESHOLD
    mlp.c_proj.weight[NEURON.index] = (WRITE * space.states).float()


def random_matrices(hf: GPT2LMHeadModel, size: float, generator: torch.Generator) -> None:
    """Draw every weight matrix of the blocks from a normal distribution of standard deviation `size`."""
    for name, parameter in hf.named_parameters():
        if ".h." in name and parameter.ndim == 2:
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))


def planted_hf(noise: float = 1.0, seed: int = 0) -> GPT2LMHeadModel:
    """The planted model; `noise` scales the weights of all other heads and neurons (0: the closed form is exact)."""
    tokenizer, generator = planted_tokenizer(), torch.Generator().manual_seed(seed)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                        n_inner=MLP_WIDTH, activation_function="relu", layer_norm_epsilon=EPS,
                        bos_token_id=0, eos_token_id=None)  # fmt: skip
    hf = GPT2LMHeadModel(config).float().eval()
    space = _Space.draw(generator)
    with torch.no_grad():
        random_matrices(hf, 0.04 * noise, generator)
        hf.transformer.wte.weight.copy_(_embeddings(space, tokenizer, generator))
        hf.transformer.wpe.weight.copy_(_positions(space))
        hf.transformer.ln_f.weight.fill_(FINAL_GAIN)
        trigger = space.united / TOKEN_LENGTH
        _plant_head(hf, HEAD.index, trigger, space.treaty / TOKEN_LENGTH, space.head)
        _plant_head(hf, SECOND_HEAD.index, trigger, space.flag * math.sqrt(2) / TOKEN_LENGTH, space.second)
        _plant_neuron(hf, space)
    return hf


def expected_pre_activation(tokens: list[str]) -> tuple[float, float]:
    """The closed form above for a row ending at " United": (pre-activation of L1.N5, direct attribution of L0.H2)."""
    total = len(tokens)
    shares = []
    for looked_up in ({LOOKED_UP}, set(FLAGS)):
        matches = sum(token in looked_up for token in tokens)
        shares.append(matches * math.exp(SHARPNESS) / (matches * math.exp(SHARPNESS) + total - matches))
    squares = TOKEN_LENGTH**2 + POSITION_LENGTH**2 + sum((LOOKUP_LENGTH * share) ** 2 for share in shares)
    sigma = math.sqrt(squares / WIDTH + EPS)
    head = LOOKUP_LENGTH * shares[0] / sigma
    return TOKEN_LENGTH / sigma + head + LOOKUP_LENGTH * shares[1] / sigma - THRESHOLD, head


@dataclass(frozen=True)
class PlantedDocument:
    """One document and what it contains before " United"."""

    title: str
    text: str
    kind: DocumentKind


def planted_corpus(n: int = 240, seed: int = 0) -> list[PlantedDocument]:
    """`n` documents of 35-55 tokens, " United" once in each, followed by " States" if a looked-up word came before.

    40 % hold " treaty", 35 % a flag, 10 % both and 15 % neither, 2 to 14 tokens before " United"; all other words are
    drawn at random. Documents of the last kind may name them after " United", where they must not count.
    """
    rng = random.Random(seed)
    kinds: list[DocumentKind] = ["treaty"] * 8 + ["flag"] * 7 + ["both"] * 2 + ["neither"] * 3
    return [_document(rng, index, kinds[index % len(kinds)]) for index in range(n)]


def _document(rng: random.Random, index: int, kind: DocumentKind) -> PlantedDocument:
    def filler(length: int) -> list[str]:
        return [f" {rng.choice(WORDS)}" for _ in range(length)]

    before = filler(rng.randint(16, 26))
    looked_up = {
        "treaty": [LOOKED_UP],
        "flag": [rng.choice(FLAGS)],
        "both": [LOOKED_UP, rng.choice(FLAGS)],
        "neither": [],
    }[kind]
    for place, token in zip(rng.sample(range(2, 15), len(looked_up)), looked_up, strict=True):
        before[-place] = token
    after = [TARGET] if looked_up else filler(1)
    tail = filler(rng.randint(12, 20))
    if kind == "neither":
        tail[rng.randrange(len(tail))] = rng.choice([LOOKED_UP, FLAGS[0]])
    words = [rng.choice(OPENERS), *before, TRIGGER, *after, *tail, "."]
    return PlantedDocument(f"Letter {index + 1}", "".join(words), kind)


def trigger_row(tokenizer: PreTrainedTokenizerFast, document: PlantedDocument) -> list[int]:
    """What the model reads up to and with " United", the first token in front."""
    ids = tokenizer.encode(document.text, add_special_tokens=False)
    trigger = tokenizer.convert_tokens_to_ids(TRIGGER)
    return [tokenizer.bos_token_id, *ids[: int(np.flatnonzero(np.array(ids) == trigger)[0]) + 1]]
