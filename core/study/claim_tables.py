"""Tables of claims: context shares, heads within matched pairs, and the places behind every number of a claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headtorch.core.errors import StudyError
from headtorch.core.events import ClaimHeadsChosen, FiringPlacesFound
from headtorch.core.records import HeadId, NeuronId, Record
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.claim_rows import ClaimRow, ContextRow
from headtorch.core.study.state import StudyState

Load = Callable[[str], Mapping[str, NDArray[np.generic]]]
LAST_TOKENS = 5  # of a neuron, in one cell


class ContextShareRow(Record, frozen=True, kw_only=True):
    """The share of a neuron's activation that heads account for, and how well its last token alone foretells it."""

    neuron: str
    token: str
    random: bool
    context_share: float
    low: float | None
    high: float | None
    places: int
    driven_by: Literal["heads", "last token"]
    r2: float | None  # of the last token alone, on the held-out split
    last_tokens: list[str]  # that activate the neuron most by themselves


class MatchedHeadTableRow(Record, frozen=True, kw_only=True):
    """A head of a context claim, or several together: then `head` is empty and `heads` is their number."""

    neuron: str
    token: str
    random: bool
    explainer: str
    head: str | None
    heads: int
    taken: float
    taken_low: float | None
    taken_high: float | None
    restored: float
    restored_low: float | None
    restored_high: float | None
    p: float | None
    q: float | None
    taken_holds: float | None
    taken_elsewhere: float | None
    attends: float | None
    attributes: float | None


class ClaimPlaceRow(Record, frozen=True, kw_only=True):
    """A place that a claim was learned or tested on: all that E, shares taken and the effect contrast are made of.

    Of context claims these are the places of matched pairs, of head claims the firing places of the neuron.
    """

    kind: Literal["context", "head"]
    pair: int | None  # of the two places that are matched; None for a head claim
    neuron: str
    head: str | None
    explainer: str
    document: int
    position: int
    cluster: int  # of near-duplicate documents, the unit of every interval
    token_ids: list[int]  # the whole row up to the place, the model's first token included
    half: Literal["train", "held_out"]
    scored: bool  # whether E counts it
    holds: bool | None  # whether the rule holds; None: nobody judged it
    label: bool  # what is true: the neuron fires, or the head is active
    attribution: float | None  # A(h)
    effect: float | None  # e(h)
    activation: float


def context_share_rows(state: StudyState) -> list[ContextShareRow]:
    """One row a neuron of the study whose context share is measured."""
    return [
        ContextShareRow(
            neuron=str(found.neuron),
            token=found.token,
            random=found.random,
            context_share=one.share.value,
            low=one.share.low,
            high=one.share.high,
            places=one.places,
            driven_by="heads" if one.is_driven else "last token",
            r2=one.r2,
            last_tokens=[last.token for last in one.last_tokens[:LAST_TOKENS]],
        )
        for found in state.neurons.values()
        if (one := state.context_share.get(found.neuron)) is not None
    ]


def matched_head_rows(rows: Sequence[ClaimRow]) -> list[MatchedHeadTableRow]:
    """The heads of context claims, each alone and then several together."""
    return [made for row in rows if isinstance(row, ContextRow) for made in _matched(row)]


def _matched(row: ContextRow) -> Iterator[MatchedHeadTableRow]:
    about: dict[str, Any] = {name: getattr(row, name) for name in ("neuron", "token", "random", "explainer")}
    for head in row.heads:
        yield MatchedHeadTableRow(**about, heads=1, **{name: getattr(head, name) for name in head.__struct_fields__})
    for joint in row.joint:
        yield MatchedHeadTableRow(
            **about,
            head=None,
            heads=joint.heads,
            taken=joint.taken,
            taken_low=joint.low,
            taken_high=joint.high,
            restored=joint.restored,
            restored_low=joint.restored_low,
            restored_high=joint.restored_high,
            p=None,
            q=None,
            taken_holds=None,
            taken_elsewhere=None,
            attends=None,
            attributes=None,
        )


