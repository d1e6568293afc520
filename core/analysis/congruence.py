"""Next-token neurons: MLP neurons whose output weights point at a token's unembedding.

Congruence c(n, t) = ⟨w_out, u_t⟩, where u_t is the token's unembedding times the final norm's gain, centred over the
vocabulary. Neurons are ranked by z, the congruence in standard deviations over the vocabulary: a large c alone may only
mean large weights (after Neo, Cohen and Barez, arXiv 2402.15055, who rank by c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Kind, NeuronId, NextTokenNeuron
from headtorch.core.watch import SILENT, Watch

HEAVY_TAIL = 1.0  # excess kurtosis of c(n, ·) from which a neuron is of the prediction or suppression kind
ENTROPY_SHARE = 0.05  # entropy kind: norm among the largest, sd(c)/norm among the smallest share of its layer,
ENTROPY_MOST = 0.5  # and largest |c|/norm in this lower share of it: a neuron for one token has a small sd(c) too
GLITCH_DEVIATIONS = 6.0  # robust deviations of log ‖u_t‖ from which a token counts as an outlier
_CHUNK_ENTRIES = 1 << 23  # entries of c held at a time


@dataclass(frozen=True)
class LayerCongruence:
    """Congruence of every neuron of a layer with the vocabulary, summed up. z-scores are over the vocabulary."""

    layer: int
    deviation: Float[Tensor, "neuron"]  # sd of c(n, ·)
    skewness: Float[Tensor, "neuron"]
    kurtosis: Float[Tensor, "neuron"]  # excess
    norm: Float[Tensor, "neuron"]  # ‖w_out‖, as far as the final norm lets it through
    top: Float[Tensor, "neuron k"]  # largest c, descending
    top_tokens: Int[Tensor, "neuron k"]
    bottom: Float[Tensor, "neuron k"]  # smallest c, ascending
    bottom_tokens: Int[Tensor, "neuron k"]

    def kinds(self) -> list[Kind]:
        """prediction: heavy tail to the right; suppression: to the left; entropy: large norm, hardly moves a logit."""
        moves = self.deviation / self.norm.clamp_min(1e-30)
        large = self.norm >= self.norm.quantile(1 - ENTROPY_SHARE)
        most = torch.maximum(self.top[:, 0].abs(), self.bottom[:, 0].abs()) / self.norm.clamp_min(1e-30)
        still = (moves <= moves.quantile(ENTROPY_SHARE)) & (most <= most.quantile(ENTROPY_MOST))
        entropy = (large & still).tolist()
        heavy = (self.kurtosis >= HEAVY_TAIL).tolist()
        right = (self.skewness >= 0).tolist()
        return [
            "entropy" if e else ("prediction" if r else "suppression") if h else "ordinary"
            for e, h, r in zip(entropy, heavy, right, strict=True)
        ]


class Unembedding:
    """The vocabulary's unembedding, read in chunks: final gain folded in, centred over the vocabulary."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.d_vocab = model.facts.d_vocab
        total = torch.zeros(model.facts.d_model, device=model.device, dtype=torch.float64)
        for start in range(0, self.d_vocab, 16_384):
            total += model.unembedding(slice(start, min(start + 16_384, self.d_vocab))).double().sum(1)
        self.mean = (total / self.d_vocab).float()  # d_model

    def columns(self, tokens: Sequence[int]) -> Float[Tensor, "d_model token"]:
        """u_t of the given tokens."""
        return self.model.unembedding(list(tokens)) - self.mean[:, None]

    def chunks(self, size: int) -> Iterator[tuple[int, Float[Tensor, "d_model chunk"]]]:
        """(first token, u_t of `size` tokens from there on), over the whole vocabulary."""
        for start in range(0, self.d_vocab, size):
            yield start, self.model.unembedding(slice(start, min(start + size, self.d_vocab))) - self.mean[:, None]

    def glitch_tokens(self) -> np.ndarray:
        """True for tokens whose log ‖u_t‖ is over GLITCH_DEVIATIONS robust deviations (1.4826·MAD) off the median."""
        norms = torch.cat([chunk.norm(dim=0) for _, chunk in self.chunks(16_384)])
        logs = norms.clamp_min(1e-30).log()
        off = (logs - logs.median()).abs()
        return np.asarray((off > GLITCH_DEVIATIONS * 1.4826 * off.median().clamp_min(1e-6)).cpu())


