"""Do heads cooperate? Joint ablation of a neuron's strongest heads, and the synergy of each pair.

With e(·) = quantity(clean) − quantity(replaced), the same donors for A, B and A ∪ B:

    I(A, B) = e(A) + e(B) − e(A ∪ B)

Two heads of which both are needed (AND): taking either away costs all there is, e(A) = e(B) = e(A ∪ B), and I > 0. Two
of which either will do (OR): taking one away costs nothing, and I = −e(A ∪ B) < 0. Where the heads push the quantity
down every effect changes its sign, and so does I: cooperation is an I of the sign of e(A ∪ B), redundancy one against
it. Any curvature of what follows the heads makes I ≠ 0; `pair_null` says how much random pairs of like effects have.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.interventions import CLEAN, Edit, StandIns, readouts
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.analysis.pair_null import PairNull, pair_null
from headtorch.core.analysis.statistics import clustered_means, percentile_interval
from headtorch.core.causes import (
    HeadEffect,
    PairSynergy,
    Quantity,
    Reading,
    Synergy,
)
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, Interval, NeuronId
from headtorch.core.watch import SILENT, Watch

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
RANDOM_PAIRS = 96
CHANCE = 0.05

Array = NDArray[np.float64]
Pair = tuple[HeadId, HeadId]


@dataclass(frozen=True)
class JointEffects:
    """Effects of groups of heads, each replaced jointly, on every prompt."""

    groups: list[tuple[HeadId, ...]]
    effects: Float[np.ndarray, "quantity prompt group"]  # in the order of QUANTITIES

    def of(self, quantity: Quantity, group: Sequence[HeadId]) -> Float[np.ndarray, " prompt"]:
        """The effects of one group, by one quantity."""
        found: Array = self.effects[QUANTITIES.index(quantity), :, self.groups.index(tuple(sorted(group)))]
        return found

    def synergy(self, quantity: Quantity, pair: Pair) -> Float[np.ndarray, " prompt"]:
        """I(A, B) on every prompt."""
        first, second = (self.of(quantity, [head]) for head in pair)
        found: Array = first + second - self.of(quantity, pair)
        return found


def joint_effects(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    groups: Sequence[Sequence[HeadId]],
    by: StandIns,
    *,
    watch: Watch = SILENT,
) -> JointEffects:
    """The effect of every group on the neuron and on log p of the token, at the last position of each row.

    Raises:
        AddressError: a neuron or head that does not exist, or a head that cannot feed the neuron.
    """
    distinct = sorted({tuple(sorted(group)) for group in groups}, key=lambda group: (len(group), group))
    for head in {head for group in distinct for head in group}:
        check_feeds(model, head, neuron)
    edits = [CLEAN, *(Edit(heads=group) for group in distinct)]
    clean, *after = readouts(model, rows, neuron, token_id, edits, by=by, watch=watch)
    found = [[getattr(clean, name) - getattr(one, name) for one in after] for name in QUANTITIES]
    return JointEffects(distinct, np.array(found).reshape(len(QUANTITIES), len(distinct), len(rows)).swapaxes(1, 2))


def strongest_heads(effects: Float[np.ndarray, "prompt layer head"], count: int) -> list[HeadId]:
    """The heads with the largest mean effect, in size; those that cannot feed the neuron (nan) never."""
    size = np.nan_to_num(np.abs(effects.mean(0)), nan=-1.0)  # layer head
    order = np.argsort(-size, axis=None, kind="stable")[: min(count, int((size >= 0).sum()))]
    return [HeadId(*divmod(int(flat), size.shape[1])) for flat in order]


def random_pairs(
    effects: Float[np.ndarray, "prompt layer head"],
    heads: Sequence[HeadId],
    *,
    count: int = RANDOM_PAIRS,
    seed: int = 0,
) -> list[Pair]:
    """Pairs of heads to compare with, drawn without replacement; at most one of a pair is among `heads`.

    A head is drawn in proportion to its mean effect in size, so that some pairs have effects like those of `heads`.
    """
    size = np.abs(effects).mean(0)  # layer head
    eligible = [HeadId(int(k), int(i)) for k, i in np.argwhere(np.isfinite(size) & (size > 0))]
    draw = np.random.default_rng(seed)
    # The pairs with the largest log-weight + Gumbel noise are a draw without replacement in proportion to the weights.
    strongest = sorted(eligible, key=lambda one: -size[one.layer, one.index])[:256]
    pairs = [pair for pair in combinations(sorted(strongest), 2) if not set(pair) <= set(heads)]
    weights = [np.log(size[a.layer, a.index] * size[b.layer, b.index] + 1e-300) for a, b in pairs]
    order = np.argsort(-(np.array(weights) + draw.gumbel(size=len(pairs))), kind="stable")[:count]
    return [pairs[i] for i in order.tolist()]


def cooperation(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    neuron: NeuronId,
    token_id: int,
    heads: Sequence[HeadId],
    by: StandIns,
    *,
    others: Sequence[Pair] = (),
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    watch: Watch = SILENT,
) -> list[Synergy]:
    """Joint ablation of `heads`, strongest first, and the synergy of each of their pairs, by every quantity.

    `others` are the pairs of the null; `clusters` are the prompts' clusters of documents, by default each its own.
    Raises as `joint_effects` does.
    """
    pairs = list(combinations(heads, 2))
    singles = {head for pair in (*pairs, *others) for head in pair} | set(heads)
    prefixes = [tuple(heads[: n + 1]) for n in range(len(heads))]
    groups = [*((head,) for head in singles), *pairs, *others, *prefixes]
    found = joint_effects(model, rows, neuron, token_id, groups, by, watch=watch)
    groups_of = list(range(len(rows))) if clusters is None else list(clusters)
    return [_synergy(found, quantity, heads, pairs, others, groups_of, seed) for quantity in QUANTITIES]


def _synergy(
    found: JointEffects,
    quantity: Quantity,
    heads: Sequence[HeadId],
    pairs: Sequence[Pair],
    others: Sequence[Pair],
    clusters: Sequence[Hashable],
    seed: int,
) -> Synergy:
    single = [found.of(quantity, [head]) for head in heads]
    joint = [found.of(quantity, heads[: n + 1]) for n in range(len(heads))]
    return Synergy(
        quantity=quantity,
        heads=[
            HeadEffect(head=head, effect=float(effect.mean()), interval=_interval(effect, clusters, seed))
            for head, effect in zip(heads, single, strict=True)
        ],
        pairs=[_pair(found, quantity, pair, others, clusters, seed) for pair in pairs],
        joint=[float(effect.mean()) for effect in joint],
        joint_interval=_interval(joint[-1], clusters, seed) if joint else None,
        sum=float(sum(effect.mean() for effect in single)),
    )


def _pair(
    found: JointEffects,
    quantity: Quantity,
    pair: Pair,
    others: Sequence[Pair],
    clusters: Sequence[Hashable],
    seed: int,
) -> PairSynergy:
    synergy, joint = found.synergy(quantity, pair), found.of(quantity, pair)
    null = pair_null(
        _singles(found, quantity, pair),
        synergy,
        [_singles(found, quantity, one) for one in others],
        [found.synergy(quantity, one) for one in others],
    )
    interval = _interval(synergy, clusters, seed)
    singles = [float(found.of(quantity, [head]).mean()) for head in pair]
    sign = _direction(float(joint.mean()), _interval(joint, clusters, seed), singles)
    return PairSynergy(
        first=pair[0],
        second=pair[1],
        synergy=float(synergy.mean()),
        interval=interval,
        joint=float(joint.mean()),
        reading=_reading(sign, interval, null if others else None),
        p=null.p,
        matched=null.matched,
        null=null.interval,
    )


def _singles(found: JointEffects, quantity: Quantity, pair: Pair) -> Float[np.ndarray, "prompt 2"]:
    return np.stack([found.of(quantity, [head]) for head in pair], axis=1)


def _direction(joint: float, interval: Interval | None, singles: Sequence[float]) -> int:
    """The sign of the joint effect; 0 where it may be 0, or where a head does the opposite at more than half its size.

    Heads that pull in opposite directions have an I, but neither need each other nor stand in for each other.
    """
    sign = _sign(interval)
    return 0 if any(sign * one < -abs(joint) / 2 for one in singles) else sign


def _sign(interval: Interval | None) -> int:
    if interval is None or interval.low * interval.high <= 0:
        return 0
    return 1 if interval.low > 0 else -1


def _reading(direction: int, interval: Interval | None, null: PairNull | None) -> Reading:
    """By the sign of I, where the intervals leave no doubt about it and random pairs of like effects have less."""
    if direction == 0 or _sign(interval) == 0 or (null is not None and null.p is not None and null.p > CHANCE):
        return "neither"
    if null is not None and null.p is None:
        return "untested"
    return "cooperation" if _sign(interval) == direction else "redundancy"


def _interval(values: Float[np.ndarray, " prompt"], clusters: Sequence[Hashable], seed: int) -> Interval | None:
    if len(set(clusters)) < 2:
        return None
    return percentile_interval(clustered_means(values, clusters, seed=seed))
