"""Search for the rule that best separates two sets of texts, and for how long a rule the examples support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.explain.features import FeatureTable
from headtorch.core.explain.rule import Rule, Term

MAX_TERMS = 3
COST_PENALTY = 0.05  # of balanced accuracy, for each unit of a term's cost
NEGATION_COST = 0.5
BEAM = 40

Mask = Bool[np.ndarray, " text"]
_Join = Literal["and", "or"]


@dataclass(frozen=True)
class _Candidate:
    terms: tuple[int, ...]  # indices into the literals
    join: _Join
    mask: NDArray[np.bool_]
    value: float  # penalised balanced accuracy


class _Literals:
    """Every term and its negation, with the texts each holds of."""

    def __init__(self, table: FeatureTable, columns: NDArray[np.int64]) -> None:
        holds = table.holds[:, columns]
        self.table = table
        self.holds = np.concatenate([holds, ~holds])  # literal text
        self.as_float = self.holds.astype(np.float32)
        self.cost = np.concatenate([table.cost, table.cost + NEGATION_COST])  # literal

    def term(self, index: int) -> Term:
        n = len(self.table.terms)
        return (
            self.table.terms[index] if index < n else msgspec.structs.replace(self.table.terms[index - n], negated=True)
        )

    def rule(self, candidate: _Candidate) -> Rule:
        return Rule(terms=tuple(self.term(i) for i in candidate.terms), join=candidate.join)


def best_rules(
    table: FeatureTable, active: Mask, columns: NDArray[np.int64] | None = None, *, support: int
) -> list[Rule]:
    """The best rule of 1, 2, … terms for the labelled texts (of `columns` only, where given).

    A beam search maximises (TPR + TNR)/2 less a penalty for far-fetched terms. Each term must change the
    verdict of at least `support` texts. Ties go to the simpler, then to the first in the table's order.
    """
    chosen = np.arange(len(active)) if columns is None else columns
    labels = active[chosen]
    if not table.terms or labels.all() or not labels.any():
        return []
    literals = _Literals(table, chosen)
    weight = _weights(labels)
    beam = _singles(literals, weight, support)
    best = []
    while beam:
        best.append(literals.rule(beam[0]))
        if len(best) == MAX_TERMS:
            break
        beam = _extended(literals, beam, weight, support)
    return best


def _weights(labels: Mask) -> Float[np.ndarray, " text"]:
    """+1/(2n₊) and −1/(2n₋): a mask's balanced accuracy is ½ + Σ of the weights it covers."""
    weights: NDArray[np.float32] = np.where(labels, 0.5 / labels.sum(), -0.5 / (~labels).sum()).astype(np.float32)
    return weights


def _singles(literals: _Literals, weight: NDArray[np.float32], support: int) -> list[_Candidate]:
    count = literals.holds.sum(axis=1)
    value = 0.5 + literals.as_float @ weight - COST_PENALTY * literals.cost
    value[(count < support) | (count > len(weight) - support)] = -np.inf
    best = _top(value, BEAM)
    return [_Candidate((int(i),), "or", literals.holds[i], float(value[i])) for i in best]


def _extended(
    literals: _Literals, beam: Sequence[_Candidate], weight: NDArray[np.float32], support: int
) -> list[_Candidate]:
    """Every rule of the beam with one more term."""
    found: list[tuple[float, int, int, _Join]] = []
    masks = np.array([candidate.mask for candidate in beam])  # beam text
    costs = np.array([_cost(literals, candidate) for candidate in beam])  # beam
    both = masks.astype(np.float32) @ literals.as_float.T  # beam literal: texts that meet both
    both_weight = (masks * weight) @ literals.as_float.T  # beam literal
    size, total = masks.sum(axis=1)[:, None], literals.holds.sum(axis=1)[None, :]
    own, other = (masks @ weight)[:, None], (literals.as_float @ weight)[None, :]
    penalty = COST_PENALTY * (costs[:, None] + literals.cost[None, :])
    joins: tuple[_Join, _Join] = ("and", "or")
    for join in joins:
        gain = both_weight if join == "and" else own + other - both_weight
        value = 0.5 + gain - penalty
        changed = size - both if join == "and" else total - both
        needed = both if join == "and" else size - both  # what is left for the older terms to say
        value[(changed < support) | (needed < support)] = -np.inf
        value[[len(one.terms) > 1 and one.join != join for one in beam]] = -np.inf
        for flat in _top(value.ravel(), BEAM):
            row, column = divmod(int(flat), value.shape[1])
            found.append((float(value[row, column]), row, column, join))
    return _distinct(literals, beam, found)


def _distinct(
    literals: _Literals, beam: Sequence[_Candidate], found: list[tuple[float, int, int, _Join]]
) -> list[_Candidate]:
    found.sort(key=lambda one: (-round(one[0], 6), one[1], one[2], one[3]))
    seen: set[bytes] = set()
    kept = []
    for value, row, column, join in found:
        mask = beam[row].mask & literals.holds[column] if join == "and" else beam[row].mask | literals.holds[column]
        if mask.tobytes() in seen:
            continue
        seen.add(mask.tobytes())
        kept.append(_Candidate((*beam[row].terms, column), join, mask, value))
    return kept[:BEAM]


def _cost(literals: _Literals, candidate: _Candidate) -> float:
    return float(sum(literals.cost[i] for i in candidate.terms))


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
