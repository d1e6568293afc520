"""A study cut down to some of its neurons, for a report about them alone."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from headtorch.core.errors import InputError
from headtorch.core.records import NeuronId
from headtorch.core.study.notes import NoteBook
from headtorch.core.study.state import StudyState

ALL, BOOKMARKED = "all", "bookmarked"
_BY_NEURON = (
    *("prompts", "dropped", "dropped_long", "validity", "attributed", "activity", "shaded"),
    *("effects", "cooperation", "spectrum"),
    *("firing", "context_share", "claim_heads", "controls"),
)
_BY_HEAD = (  # keys that begin with a neuron
    *("explanations", "judgements", "scores", "unanswered", "ablations"),
    *("context_claims", "head_claims", "claim_artefacts"),
)


def chosen_neurons(text: str, state: StudyState, book: NoteBook) -> list[NeuronId] | None:
    """Read "all" (None), "bookmarked" or "L3.N412,L2.N7": neurons of the study, its visited ones too, each once.

    Raises AddressError for what is no neuron, InputError for one that the study does not have, and where none is left.
    """
    if text.strip().lower() == ALL:
        return None
    known = {**state.neurons, **state.visited}
    if text.strip().lower() == BOOKMARKED:
        marked = set(book.bookmarks)
        found = [neuron for neuron in known if str(neuron) in marked]
        if not found:
            raise InputError("No neuron of the study has a bookmark.")
        return found
    named = [NeuronId.parse(name.strip()) for name in text.split(",") if name.strip()]
    if not named:
        raise InputError(f"No neuron is named; write {ALL}, {BOOKMARKED} or addresses such as L3.N412,L2.N7.")
    missing = [neuron for neuron in named if neuron not in known]
    if missing:
        raise InputError(f"The study does not have {missing[0]}; `headtorch open` can look it up.")
    return list(dict.fromkeys(named))


def only(state: StudyState, neurons: Collection[NeuronId] | None) -> StudyState:
    """What the study knows of these neurons, in its own order; of visited ones as of its own. None: all as it is.

    What is about no single neuron stays: settings, model, corpus, calls, adjusted p values (their family is the
    study's), the agreement over all neurons and the comparison with random ones.
    """
    if neurons is None:
        return state
    kept = set(neurons)
    rows = {neuron: row for neuron, row in {**state.neurons, **state.visited}.items() if neuron in kept}
    parts: dict[str, Any] = {name: _of(getattr(state, name), kept) for name in _BY_NEURON}
    parts |= {name: _of_heads(getattr(state, name), kept) for name in _BY_HEAD}
    parts["warnings"] = {key: one for key, one in state.warnings.items() if key[1] is None or key[1] in kept}
    # a stage that is at another neuron may still come to these
    parts["running"] = {(stage, one if one in kept else None): None for stage, one in state.running}
    return dataclasses.replace(state, neurons=rows, visited={}, **parts)


def notes_on(book: NoteBook, neurons: Collection[NeuronId] | None) -> NoteBook:
    """The notes about the study and about these neurons, and their bookmarks."""
    if neurons is None:
        return book
    names = {"study", *map(str, neurons)}
    return NoteBook(
        notes={subject: note for subject, note in book.notes.items() if subject.split(" ")[0] in names},
        bookmarks=tuple(mark for mark in book.bookmarks if mark.split(" ")[0] in names),
    )


def folder_name(text: str) -> str:
    """Where a report about a choice of neurons goes inside the folder of reports; "" for all of them."""
    text = text.strip()
    if text.lower() in (ALL, BOOKMARKED):
        return "" if text.lower() == ALL else BOOKMARKED
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if len(names) == 1:
        return names[0]
    digest = hashlib.sha256(",".join(sorted(names)).encode()).hexdigest()[:8]
    return f"{names[0]}-and-{len(names) - 1}-more-{digest}"


def _of(found: Mapping[NeuronId, Any], kept: set[NeuronId]) -> dict[NeuronId, Any]:
    return {neuron: one for neuron, one in found.items() if neuron in kept}


def _of_heads(found: Mapping[tuple[Any, ...], Any], kept: set[NeuronId]) -> dict[tuple[Any, ...], Any]:
    return {key: one for key, one in found.items() if key[0] in kept}
