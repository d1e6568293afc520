"""The held-out matched pairs of a neuron, as the study recorded them: both texts, the rule on each, what heads did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headtorch.core.claims import ContextClaim, Rewriting
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.claim_text import condition
from headtorch.tui.claims import claim_places, context_claim, head_claim, why_no_claim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headtorch.core.study.claim_places import ClaimPlaces
    from headtorch.tui.session import Session

TOKENS = 64  # of a text, up to its place


@dataclass(frozen=True)
class PairedPlace:
    """One of the two places. `tokens` end with the token that the neuron is read at."""

    tokens: tuple[str, ...]
    activation: float
    holds: bool  # whether the rule calls it a firing place
    title: str
    position: int


@dataclass(frozen=True)
class MatchedPair:
    """A firing place beside its matched place; shares are of the difference between their activations, by head."""

    on: PairedPlace
    off: PairedPlace
    taken: list[float | None]
    restored: list[float | None]

    @property
    def is_right(self) -> bool:
        """Whether the rule holds where the neuron fires, and does not where it is off."""
        return self.on.holds and not self.off.holds


@dataclass(frozen=True)
class MatchedPairs:
    """All held-out pairs of a neuron; `heads` are those whose shares each pair has."""

    claim: ContextClaim
    heads: list[HeadId]
    pairs: list[MatchedPair] = field(default_factory=list)
    missing: str = ""  # why there are no pairs

    @property
    def wrong(self) -> list[int]:
        """The pairs that the rule gets wrong."""
        return [at for at, one in enumerate(self.pairs) if not one.is_right]


def matched_pairs(session: Session, neuron: NeuronId) -> MatchedPairs | str:
    """The pairs behind the context claim shown of the neuron, or why there is no claim."""
    shown = context_claim(session, neuron)
    if shown is None:
        return why_no_claim(session, neuron)
    claim = shown[0]
    heads = [one.head for one in claim.heads]
    name = session.state.claim_artefacts.get((neuron, None, claim.explainer))
    places, arrays = claim_places(session, neuron), session.loaded(name) if name is not None else None
    if places is None or arrays is None or not {"holds", "pair_on", "pair_off"} <= arrays.keys():
        return MatchedPairs(claim, heads, missing="The pairs of this claim were not recorded.")
    return MatchedPairs(claim, heads, _pairs(places, arrays))


def _pairs(places: ClaimPlaces, arrays: Mapping[str, NDArray[np.generic]]) -> list[MatchedPair]:
    titles = dict(zip(sorted(set(places.document.tolist())), places.titles, strict=True))
    on, off = arrays["pair_on"].tolist(), arrays["pair_off"].tolist()
    holds: list[bool] = arrays["holds"].tolist()

    def place(at: int) -> PairedPlace:
        return PairedPlace(
            tokens=places.text(at, TOKENS),
            activation=float(places.activation[at]),
            holds=holds[at],
            title=titles[int(places.document[at])],
            position=int(places.position[at]),
        )

    def shares(name: str, pair: int, difference: float) -> list[float | None]:
        values: list[float] = arrays[name][pair].tolist() if name in arrays else []
        return [value / difference if difference and value == value else None for value in values]

    found = []
    for pair, (first, second) in enumerate(zip(on, off, strict=True)):
        one, other = place(first), place(second)
        difference = one.activation - other.activation
        found.append(MatchedPair(one, other, shares("taken", pair, difference), shares("restored", pair, difference)))
    return found


def rewriting_tests(session: Session, found: MatchedPairs) -> list[tuple[str, Rewriting | None]]:
    """What is claimed and how rewriting went: of the neuron, and of the selected head where a claim is about it."""
    claim, head = found.claim, session.selection.head
    tests = [(f"{claim.neuron} fires where: {condition(claim.text)}", claim.rewriting)]
    shown = head_claim(session, claim.neuron, head) if head is not None else None
    if shown is not None:
        said = session.state.explanations.get((claim.neuron, shown[0].head, shown[0].explainer))
        where = condition(said.text) if said is not None else "its rule holds"
        tests.append((f"{head} where: {where}", shown[0].rewriting))
    return tests
