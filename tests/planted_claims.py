"""A GPT-2 whose weights are set by hand for claims: six neurons, each fired in another way, and a corpus for them.

At its trigger a head attends to what it looks for, at most REACH tokens back, and to the first token where there is
nothing; it then writes 2·s·O, where s is the attention that its token gets and O a direction of the head's own. All
directions are orthonormal and of zero mean, a token has length 20, a position 2, and every neuron reads behind a norm:

    σ² = |r|² / WIDTH + 1e-5,   a = (([token is the trigger] + Σ_h c_h·s_h)/σ − θ)₊

    look back   s(" treaty"), θ = 1.5: nothing without the token
    and         s(" silver") + s(" copper"), θ = 2.5: nothing unless both are there
    or          C, θ = 1.5: C is what the MLP before it writes, x/σ − 0.95·(x/σ − 0.9)₊ of x = s(" anchor") +
                s(" lantern"), hence hardly more of both than of one
    either      s(" violin") + s(" trumpet"), θ = 1.5: one is enough, and texts hold one of them. These heads attend
                less to what is further back, so that their attribution and their effect vary
    cancelled   s(" marble") + s(" velvet"), θ = 1.5; the MLP before it takes 1.06·s(" velvet")/σ away again, and so a
                head of large attribution does a little less than nothing
    sparse      (s₁ + s₂)/2 + s(" saffron"), θ = 1.5, s₁ and s₂ of two heads that look for " cedar"; few texts hold
                " saffron" in place of it
    last token  no head: 1 at " river", 0.8 at " harbour", θ = 0.5

All other heads write nothing and all other neurons are silent: `activation` is the whole of it, in fp64.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from planted import OPENERS, START, WORDS, word_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings

REACH = 5  # tokens before the trigger that a head sees; a rule counts the trigger itself as the first of 6
HEADS, CONTEXT = 12, 32
D_HEAD = CONTEXT + 2  # positions, what is looked for, the first token
WIDTH, MLP_WIDTH, EPS = HEADS * D_HEAD, 24, 1e-5
TOKEN_LENGTH, POSITION_LENGTH, WRITE_LENGTH = 20.0, 2.0, 2.0
SCORE = 30.0  # of the token that is looked for, and of the window; both together beat REST, neither does alone
REST, FADING_REST, FADING = 1.5 * SCORE, 2 * SCORE - 3.0, 0.5
KNEE, BEYOND_KNEE, CANCELLED = 0.9, 0.95, 1.06
SILENT = -100.0


@dataclass(frozen=True)
class Head:
    """A head of layer 0: at `trigger` it attends to `token`."""

    index: int
    trigger: str
    token: str
    fades: bool = False

    @property
    def id(self) -> HeadId:
        return HeadId(0, self.index)


@dataclass(frozen=True, eq=False)
class Neuron:
    """A neuron of layer 1: what it reads of its triggers and of heads' outputs, and what it predicts."""

    name: str
    index: int
    triggers: Mapping[str, float]
    reads: Mapping[Head, float]
    threshold: float
    target: str

    @property
    def id(self) -> NeuronId:
        return NeuronId(1, self.index)

    @property
    def trigger(self) -> str:
        return next(iter(self.triggers))


TREATY = Head(0, " United", " treaty")
SILVER, COPPER = Head(1, " Royal", " silver"), Head(2, " Royal", " copper")
ANCHOR, LANTERN = Head(3, " Northern", " anchor"), Head(4, " Northern", " lantern")
VIOLIN, TRUMPET = Head(5, " Grand", " violin", fades=True), Head(6, " Grand", " trumpet", fades=True)
MARBLE, VELVET = Head(7, " Ancient", " marble"), Head(8, " Ancient", " velvet")
CEDAR, SECOND_CEDAR = Head(9, " Eastern", " cedar"), Head(10, " Eastern", " cedar")
SAFFRON = Head(11, " Eastern", " saffron")
PLANTED_HEADS = (TREATY, SILVER, COPPER, ANCHOR, LANTERN, VIOLIN, TRUMPET, MARBLE, VELVET, CEDAR, SECOND_CEDAR, SAFFRON)