@dataclass(frozen=True)
class PlaceTables:
    """The places of the next-token neurons' claims, as the state held them when this was made; arrays are read late."""

    firing: Mapping[NeuronId, FiringPlacesFound]
    heads: Mapping[NeuronId, ClaimHeadsChosen]
    holds: Mapping[tuple[NeuronId, HeadId | None, str], str | None]
    scored: Mapping[tuple[NeuronId, HeadId, str], frozenset[int]]
    load: Load | None

    @classmethod
    def of(cls, state: StudyState) -> PlaceTables:
        """A snapshot; without artefacts to read there are no rows."""
        neurons = {found.neuron for found in state.next_token_neurons()}
        contexts = {(neuron, None, by): None for neuron, by in state.context_claims}
        claims: dict[Any, None] = {**contexts, **dict.fromkeys(state.head_claims)}
        return cls(
            firing={neuron: event for neuron, event in state.firing.items() if neuron in neurons},
            heads=dict(state.claim_heads),
            holds={key: state.claim_artefacts.get(key) for key in claims if key[0] in neurons},
            scored={key: frozenset(one.prompts) for key, one in state.judgements.items()},
            load=state.load,
        )

    def rows(self) -> Iterator[ClaimPlaceRow]:
        """Neuron by neuron; one whose artefacts are missing or damaged is passed over."""
        load = self.load
        if load is None:
            return
        for neuron, event in self.firing.items():
            try:
                yield from self._of_neuron(neuron, event, load)
            except StudyError:
                continue

    def _of_neuron(self, neuron: NeuronId, event: FiringPlacesFound, load: Load) -> Iterator[ClaimPlaceRow]:
        places = ClaimPlaces.of(load(event.artefact))
        texts = [places.ids(place).tolist() for place in range(len(places))]
        for (of, head, explainer), artefact in self.holds.items():
            if of != neuron:
                continue
            holds = _holds(load(artefact)) if artefact is not None else None
            if head is None:
                yield from _context_places(places, texts, neuron, explainer, holds)
            elif (columns := self._columns(neuron, head)) is not None:
                scored = self.scored.get((neuron, head, explainer))
                yield from _head_places(places, texts, (neuron, head, explainer), holds, columns, scored)

    def _columns(self, neuron: NeuronId, head: HeadId) -> dict[str, NDArray[Any]] | None:
        """[firing place] of the head; None for a head that was not chosen for claims."""
        chosen = self.heads.get(neuron)
        at = next((i for i, one in enumerate(chosen.heads) if one.head == head), None) if chosen is not None else None
        if chosen is None or at is None or self.load is None:
            return None
        arrays = self.load(chosen.artefact)
        return {name: arrays[name][:, at] for name in ("active", "attribution", "effect")}


def claim_place_rows(state: StudyState) -> Iterator[ClaimPlaceRow]:
    """The places of every claim about the study's next-token neurons."""
    return PlaceTables.of(state).rows()


def _holds(arrays: Mapping[str, NDArray[Any]]) -> list[bool | None]:
    """Of each place whether the rule holds; None where that was not judged."""
    holds, judged = arrays["holds"].tolist(), arrays.get("judged")
    return holds if judged is None else [one if known else None for one, known in zip(holds, judged, strict=True)]


def _context_places(
    places: ClaimPlaces, texts: list[list[int]], neuron: NeuronId, explainer: str, holds: Sequence[bool | None] | None
) -> Iterator[ClaimPlaceRow]:
    order = np.lexsort((~places.firing, places.pair))
    for place in order[places.pair[order] >= 0].tolist():
        yield ClaimPlaceRow(
            kind="context",
            pair=int(places.pair[place]),
            neuron=str(neuron),
            head=None,
            explainer=explainer,
            **_place(places, texts, place, holds),
            scored=bool(places.held_out[place]),
            label=bool(places.firing[place]),
            attribution=None,
            effect=None,
        )


def _head_places(
    places: ClaimPlaces,
    texts: list[list[int]],
    claim: tuple[NeuronId, HeadId, str],
    holds: Sequence[bool | None] | None,
    columns: Mapping[str, NDArray[Any]],
    scored: frozenset[int] | None,
) -> Iterator[ClaimPlaceRow]:
    neuron, head, explainer = claim
    for at, place in enumerate(np.flatnonzero(places.firing).tolist()):
        yield ClaimPlaceRow(
            kind="head",
            pair=None,
            neuron=str(neuron),
            head=str(head),
            explainer=explainer,
            **_place(places, texts, place, holds),
            scored=bool(places.held_out[place]) and (scored is None or at in scored),
            label=bool(columns["active"][at]),
            attribution=float(columns["attribution"][at]),
            effect=float(columns["effect"][at]),
        )


def _place(
    places: ClaimPlaces, texts: list[list[int]], place: int, holds: Sequence[bool | None] | None
) -> dict[str, Any]:
    return {
        "document": int(places.document[place]),
        "position": int(places.position[place]),
        "cluster": int(places.cluster[place]),
        "token_ids": texts[place],
        "half": "held_out" if places.held_out[place] else "train",
        "holds": holds[place] if holds is not None and place < len(holds) else None,
        "activation": float(places.activation[place]),
    }
