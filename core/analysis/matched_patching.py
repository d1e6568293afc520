"""Which heads bring about that a neuron fires here and not there, the last token being the same?

Within a matched pair (a firing place, and a place of the same last token where the neuron is off) a head's output at p
is exchanged:

    taken     T(h) = Σ(a_on − a_on[z_h ← off]) / Σ(a_on − a_off)
    restored  R(h) = Σ(a_off[z_h ← on] − a_off) / Σ(a_on − a_off)

Exchanging all heads of layers that feed the neuron gives exactly 1 both ways where positions enter by rotation alone:
the check of every run. Heads are chosen on training pairs by ⟨∂a/∂z_h, z_h(on) − z_h(off)⟩, and exchanged exactly on
held-out pairs. (Replacing by means instead would mix in saturation: a neuron that is off has nothing left to lose.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headtorch.core.analysis.position_replay import (
    EditJob,
    Queries,
    Rows,
    attribution_patching,
    edited_activations,
    joined,
    observe,
)
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import SILENT, Watch

SINGLE = 8  # heads exchanged alone
JOINT = (5, 20)  # and the strongest so many together, beside all of them
MOST = 0.8  # of the difference, that the strongest heads are counted up to

Ints = Int[np.ndarray, " pair"]


@dataclass(frozen=True)
class Pairs:
    """Matched pairs of one neuron: rows and row indices of the firing places and of those where it is off.

    sign: −1 for a gated neuron that fires negatively; activations are counted times it
    """

    neuron: NeuronId
    on: Queries
    off: Queries
    sign: int = 1

    def __len__(self) -> int:
        return len(self.on)


@dataclass(frozen=True)
class Exchanged:
    """What exchanging heads does, pair by pair, in units of s·a."""

    difference: Float[np.ndarray, " pair"]  # a_on − a_off
    taken: Float[np.ndarray, "edit pair"]  # a_on − a_on[z ← off]
    restored: Float[np.ndarray, "edit pair"]  # a_off[z ← on] − a_off


def ranked_heads(
    model: LanguageModel, rows: Rows, pairs: Sequence[Pairs], *, watch: Watch = SILENT
) -> list[list[HeadId]]:
    """For each neuron its eligible heads by what attribution patching says that each takes, strongest first."""
    estimates = _by_neuron(pairs, lambda queries: _estimated(model, rows, pairs, queries, watch))
    ranked = []
    for one, estimate in zip(pairs, estimates, strict=True):
        total = one.sign * estimate.sum(0)  # layer head
        eligible = np.argwhere(model.eligible_heads(one.neuron.layer))
        order = np.argsort(-total[eligible[:, 0], eligible[:, 1]], kind="stable")
        ranked.append([HeadId(*map(int, eligible[i])) for i in order])
    return ranked


def _estimated(
    model: LanguageModel, rows: Rows, pairs: Sequence[Pairs], on: Queries, watch: Watch
) -> Float[np.ndarray, "pair layer head"]:
    off = observe(model, rows, joined([one.off for one in pairs]), watch=watch).heads
    estimate: Float[np.ndarray, "pair layer head"] = np.nan_to_num(
        attribution_patching(model, rows, on, off, np.arange(len(on)), watch=watch)
    )
    return estimate


def _by_neuron(
    pairs: Sequence[Pairs], evaluate: Callable[[Queries], Float[np.ndarray, "pair layer head"]]
) -> list[Float[np.ndarray, "pair layer head"]]:
    values = evaluate(joined([one.on for one in pairs]))
    parts: list[Float[np.ndarray, "pair layer head"]] = np.split(values, np.cumsum([len(one) for one in pairs])[:-1])
    return parts


def head_sets(model: LanguageModel, neuron: NeuronId, ranked: Sequence[HeadId]) -> Bool[np.ndarray, "edit layer head"]:
    """The strongest SINGLE heads alone, the strongest 5 and 20 together, and all heads that can feed the neuron."""
    singles = [[head] for head in ranked[:SINGLE]]
    groups = [*singles, *(ranked[:count] for count in JOINT)]
    masks = np.zeros((len(groups) + 1, model.facts.n_layers, model.facts.n_heads), bool)
    for mask, group in zip(masks, groups, strict=False):
        for head in group:
            mask[head.layer, head.index] = True
    masks[-1] = model.eligible_heads(neuron.layer)
    return masks


def first_heads(
    model: LanguageModel, ranked: Sequence[HeadId], counts: Sequence[int]
) -> Bool[np.ndarray, "edit layer head"]:
    """The strongest so many heads together, for each count."""
    masks = np.zeros((len(counts), model.facts.n_layers, model.facts.n_heads), bool)
    for mask, count in zip(masks, counts, strict=True):
        for head in ranked[:count]:
            mask[head.layer, head.index] = True
    return masks


def exchange(
    model: LanguageModel,
    rows: Rows,
    pairs: Sequence[Pairs],
    masks: Sequence[Bool[np.ndarray, "edit layer head"]],
    both_ways: Sequence[bool],
    *,
    watch: Watch = SILENT,
) -> list[Exchanged]:
    """For each set of pairs, every set of heads exchanged in every pair. Without `both_ways` nothing is restored."""
    ends = joined([end for one in pairs for end in (one.on, one.off)])
    seen = observe(model, rows, ends, watch=watch)
    starts = np.cumsum([0, *(2 * len(one) for one in pairs)])
    jobs = []
    for one, sets, both, start in zip(pairs, masks, both_ways, starts, strict=False):
        n = len(one)
        on, off = seen.heads[start : start + n], seen.heads[start + n : start + 2 * n]
        jobs.append(EditJob(one.on, sets, off, np.arange(n)))
        if both:
            jobs.append(EditJob(one.off, sets, on, np.arange(n)))
    after = iter(edited_activations(model, rows, jobs, watch=watch))
    exchanged = []
    for one, both, start in zip(pairs, both_ways, starts, strict=False):
        n = len(one)
        a_on, a_off = seen.activation[start : start + n], seen.activation[start + n : start + 2 * n]
        taken = a_on - next(after)
        restored = next(after) - a_off if both else np.zeros_like(taken)
        exchanged.append(Exchanged(one.sign * (a_on - a_off), one.sign * taken, one.sign * restored))
    return exchanged


def counted(ranked: Sequence[HeadId]) -> list[int]:
    """The numbers of strongest heads that are tried for MOST: 1, 2, 3 … 8, then a fifth more each time, up to all."""
    counts, n = [], 1
    while n < len(ranked):
        counts.append(n)
        n = n + max(1, n // 5) if n >= 8 else n + 1
    return [*counts, len(ranked)]


def heads_for_most(done: Exchanged, counts: Sequence[int]) -> int | None:
    """The smallest of the `counts` whose heads together take 80 % of the difference; None where none does."""
    total = float(done.difference.sum())
    enough = [
        n for n, taken in zip(counts, done.taken.sum(1).tolist(), strict=True) if total > 0 and taken >= MOST * total
    ]
    return min(enough, default=None)


def limited(pairs: Pairs, most: int) -> Pairs:
    """At most `most` of the pairs, evenly over them."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(np.int64))
    return Pairs(pairs.neuron, pairs.on.take(chosen), pairs.off.take(chosen), pairs.sign)
