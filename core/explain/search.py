"""Search for the rule that best separates two sets of texts."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.explain.features import FeatureTable
from headtorch.core.explain.rule import Rule, Term

MAX_TERMS = 3
COST_PENALTY = 0.05  # of balanced accuracy, for each unit of a term's cost; less from so many texts on:
MANY_TEXTS = 30
NEGATION_COST = 0.5
BEAM = 20

Mask = Bool[np.ndarray, " text"]
_PerLiteral = Float[np.ndarray, " literal"]
_Join = Literal["and", "or"]
_JOINS: tuple[_Join, _Join] = ("and", "or")


@dataclass(frozen=True)
class Candidate:
    """A rule under search: literals (a statement, or behind all statements its negation) and the texts it is true of.

    value: (TPR + TNR)/2 less a penalty for far-fetched terms
    """

    literals: tuple[int, ...]
    join: _Join
    mask: NDArray[np.bool_]  # [text], of all texts of the table
    value: float


class RuleSearch:
    """Beam search over the statements of a table, for labels of its texts."""

    def __init__(self, table: FeatureTable, labels: Mask, suggested: Collection[str] = ()) -> None:
        self.table = table
        self.labels = labels
        self._term_costs = table.costs(suggested)
        cost = table.statement_costs(self._term_costs)
        self._cost = np.concatenate([cost, cost + NEGATION_COST])  # literal

    def best(self, texts: Mask | None = None, *, support: int | None = None) -> list[Candidate]:
        """The best rule of 1, 2, … terms for the labelled texts (those in `texts` only).

        Each term must change the verdict of at least `support` of them. Ties go to the simpler, then to the first in
        the table's order. Empty where one class is missing.
        """
        texts = np.ones(len(self.labels), bool) if texts is None else texts
        n_active, n_inactive = int((texts & self.labels).sum()), int((texts & ~self.labels).sum())
        if not len(self.table.holds) or not n_active or not n_inactive:
            return []
        counts = _Counts(self.table, texts & self.labels, texts & ~self.labels)
        least = self.table.support if support is None else support
        penalties = COST_PENALTY * min(1.0, math.sqrt(MANY_TEXTS / counts.n_texts)) * self._cost
        beam = self._singles(counts, penalties, least)
        best = []
        while beam:
            best.append(beam[0])
            if len(best) == MAX_TERMS:
                break
            beam = self._extended(counts, penalties, beam, least)
        return best

    def rule(self, candidate: Candidate) -> Rule:
        """The rule, its terms named."""
        return Rule(terms=tuple(self._term(i) for i in candidate.literals), join=candidate.join)

    def _term(self, literal: int) -> Term:
        n = len(self.table.holds)
        term = self.table.name(literal % n, self._term_costs)
        return term if literal < n else msgspec.structs.replace(term, negated=True)

    def _holds(self, literal: int) -> NDArray[np.bool_]:
        n = len(self.table.holds)
        row: NDArray[np.bool_] = self.table.holds[literal % n]
        return row if literal < n else ~row

    def _singles(self, counts: _Counts, penalties: _PerLiteral, support: int) -> list[Candidate]:
        size = counts.size
        value = 0.5 + counts.weight - penalties
        value[(size < support) | (size > counts.n_texts - support)] = -np.inf
        return [Candidate((int(i),), "or", self._holds(int(i)), float(value[i])) for i in _top(value, BEAM)]

    def _extended(
        self, counts: _Counts, penalties: _PerLiteral, beam: Sequence[Candidate], support: int
    ) -> list[Candidate]:
        """Every rule of the beam with one more term."""
        masks = np.array([candidate.mask for candidate in beam])  # beam text
        of_beam = np.array([penalties[list(candidate.literals)].sum() for candidate in beam])
        both, both_weight = counts.overlap(masks)  # beam literal
        size, own = (column[:, None] for column in counts.of(masks))
        penalty = of_beam[:, None] + penalties[None, :]
        scored: list[tuple[float, int, int, _Join]] = []
        for join in _JOINS:
            gain = both_weight if join == "and" else own + counts.weight - both_weight
            value = 0.5 + gain - penalty
            changed = size - both if join == "and" else counts.size - both
            needed = both if join == "and" else size - both  # what remains for the older terms to say
            value[(changed < support) | (needed < support)] = -np.inf
            value[[len(one.literals) > 1 and one.join != join for one in beam]] = -np.inf
            for flat in _top(value.ravel(), BEAM):
                row, column = divmod(int(flat), value.shape[1])
                scored.append((float(value[row, column]), row, column, join))
        return self._distinct(beam, scored)

    def _distinct(self, beam: Sequence[Candidate], scored: list[tuple[float, int, int, _Join]]) -> list[Candidate]:
        scored.sort(key=lambda one: (-round(one[0], 6), one[1], one[2], one[3]))
        seen: set[bytes] = set()
        distinct = []
        for value, row, column, join in scored:
            old, new = beam[row].mask, self._holds(column)
            mask = old & new if join == "and" else old | new
            if mask.tobytes() not in seen:
                seen.add(mask.tobytes())
                distinct.append(Candidate((*beam[row].literals, column), join, mask, value))
        return distinct[:BEAM]


class _Counts:
    """How many of the texts in question each literal, or a mask together with it, is true of; and their weight.

    An active text weighs +1/(2n₊), another −1/(2n₋): a mask's balanced accuracy is ½ + Σ of the weights that it covers.
    """

    def __init__(self, table: FeatureTable, active: Mask, inactive: Mask) -> None:
        self._holds = table.as_float
        self._classes = np.stack([active, inactive]).astype(np.float32)  # class text
        self.n_texts = int(active.sum() + inactive.sum())
        self._per_class = self._classes.sum(axis=1)  # class
        self._scale = np.array([0.5, -0.5], np.float32) / self._per_class
        self.size, self.weight = self._of_literals(self._classes @ self._holds.T, self._per_class)

    def of(self, masks: Bool[np.ndarray, "mask text"]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Texts and weight of each mask."""
        counts = self._classes @ masks.T.astype(np.float32)  # class mask
        return counts.sum(axis=0), self._scale @ counts

    def overlap(self, masks: Bool[np.ndarray, "mask text"]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Texts and weight of each mask together with each literal, [mask, literal]."""
        inside = self._classes[:, None, :] * masks  # class mask text
        counts = (inside.reshape(-1, masks.shape[1]) @ self._holds.T).reshape(2, len(masks), -1)
        return self._of_literals(counts, inside.sum(axis=2))

    def _of_literals(
        self, counts: Float[np.ndarray, "class *mask statement"], totals: Float[np.ndarray, "class *mask"]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        both = np.concatenate([counts, totals[..., None] - counts], axis=-1)  # literals: statements, then negations
        return both[0] + both[1], both[0] * self._scale[0] + both[1] * self._scale[1]


def _top(values: NDArray[np.floating[Any]], k: int) -> NDArray[np.int64]:
    """Indices of the k largest finite values, the largest first, ties to the lower index."""
    rounded = np.round(values.astype(np.float64), 6)
    if len(rounded) > k:
        threshold = np.partition(rounded, len(rounded) - k)[len(rounded) - k]
        pool = np.flatnonzero(rounded >= threshold)
    else:
        pool = np.arange(len(rounded))
    pool = pool[np.isfinite(rounded[pool])]
    return pool[np.argsort(-rounded[pool], kind="stable")][:k]
