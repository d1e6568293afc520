"""The families over which the p values of a study's claims are adjusted, and the largest p that passes in each.

A family is fixed by what is tested, by the explainer, and by the kind of neuron: next-token neurons and the random
baseline are apart. Adjusted by Benjamini and Hochberg (1995).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Literal, TypeVar

from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.state import StudyState

LEVEL = 0.05  # of the false discovery rate
Test = Literal["context E", "taken", "head E", "contrast"]
K = TypeVar("K", bound=Hashable)
ClaimedHead = tuple[NeuronId, HeadId]


@dataclass(frozen=True)
class Family(Generic[K]):
    """The p values of tests of one kind, and their q values."""

    p: Mapping[K, float]
    q: Mapping[K, float] = field(default_factory=dict)

    @cached_property
    def cutoff(self) -> float:
        """The largest p with q < LEVEL, and at least LEVEL / m: at that p any single test would pass."""
        passed = [self.p[key] for key, q in self.q.items() if q < LEVEL]
        return max([*passed, LEVEL / max(1, len(self.p))])


@dataclass(frozen=True)
class Families:
    """The four families of one explainer's claims on one kind of neurons."""

    context_e: Family[NeuronId]
    taken: Family[ClaimedHead]
    head_e: Family[ClaimedHead]
    contrast: Family[ClaimedHead]


def families(state: StudyState, explainer: str, *, random: bool) -> Families:
    """The families of the study's own neurons, all random or none; tests without a p take no part."""
    members = {found.neuron for found in state.neurons.values() if found.random == random}
    contexts = [one for (neuron, by), one in state.context_claims.items() if by == explainer and neuron in members]
    heads = [
        one for (neuron, _, by), one in state.head_claims.items() if by == explainer and neuron in members
    ]  # fmt: skip
    scores = {(one.neuron, one.head): state.scores.get((one.neuron, one.head, explainer)) for one in heads}
    return Families(
        context_e=adjusted({one.neuron: one.p for one in contexts}),
        taken=adjusted({(one.neuron, head.head): head.p for one in contexts for head in one.heads}),
        head_e=adjusted({key: score.p if score is not None else None for key, score in scores.items()}),
        contrast=adjusted({(one.neuron, one.head): one.p for one in heads}),
    )


def adjusted(p: Mapping[K, float | None]) -> Family[K]:
    """q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎·m/j; what has no p (None) gets no q and does not count in m."""
    tested = {key: value for key, value in p.items() if value is not None}
    q, smallest, m = {}, 1.0, len(tested)
    for rank, (key, value) in zip(range(m, 0, -1), sorted(tested.items(), key=lambda item: -item[1]), strict=True):
        smallest = min(smallest, value * m / rank)
        q[key] = smallest
    return Family(tested, {key: q[key] for key in tested})