LOOK_BACK = Neuron("look back", 1, {" United": 1.0}, {TREATY: 1.0}, 1.5, " States")
AND = Neuron("and", 2, {" Royal": 1.0}, {SILVER: 1.0, COPPER: 1.0}, 2.5, " Society")
OR = Neuron("or", 3, {" Northern": 1.0}, {}, 1.5, " Star")
EITHER = Neuron("either", 4, {" Grand": 1.0}, {VIOLIN: 1.0, TRUMPET: 1.0}, 1.5, " Hotel")
CANCEL = Neuron("cancelled", 5, {" Ancient": 1.0}, {MARBLE: 1.0, VELVET: 1.0}, 1.5, " Rome")
SPARSE = Neuron("sparse", 6, {" Eastern": 1.0}, {CEDAR: 0.5, SECOND_CEDAR: 0.5, SAFFRON: 1.0}, 1.5, " Empire")
LAST_TOKEN = Neuron("last token", 7, {" river": 1.0, " harbour": 0.8}, {}, 0.5, " bank")
NEURONS = (LOOK_BACK, AND, OR, EITHER, CANCEL, SPARSE, LAST_TOKEN)
_MIDDLE = 3  # neurons of layer 0: up to the knee, beyond it, the one that cancels


@cache
def claims_tokenizer() -> PreTrainedTokenizerFast:
    special = [token for n in NEURONS for token in (*n.triggers, n.target)]
    return word_tokenizer([*special, *(head.token for head in PLANTED_HEADS)])


