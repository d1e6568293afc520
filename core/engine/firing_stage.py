"""The stage that finds where neurons fire and matched places where they do not, and what heads account for there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headtorch.core.analysis.cluster_statistics import share_lost
from headtorch.core.analysis.context_share import last_token_activations, last_token_r2, without_heads
from headtorch.core.analysis.firing_places import FiringPlaces, firing_places
from headtorch.core.analysis.position_replay import joined
from headtorch.core.analysis.survey import Survey, survey
from headtorch.core.claims import ContextShare, FiringSet, LastToken
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, ContextShareMeasured, FiringPlacesFound, Warned
from headtorch.core.records import NeuronId, NextTokenNeuron
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.study import Study

LAST_TOKENS = 12  # strongest last tokens of a neuron that are reported


def find_places(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The firing set of every neuron, then its context share."""
    settings, rows = study.settings, list(study.state.neurons.values())
    surveyed = survey(
        workspace.model,
        workspace.corpus,
        [row.neuron for row in rows],
        tokens=settings.survey_tokens,
        seed=settings.seed,
        watch=workspace.watch,
    )
    for row in rows:
        workspace.watch.checkpoint()
        strength = surveyed.of(row.neuron)
        drawn = firing_places(
            surveyed,
            strength,
            sign=row.sign,
            train=settings.train_places,
            held_out=settings.held_out_places,
            pairs=settings.held_out_places,
        )
        places = _claim_places(workspace, surveyed, strength, drawn)
        yield FiringPlacesFound(
            firing=_firing_set(row, surveyed, drawn, places), artefact=study.save_arrays(places.arrays())
        )
    yield from _context_shares(study, workspace, surveyed)


def _firing_set(row: NextTokenNeuron, surveyed: Survey, drawn: FiringPlaces, places: ClaimPlaces) -> FiringSet:
    return FiringSet(
        neuron=row.neuron,
        sign=row.sign,
        threshold=drawn.threshold,
        off_below=drawn.off_below,
        surveyed=len(surveyed),
        train=len(drawn.train),
        held_out=len(drawn.held_out),
        train_pairs=len(drawn.pairs_train),
        held_out_pairs=len(drawn.pairs_held_out),
        token_suffices=drawn.token_suffices,
        near_copies=drawn.near_copies,
        documents=len(np.unique(places.cluster[places.firing])),
    )


def _claim_places(workspace: Workspace, surveyed: Survey, activation: np.ndarray, drawn: FiringPlaces) -> ClaimPlaces:
    """The places in the order of the artefact: firing (train, held-out), then matched (train, held-out)."""
    firing = np.concatenate([drawn.train, drawn.held_out]).astype(np.int64)
    pairs = [*drawn.pairs_train, *((i + len(drawn.train), off) for i, off in drawn.pairs_held_out)]
    off = np.array([place for _, place in pairs], np.int64)
    chosen = np.concatenate([firing, off])
    pair = np.full(len(chosen), -1)
    for number, (i, _) in enumerate(pairs):
        pair[i] = pair[len(firing) + number] = number
    used, row = np.unique(surveyed.row[chosen], return_inverse=True)
    length = surveyed.offset[chosen] + 1
    longest = np.zeros(len(used), np.int64)
    np.maximum.at(longest, row, length)
    kept = [surveyed.rows[r][:n] for r, n in zip(used.tolist(), longest.tolist(), strict=True)]
    following = np.array([_next_token(workspace, surveyed, i) for i in chosen.tolist()], np.int64)
    vocabulary = np.unique(np.concatenate([*kept, following[following >= 0], np.zeros(0, np.int64)]).astype(np.int64))
    document = surveyed.document[chosen]
    return ClaimPlaces(
        document=_i32(document),
        position=_i32(surveyed.position[chosen]),
        cluster=_i32(surveyed.cluster[chosen]),
        held_out=surveyed.held_out[chosen],
        firing=np.arange(len(chosen)) < len(firing),
        pair=_i32(pair),
        activation=activation[chosen].astype(np.float32),
        next_token=_i32(following),
        row=_i32(row),
        length=_i32(length),
        row_ids=_i32(np.concatenate([*kept, np.zeros(0, np.int64)])),
        row_starts=_i32(np.cumsum([0, *longest.tolist()])),
        row_text=_i32(np.full(len(used), int(workspace.model.facts.first_token is not None))),
        vocabulary_ids=_i32(vocabulary),
        vocabulary=tuple(workspace.model.token_texts(vocabulary.tolist())),
        titles=tuple(workspace.corpus.corpus.titles[int(d)] for d in np.unique(document)),
    )


def _i32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.int32)


def _next_token(workspace: Workspace, surveyed: Survey, place: int) -> int:
    ids, position = workspace.corpus.document_ids(int(surveyed.document[place])), int(surveyed.position[place])
    return int(ids[position + 1]) if position + 1 < len(ids) else -1


def _context_shares(study: Study, workspace: Workspace, surveyed: Survey) -> Iterator[ContextShareMeasured | Warned]:
    """C of every neuron that fires, from one pass over the rows of all of them."""
    neurons = [neuron for neuron in study.state.neurons if study.state.firing[neuron].firing.train]
    if not neurons:
        return
    model, rows = workspace.model, ClaimRows(study, neurons)
    means = workspace.mean_outputs
    queries = [rows.queries(neuron, rows.firing(neuron)) for neuron in neurons]
    left = without_heads(model, rows.rows, joined(queries), means, watch=workspace.watch)
    of_token = last_token_activations(
        model, neurons, means, offset=int(np.median(surveyed.offset)), watch=workspace.watch
    )
    parts = np.split(left, np.cumsum([len(one) for one in queries])[:-1])
    for n, (neuron, remaining) in enumerate(zip(neurons, parts, strict=True)):
        places = rows.places[neuron]
        firing = rows.firing(neuron)
        share, _ = share_lost(remaining, places.activation[firing], places.cluster[firing], seed=study.settings.seed)
        yield ContextShareMeasured(
            share=ContextShare(
                neuron=neuron,
                share=share,
                places=len(firing),
                r2=last_token_r2(of_token[surveyed.token, n], surveyed.of(neuron), surveyed.held_out),
                last_tokens=_last_tokens(workspace, study.state.neurons[neuron], of_token[:, n]),
            )
        )


def _last_tokens(workspace: Workspace, row: NextTokenNeuron, activation: np.ndarray) -> list[LastToken]:
    """The tokens of the corpus on which the neuron activates most without attention."""
    counts = workspace.corpus.token_counts
    occurs = np.zeros(len(activation), bool)
    occurs[: len(counts)] = counts[: len(activation)] > 0
    strength = np.where(occurs, row.sign * activation, -np.inf)
    order = np.argsort(-strength, kind="stable")[:LAST_TOKENS].tolist()
    return [
        LastToken(token_id=i, token=workspace.model.token_text(i), activation=float(activation[i]))
        for i in order
        if strength[i] > 0
    ]


def driven_neurons(study: Study) -> list[NeuronId]:
    """The study's neurons that heads drive: those that claims are made about."""
    shares = study.state.context_share
    return [neuron for neuron in study.state.neurons if neuron in shares and shares[neuron].is_driven]