def layer_congruence(
    model: LanguageModel, unembedding: Unembedding, layer: int, k: int = 8, *, watch: Watch = SILENT
) -> LayerCongruence:
    """One pass over the vocabulary in chunks: moments, top and bottom tokens of every neuron of the layer."""
    weights = output_weights(model, layer)  # neuron d_model
    n = weights.shape[0]
    k = min(k, unembedding.d_vocab)
    powers = torch.zeros(4, n, device=weights.device, dtype=torch.float64)
    top = weights.new_full((n, 0), 0.0)
    top_tokens = torch.zeros(n, 0, dtype=torch.long, device=weights.device)
    bottom, bottom_tokens = top, top_tokens
    for start, columns in unembedding.chunks(max(1, _CHUNK_ENTRIES // n)):
        watch.checkpoint()
        c = weights @ columns  # neuron chunk
        wide = c.double()
        product = wide
        for power in range(4):
            product = product * wide if power else wide
            powers[power] += product.sum(1)
        ids = torch.arange(start, start + c.shape[1], device=c.device).expand(n, -1)
        top, top_tokens = _best(torch.cat([top, c], 1), torch.cat([top_tokens, ids], 1), k, largest=True)
        bottom, bottom_tokens = _best(torch.cat([bottom, c], 1), torch.cat([bottom_tokens, ids], 1), k, largest=False)
    m1, m2, m3, m4 = powers / unembedding.d_vocab
    variance = (m2 - m1**2).clamp_min(1e-60)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return LayerCongruence(
        layer=layer,
        deviation=variance.sqrt().float(),
        skewness=(third / variance**1.5).float(),
        kurtosis=(fourth / variance**2 - 3).float(),
        norm=weights.norm(dim=1),
        top=top,
        top_tokens=top_tokens,
        bottom=bottom,
        bottom_tokens=bottom_tokens,
    )


def output_weights(model: LanguageModel, layer: int) -> Float[Tensor, "neuron d_model"]:
    """Write directions as the final norm passes them on: centred over d_model where it is a LayerNorm."""
    weights = model.write_directions(layer)
    return weights - weights.mean(1, keepdim=True) if model.facts.norm == "layer" else weights


def token_ranks(
    model: LanguageModel, unembedding: Unembedding, layer: int, neurons: Sequence[int], tokens: Sequence[int]
) -> list[int]:
    """For each (neuron, token) pair the number of tokens with a larger congruence; 0 is the top."""
    if not neurons:
        return []
    weights = output_weights(model, layer)[list(neurons)]  # pair d_model
    own = (weights * unembedding.columns(tokens).T).sum(1, keepdim=True)  # pair 1
    # The same product computed in another order may differ in its last bits; a token is never above itself.
    tolerance = 1e-6 * own.abs().clamp_min(1e-12)
    above = torch.zeros(len(neurons), device=weights.device, dtype=torch.long)
    for _, columns in unembedding.chunks(max(1, _CHUNK_ENTRIES // len(neurons))):
        above += (weights @ columns > own + tolerance).sum(1)
    return [int(count) for count in above]


def best_token_neurons(
    model: LanguageModel,
    layers: Sequence[int],
    *,
    per_layer: int | None = None,
    limit: int | None = None,
    spaced_only: bool = False,
    by: str = "z",
    reject_neurons: Sequence[NeuronId] = (),
    reject_tokens: Sequence[int] = (),
    watch: Watch = SILENT,
) -> list[NextTokenNeuron]:
    """Every neuron of the layers with the token it is most congruent with, best first by z (or by "congruence").

    `spaced_only` keeps neurons whose token passes the paper's filter, `is_spaced`. For gated MLPs the most negative
    congruence counts too, with sign −1: such a neuron can fire negatively.
    """
    unembedding = Unembedding(model)
    glitch = unembedding.glitch_tokens()
    rejected, refused = set(reject_neurons), set(reject_tokens)
    found: list[NextTokenNeuron] = []
    for done, layer in enumerate(layers):
        watch.checkpoint()
        of_layer = [
            row
            for row in _layer_rows(model, unembedding, layer, glitch, watch=watch)
            if row.neuron not in rejected and row.token_id not in refused and (not spaced_only or is_spaced(row.token))
        ]
        found += _ranked(of_layer, by)[:per_layer]
        watch.progress("discover", done + 1, len(layers), "layers")
    return _ranked(found, by)[:limit]


def token_neurons(
    model: LanguageModel,
    layers: Sequence[int],
    token: int,
    *,
    limit: int = 20,
    by: str = "z",
    reject_neurons: Sequence[NeuronId] = (),
    watch: Watch = SILENT,
) -> list[NextTokenNeuron]:
    """The neurons most congruent with a token, best first, each with the rank of the token for that neuron."""
    unembedding = Unembedding(model)
    glitch = unembedding.glitch_tokens()
    column = unembedding.columns([token])[:, 0]
    text = model.token_text(token)
    rejected = set(reject_neurons)
    found: list[NextTokenNeuron] = []
    for done, layer in enumerate(layers):
        watch.checkpoint()
        summary = layer_congruence(model, unembedding, layer, watch=watch)
        kinds = summary.kinds()
        c = output_weights(model, layer) @ column  # neuron
        z = c / summary.deviation
        strength = c if by == "congruence" else z
        order = (strength.abs() if model.facts.gated else strength).argsort(descending=True)
        chosen = [j for j in order[: limit + len(rejected)].tolist() if NeuronId(layer, j) not in rejected][:limit]
        signs = [-1 if model.facts.gated and float(c[j]) < 0 else 1 for j in chosen]
        cosine = c / (summary.norm * column.norm()).clamp_min(1e-30)
        found += [
            NextTokenNeuron(
                neuron=NeuronId(layer, j),
                token_id=token,
                token=text,
                congruence=sign * float(c[j]),
                cosine=sign * float(cosine[j]),
                z=sign * float(z[j]),
                rank=0,
                kind=kinds[j],
                sign=sign,
                glitch=bool(glitch[token]),
            )
            for j, sign in zip(chosen, signs, strict=True)
        ]
        watch.progress("discover", done + 1, len(layers), "layers")
    return _with_ranks(model, unembedding, _ranked(found, by)[:limit])


def random_neurons(
    model: LanguageModel,
    layers: Sequence[int],
    count: int,
    *,
    seed: int = 0,
    exclude: Sequence[NeuronId] = (),
    watch: Watch = SILENT,
) -> list[NextTokenNeuron]:
    """The random baseline: `count` neurons of the layers, none of `exclude`, each with its best token."""
    unembedding = Unembedding(model)
    glitch = unembedding.glitch_tokens()
    excluded = set(exclude)
    pool = [NeuronId(layer, j) for layer in layers for j in range(model.facts.d_mlp)]
    pool = [neuron for neuron in pool if neuron not in excluded]
    drawn = np.random.default_rng(seed).choice(len(pool), size=min(count, len(pool)), replace=False)
    chosen = sorted(pool[int(i)] for i in drawn)
    rows: list[NextTokenNeuron] = []
    for layer in sorted({neuron.layer for neuron in chosen}):
        wanted = [neuron.index for neuron in chosen if neuron.layer == layer]
        rows += _layer_rows(model, unembedding, layer, glitch, neurons=wanted, random=True, watch=watch)
    return rows


def best_token(model: LanguageModel, neuron: NeuronId) -> tuple[int, int]:
    """The token that a neuron promotes most, and the sign of the activation that does it (−1: gated MLPs only)."""
    c = output_weights(model, neuron.layer)[neuron.index] @ Unembedding(model).columns(range(model.facts.d_vocab))
    negative = model.facts.gated and float(-c.min()) > float(c.max())
    return (int(c.argmin()), -1) if negative else (int(c.argmax()), 1)


def is_spaced(token: str) -> bool:
    """A space and then two or more characters of any kind: the paper's filter for tokens."""
    return token.startswith(" ") and len(token) > 2


def _layer_rows(
    model: LanguageModel,
    unembedding: Unembedding,
    layer: int,
    glitch: np.ndarray,
    *,
    neurons: Sequence[int] | None = None,
    random: bool = False,
    watch: Watch = SILENT,
) -> list[NextTokenNeuron]:
    """Each neuron with its best token; for gated MLPs the stronger of its two signs."""
    summary = layer_congruence(model, unembedding, layer, k=1, watch=watch)
    kinds = summary.kinds()
    chosen = range(model.facts.d_mlp) if neurons is None else neurons
    high = (summary.top[:, 0] / summary.deviation).tolist()
    low = (-summary.bottom[:, 0] / summary.deviation).tolist()
    signs = [-1 if model.facts.gated and low[j] > high[j] else 1 for j in chosen]
    tokens = [
        int(summary.top_tokens[j, 0] if sign > 0 else summary.bottom_tokens[j, 0])
        for j, sign in zip(chosen, signs, strict=True)
    ]
    distinct = sorted(set(tokens))
    lengths = dict(zip(distinct, unembedding.columns(distinct).norm(dim=0).tolist(), strict=True))
    texts = {token: model.token_text(token) for token in distinct}
    rows = []
    for j, sign, token in zip(chosen, signs, tokens, strict=True):
        c = float(summary.top[j, 0]) if sign > 0 else -float(summary.bottom[j, 0])
        rows.append(
            NextTokenNeuron(
                neuron=NeuronId(layer, j),
                token_id=token,
                token=texts[token],
                congruence=c,
                cosine=c / max(float(summary.norm[j]) * lengths[token], 1e-30),
                z=high[j] if sign > 0 else low[j],
                rank=0,
                kind=kinds[j],
                sign=sign,
                glitch=bool(glitch[token]),
                random=random,
            )
        )
    return rows


def _with_ranks(model: LanguageModel, unembedding: Unembedding, rows: list[NextTokenNeuron]) -> list[NextTokenNeuron]:
    """The same rows with the rank of the token for each neuron (from the bottom for sign −1)."""
    ranks: dict[NeuronId, int] = {}
    for layer in sorted({row.neuron.layer for row in rows}):
        of_layer = [row for row in rows if row.neuron.layer == layer]
        above = token_ranks(
            model, unembedding, layer, [row.neuron.index for row in of_layer], [row.token_id for row in of_layer]
        )
        for row, count in zip(of_layer, above, strict=True):
            ranks[row.neuron] = count if row.sign > 0 else unembedding.d_vocab - 1 - count
    return [msgspec.structs.replace(row, rank=ranks[row.neuron]) for row in rows]


def _ranked(rows: list[NextTokenNeuron], by: str) -> list[NextTokenNeuron]:
    return sorted(rows, key=lambda row: (-(row.congruence if by == "congruence" else row.z), row.neuron))


def _best(
    values: Float[Tensor, "neuron many"], ids: Int[Tensor, "neuron many"], k: int, *, largest: bool
) -> tuple[Float[Tensor, "neuron k"], Int[Tensor, "neuron k"]]:
    best, where = values.topk(min(k, values.shape[1]), dim=1, largest=largest)
    return best, ids.gather(1, where)