class _Space:
    """Orthonormal directions of zero mean, each under a name; texts of tokens are names too."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(WIDTH, WIDTH - 1, generator=generator, dtype=torch.float64)
        self._basis = torch.linalg.qr(noise - noise.mean(0))[0].T
        self._names: dict[str, int] = {}

    def __call__(self, name: str) -> torch.Tensor:
        return self._basis[self._names.setdefault(name, len(self._names))]

    def tokens(self, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:  # [token, WIDTH], unit length
        """Named tokens have a direction of their own, ordinary words a random mixture of forty others."""
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(len(tokenizer), 40, generator=generator, dtype=torch.float64)
        rows = weights / weights.norm(dim=1, keepdim=True) @ self._basis[-40:]
        for token, index in tokenizer.get_vocab().items():
            if token in self._names:
                rows[index] = self(token)
        return rows


@cache
def claims_hf() -> GPT2LMHeadModel:
    tokenizer, space = claims_tokenizer(), _Space()
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=2, n_head=HEADS,
                        n_inner=MLP_WIDTH, activation_function="relu", layer_norm_epsilon=EPS,
                        bos_token_id=0, eos_token_id=None)  # fmt: skip
    hf = GPT2LMHeadModel(config).float().eval()
    with torch.no_grad():
        _silence(hf)
        for head in PLANTED_HEADS:
            _plant_head(hf, head, space)
        _plant_middle(hf, space)
        for neuron in NEURONS:
            reads = sum(weight / TOKEN_LENGTH * space(token) for token, weight in neuron.triggers.items())
            reads = reads + sum(c / WRITE_LENGTH * space(_output(head)) for head, c in neuron.reads.items())
            if neuron is OR:
                reads = reads + space("C") / WRITE_LENGTH
            _plant_neuron(hf, neuron.id, reads, -neuron.threshold, 200.0 * space(neuron.target))
        hf.transformer.wpe.weight.copy_(POSITION_LENGTH * torch.stack([space(f"{p}") for p in range(CONTEXT)]))
        hf.transformer.wte.weight.copy_(TOKEN_LENGTH * space.tokens(tokenizer))
        hf.transformer.ln_f.weight.fill_(0.02)  # so that many words are likely at a place
    return hf


def _output(head: Head) -> str:
    return f"O{head.index}"


def _silence(hf: GPT2LMHeadModel) -> None:
    """No head writes anything and no neuron fires; what neurons would write is random, so that it can be ranked."""
    generator = torch.Generator().manual_seed(2)
    for block in hf.transformer.h:
        for linear in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc):
            linear.weight.zero_()
            linear.bias.zero_()
        block.mlp.c_fc.bias.fill_(SILENT)
        block.mlp.c_proj.weight.copy_(torch.randn(MLP_WIDTH, WIDTH, generator=generator))
        block.mlp.c_proj.bias.zero_()


def _plant_head(hf: GPT2LMHeadModel, head: Head, space: _Space) -> None:
    """Dimensions of the head: one for each position, then [is the trigger] · [is looked for], then the first token."""
    attention, scale = hf.transformer.h[0].attn, math.sqrt(D_HEAD)
    sigma = math.sqrt((TOKEN_LENGTH**2 + POSITION_LENGTH**2) / WIDTH + EPS)
    positions = sigma / POSITION_LENGTH * torch.stack([space(f"{p}") for p in range(CONTEXT)])  # position WIDTH
    query, key, value = (part * WIDTH + head.index * D_HEAD for part in range(3))
    window = torch.tensor([[_window(head, p, q) for q in range(CONTEXT)] for p in range(CONTEXT)], dtype=torch.float64)

    def token(text: str) -> torch.Tensor:
        return sigma / TOKEN_LENGTH * space(text)

    weight = attention.c_attn.weight
    weight[:, query : query + CONTEXT] = (scale * positions.T @ window).float()
    weight[:, key : key + CONTEXT] = positions.T.float()
    weight[:, query + CONTEXT] = (scale * SCORE * token(head.trigger)).float()
    weight[:, key + CONTEXT] = weight[:, value] = token(head.token).float()
    attention.c_attn.bias[query + CONTEXT + 1] = scale * (FADING_REST if head.fades else REST)
    weight[:, key + CONTEXT + 1] = token(START).float()
    attention.c_proj.weight[head.index * D_HEAD] = (WRITE_LENGTH * space(_output(head))).float()


def _window(head: Head, position: int, other: int) -> float:
    distance = position - other
    if other == 0 or not 1 <= distance <= REACH:
        return 0.0
    return SCORE - (FADING * (distance - 1) if head.fades else 0.0)


def _plant_middle(hf: GPT2LMHeadModel, space: _Space) -> None:
    lights = (space(_output(ANCHOR)) + space(_output(LANTERN))) / WRITE_LENGTH
    velvet = space(_output(VELVET))
    _plant_neuron(hf, NeuronId(0, 0), lights, 0.0, WRITE_LENGTH * space("C"))
    _plant_neuron(hf, NeuronId(0, 1), lights, -KNEE, -BEYOND_KNEE * WRITE_LENGTH * space("C"))
    _plant_neuron(hf, NeuronId(0, 2), velvet / WRITE_LENGTH, 0.0, -CANCELLED * WRITE_LENGTH * velvet)


def _plant_neuron(
    hf: GPT2LMHeadModel, neuron: NeuronId, reads: torch.Tensor, bias: float, writes: torch.Tensor
) -> None:
    mlp = hf.transformer.h[neuron.layer].mlp
    mlp.c_fc.weight[:, neuron.index] = reads.float()
    mlp.c_fc.bias[neuron.index] = bias
    mlp.c_proj.weight[neuron.index] = writes.float()


@cache
def claims_model() -> LanguageModel:
    return LanguageModel.from_hf(claims_hf(), claims_tokenizer(), name="planted")


def share(head: Head, text: Sequence[str]) -> float:
    """The attention that the head's token gets at the end of a text, the first token in front of it not counted."""
    last = len(text)  # index in the row
    if last < 1:
        return 0.0
    scores = [FADING_REST if head.fades else REST]
    scores += [
        SCORE * (text[-1] == head.trigger and text[q - 1] == head.token) + _window(head, last, q)
        for q in range(1, last + 1)
    ]
    weights = [math.exp(score - max(scores)) for score in scores]
    looked_up = sum(weight for weight, token in zip(weights[1:], text, strict=True) if token == head.token)
    return looked_up / sum(weights)


Shares = Mapping[Head, float]


def shares(text: Sequence[str]) -> dict[Head, float]:
    """Of every planted head at the end of a text."""
    return {head: share(head, text) for head in PLANTED_HEADS}


def activation(neuron: Neuron, last_token: str, s: Shares) -> float:
    """The closed form, from the token at p and the heads' shares at p."""
    return max(_pre_activation(neuron, last_token, s)[0], 0.0)


