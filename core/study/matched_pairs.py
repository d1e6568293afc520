"""The held-out matched pairs of a context claim, side by side: texts, activations, and what each head did in either."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from headtorch.core.claims import ContextClaim
from headtorch.core.errors import StudyError
from headtorch.core.records import HeadId, NeuronId, Record
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.state import StudyState

SHOWN = 24  # tokens of either text
Arrays = Mapping[str, NDArray[np.generic]]


class PairSide(Record, frozen=True, kw_only=True):
    """A text of a pair, up to where the neuron fires or is off."""

    document: int
    title: str
    position: int
    tokens: list[str]
    activation: float
    holds: bool | None  # whether the rule holds; None: nobody judged it


class HeadInPair(Record, frozen=True, kw_only=True):
    """What exchanging one head does within a pair, in units of the activation, and as a share of the difference."""

    head: HeadId
    taken: float  # a_on − a_on[z_h ← off]
    restored: float  # a_off[z_h ← on] − a_off
    taken_share: float | None  # of a_on − a_off; None: there is no difference
    restored_share: float | None


class MatchedPair(Record, frozen=True, kw_only=True):
    """A firing place and the place that it is matched with: the same last token, the neuron off."""

    pair: int
    firing: PairSide
    off: PairSide
    heads: list[HeadInPair]  # in the order of the claim; empty where the study does not hold them


def matched_pairs(state: StudyState, claim: ContextClaim, tokens: int = SHOWN) -> list[MatchedPair]:
    """The held-out pairs of a claim, in their order. Raises StudyError where the study does not hold its places."""
    event, load = state.firing.get(claim.neuron), state.load
    if event is None or load is None:
        raise StudyError(f"The study does not hold the places of {claim.neuron}.")
    places = ClaimPlaces.of(load(event.artefact))
    artefact = state.claim_artefacts.get((claim.neuron, None, claim.explainer))
    arrays = load(artefact) if artefact is not None else {}
    on, off = _pairs(places, arrays)
    heads = [one.head for one in claim.heads]
    return [
        MatchedPair(
            pair=int(places.pair[fires]),
            firing=_side(places, fires, arrays, tokens),
            off=_side(places, quiet, arrays, tokens),
            heads=_heads(heads, arrays, at, float(places.activation[fires] - places.activation[quiet])),
        )
        for at, (fires, quiet) in enumerate(zip(on, off, strict=True))
    ]


def context_claim_of(state: StudyState, neuron: NeuronId, explainer: str | None = None) -> ContextClaim | None:
    """The context claim of a neuron: of this explainer, by default the study's own, else the first there is."""
    claims = {by: claim for (of, by), claim in state.context_claims.items() if of == neuron}
    if explainer is not None:
        return claims.get(explainer)
    usual = state.settings.explainer_name if state.settings is not None else "rules"
    return claims.get(usual, next(iter(claims.values()), None))


def pair_texts(pair: MatchedPair, shown: Callable[[str], str]) -> tuple[str, str]:
    """Both texts in one line each; the last token, at which the neuron is read, stands in ⟦ ⟧."""
    return _text(pair.firing, shown), _text(pair.off, shown)


def _text(side: PairSide, shown: Callable[[str], str]) -> str:
    *before, last = side.tokens or [""]
    inner = last.lstrip(" ")
    return f"{shown(''.join(before))}{' ' * (len(last) - len(inner))}⟦{shown(inner)}⟧"


def _pairs(places: ClaimPlaces, arrays: Arrays) -> tuple[list[int], list[int]]:
    """The firing and the off place of each held-out pair."""
    if "pair_on" in arrays and "pair_off" in arrays:
        return arrays["pair_on"].tolist(), arrays["pair_off"].tolist()
    paired = places.held_out & (places.pair >= 0)
    off = {int(places.pair[place]): place for place in np.flatnonzero(paired & ~places.firing).tolist()}
    on = [place for place in np.flatnonzero(paired & places.firing).tolist() if int(places.pair[place]) in off]
    return on, [off[int(places.pair[place])] for place in on]


def _side(places: ClaimPlaces, place: int, arrays: Arrays, tokens: int) -> PairSide:
    document, holds = int(places.document[place]), arrays.get("holds")
    return PairSide(
        document=document,
        title=places.titles[int(np.searchsorted(np.unique(places.document), document))],
        position=int(places.position[place]),
        tokens=list(places.text(place, tokens)),
        activation=float(places.activation[place]),
        holds=None if holds is None else bool(holds[place]),
    )


def _heads(heads: list[HeadId], arrays: Arrays, at: int, difference: float) -> list[HeadInPair]:
    if "taken" not in arrays or "restored" not in arrays:
        return []
    return [
        HeadInPair(
            head=head,
            taken=taken,
            restored=restored,
            taken_share=taken / difference if difference else None,
            restored_share=restored / difference if difference else None,
        )
        for head, taken, restored in zip(
            heads, arrays["taken"][at].tolist(), arrays["restored"][at].tolist(), strict=True
        )
    ]
