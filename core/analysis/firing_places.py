"""Where a neuron fires, and matched places where it does not: what claims are learned on and tested on.

A neuron fires where s·a is above its 97.5th percentile over the surveyed positions. Comparing strong firing with strong
firing asks which of several contexts drives it; a matched place (the same last token, the neuron off) asks why it fires
at all, and since the last token is equal, only heads (and position) can have brought the difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from headtorch.core.analysis.halves import near_copy_indices
from headtorch.core.analysis.survey import Survey

FIRING_QUANTILE, OFF_QUANTILE = 0.975, 0.70
PER_CLUSTER = 8
SPACING = 32  # tokens between two firing places of one document
SURROUNDINGS = 50  # tokens to either side in which near-copies are looked for

Ints = Int[np.ndarray, " place"]


@dataclass(frozen=True)
class FiringPlaces:
    """Places of a survey, by index into it. Firing places and matched places that belong together share a number."""

    threshold: float  # of s·a
    off_below: float
    train: Ints  # firing places
    held_out: Ints
    pairs_train: list[tuple[int, int]]  # (index in `train`, place of the survey where the neuron is off)
    pairs_held_out: list[tuple[int, int]]
    token_suffices: int  # firing places whose last token is off nowhere
    near_copies: int  # held-out places, firing and matched, dropped as nearly equal to a training place


def firing_places(
    found: Survey, activation: Float[np.ndarray, " place"], *, sign: int, train: int, held_out: int, pairs: int
) -> FiringPlaces:
    """Up to `train` and `held_out` firing places, and up to `pairs` matched pairs of each split.

    Half of them are the strongest, half lie evenly over the activations above the threshold; at most PER_CLUSTER of a
    cluster of documents, SPACING tokens apart. Held-out places nearly equal to a training place, firing or matched, are
    dropped.
    """
    strength = sign * activation
    threshold = max(0.0, float(np.quantile(strength, FIRING_QUANTILE))) if len(strength) else 0.0
    off_below = min(float(np.quantile(strength, OFF_QUANTILE)), threshold) if len(strength) else 0.0
    fires = strength > threshold
    chosen = [
        _spread(found, strength, np.flatnonzero(fires & (found.held_out == half)), count)
        for half, count in ((False, train), (True, held_out))
    ]
    off = (strength <= off_below) & ~fires
    pairs_train = _matched(found, chosen[0], off, pairs)
    learned_on = np.concatenate([chosen[0], _off_places(pairs_train)])
    kept = _without_copies(found, learned_on, chosen[1])
    pairs_held_out = _matched(found, kept, off, pairs)
    unseen = set(_without_copies(found, learned_on, _off_places(pairs_held_out)).tolist())
    copies = len(chosen[1]) - len(kept) + len(pairs_held_out) - len(unseen)
    pairs_held_out = [(n, place) for n, place in pairs_held_out if place in unseen]
    off_somewhere = [set(found.token[off & (found.held_out == half)].tolist()) for half in (False, True)]
    suffices = sum(
        int(found.token[i]) not in tokens
        for places, tokens in zip((chosen[0], kept), off_somewhere, strict=True)
        for i in places.tolist()
    )
    return FiringPlaces(threshold, off_below, chosen[0], kept, pairs_train, pairs_held_out, suffices, copies)


def _off_places(pairs: Sequence[tuple[int, int]]) -> Ints:
    return np.array([place for _, place in pairs], np.int64)


def _spread(found: Survey, strength: NDArray[np.float64], firing: Ints, count: int) -> Ints:
    """`count` firing places, strongest first: half the strongest, half evenly over the ranks of all."""
    ranked = firing[np.argsort(-strength[firing], kind="stable")]
    room = _Room(found)
    taken = [int(i) for i in _first(ranked.tolist(), room, -(-count // 2))]
    used = set(taken)
    left = [int(i) for i in ranked.tolist() if i not in used]
    grid = np.unique(np.linspace(0, max(len(left) - 1, 0), num=max(count - len(taken), 1)).round().astype(int))
    taken += _first([left[g] for g in grid.tolist() if left], room, count - len(taken))
    used = set(taken)
    rest = np.random.default_rng(len(left)).permutation([i for i in left if i not in used]).tolist()
    taken += _first(rest, room, count - len(taken))  # where the grid met places with no room around them
    return np.array(sorted(taken, key=lambda i: (-strength[i], i)), np.int64)


def _first(candidates: Sequence[int], room: _Room, count: int) -> list[int]:
    """The first `count` candidates that there is room for."""
    taken: list[int] = []
    for i in candidates:
        if len(taken) >= count:
            break
        if room.take(i):
            taken.append(i)
    return taken


class _Room:
    """Which places may still be taken: PER_CLUSTER of a cluster, SPACING tokens apart in a document."""

    def __init__(self, found: Survey) -> None:
        self._found = found
        self._of_cluster: Counter[int] = Counter()
        self._positions: dict[int, list[int]] = defaultdict(list)

    def take(self, i: int) -> bool:
        """Take the place if there is room for it."""
        cluster, document = int(self._found.cluster[i]), int(self._found.document[i])
        position = int(self._found.position[i])
        close = any(abs(position - other) < SPACING for other in self._positions[document])
        if close or self._of_cluster[cluster] >= PER_CLUSTER:
            return False
        self._of_cluster[cluster] += 1
        self._positions[document].append(position)
        return True


def _without_copies(found: Survey, train: Ints, held_out: Ints) -> Ints:
    """The held-out places that are nearly equal to no training place."""
    places = np.concatenate([train, held_out])
    surroundings = [surrounding_ids(found, int(i)) for i in places.tolist()]
    copies = near_copy_indices(surroundings, [n >= len(train) for n in range(len(places))])
    return np.array([i for n, i in enumerate(held_out.tolist(), len(train)) if n not in copies], np.int64)


def surrounding_ids(found: Survey, place: int) -> list[int]:
    """The token ids of the window around a place."""
    ids, offset = found.rows[found.row[place]], int(found.offset[place])
    return [int(t) for t in ids[max(1, offset - SURROUNDINGS) : offset + SURROUNDINGS + 1]]


def _matched(found: Survey, firing: Ints, off: Bool[np.ndarray, " place"], count: int) -> list[tuple[int, int]]:
    """To each firing place one with the same last token, of the same split, where the neuron is off.

    Of those the one at the most similar offset in its row (position embeddings differ there), of another document where
    there is one; every off place is used once. Firing places are served in a random order, so that the `count` pairs
    are no selection by strength.
    """
    if not len(firing):
        return []
    half = bool(found.held_out[firing[0]])
    candidates: dict[int, list[int]] = defaultdict(list)
    tokens = set(found.token[firing].tolist())
    for i in np.flatnonzero(off & (found.held_out == half)).tolist():
        if int(found.token[i]) in tokens:
            candidates[int(found.token[i])].append(i)
    pools = {token: np.array(places) for token, places in candidates.items()}
    free = {token: np.ones(len(places), bool) for token, places in pools.items()}
    pairs: list[tuple[int, int]] = []
    for n in np.random.default_rng(len(firing)).permutation(len(firing)).tolist():
        place = int(firing[n])
        token = int(found.token[place])
        if len(pairs) == count or token not in pools or not free[token].any():
            continue
        pool = pools[token]
        distance = np.abs(found.offset[pool] - found.offset[place]).astype(np.float64)
        distance += 1e6 * (found.document[pool] == found.document[place])
        best = int(np.where(free[token], distance, np.inf).argmin())
        free[token][best] = False
        pairs.append((n, int(pool[best])))
    return sorted(pairs)