def attribution(neuron: Neuron, head: Head, last_token: str, s: Shares) -> float:
    """⟨o_h, w_in⟩/σ."""
    return neuron.reads.get(head, 0.0) * s[head] / _pre_activation(neuron, last_token, s)[1]


def _pre_activation(neuron: Neuron, last_token: str, s: Shares) -> tuple[float, float]:
    """Of the neuron, and σ in front of it."""
    ends = TOKEN_LENGTH**2 + POSITION_LENGTH**2
    written = {head: WRITE_LENGTH * s[head] for head in PLANTED_HEADS}
    sigma = _sigma(ends + sum(x**2 for x in written.values()))
    lights = (s[ANCHOR] + s[LANTERN]) / sigma
    carrier = WRITE_LENGTH * (max(lights, 0.0) - BEYOND_KNEE * max(lights - KNEE, 0.0))
    written[VELVET] -= CANCELLED * WRITE_LENGTH * max(s[VELVET] / sigma, 0.0)
    sigma = _sigma(ends + sum(x**2 for x in written.values()) + carrier**2)
    read = neuron.triggers.get(last_token, 0.0)
    read += sum(c * written[head] / WRITE_LENGTH for head, c in neuron.reads.items())
    read += carrier / WRITE_LENGTH if neuron is OR else 0.0
    return read / sigma - neuron.threshold, sigma


def _sigma(square: float) -> float:
    return math.sqrt(square / WIDTH + EPS)


def claims_settings(folder: Path, documents: int | None = None) -> Settings:
    """The question to ask of the model; its corpus is written into `folder`."""
    folder.mkdir()
    for number, text in enumerate(claims_corpus()[:documents]):
        (folder / f"{number:03d}.txt").write_text(text)
    return Settings(model="planted", corpus=str(folder), token_texts=tuple(neuron.target for neuron in NEURONS),
                    layers="all", neurons_limit=len(NEURONS), random_neurons=0, context=CONTEXT,
                    claim_heads=2)  # fmt: skip


@cache
def claims_corpus() -> tuple[str, ...]:
    """Texts of 30 tokens. In each a neuron's trigger stands twice: once it fires, and once heads find nothing.

    Where it does not fire, half of the texts hold the tokens nevertheless, beyond the reach of the heads.
    """
    rng = random.Random(0)
    per_neuron = {EITHER: 80, SPARSE: 100}
    texts = [_text(rng, neuron, i) for neuron in NEURONS for i in range(per_neuron.get(neuron, 60))]
    return tuple(texts)


def _text(rng: random.Random, neuron: Neuron, number: int) -> str:
    words = [f" {word}" for word in rng.sample(WORDS, 30)]
    early, late = rng.randint(10, 12), rng.randint(22, 26)
    on, off = (early, late) if rng.random() < 0.5 else (late, early)
    words[on], words[on + 1] = neuron.trigger, neuron.target
    if neuron is LAST_TOKEN:
        words[on] = rng.choice(list(neuron.triggers))
    else:
        words[off] = neuron.trigger
    _place(rng, words, on, _looked_for(neuron, number), range(1, REACH + 1))
    if number % 2:
        _place(rng, words, off, _looked_for(neuron, rng.randrange(100)), range(REACH + 1, REACH + 4))
    if neuron is CANCEL:
        for end in (on, off):
            if rng.random() < 0.5:
                _place(
                    rng, words, end, [VELVET.token], [d for d in range(1, REACH + 1) if words[end - d] != MARBLE.token]
                )
    return "".join([rng.choice(OPENERS), *words[1:29], "."])


def _looked_for(neuron: Neuron, number: int) -> list[str]:
    """The tokens that fire the neuron in its text of that number."""
    if neuron is OR:
        return [ANCHOR.token, LANTERN.token]
    if neuron is EITHER:
        return [(VIOLIN, TRUMPET)[number // 2 % 2].token]
    if neuron is CANCEL:
        return [MARBLE.token]
    if neuron is SPARSE:
        return [(SAFFRON if number % 16 == 7 else CEDAR).token]
    return [head.token for head in neuron.reads]


def _place(rng: random.Random, words: list[str], end: int, tokens: Sequence[str], distances: Sequence[int]) -> None:
    for distance, token in zip(rng.sample(distances, len(tokens)), tokens, strict=True):
        words[end - distance] = token
