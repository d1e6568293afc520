"""Which neurons are worth a study of heads: those that predict their token and that heads drive, on the train split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headtorch.core.analysis.congruence import best_token_neurons
from headtorch.core.analysis.context_share import without_heads
from headtorch.core.analysis.position_replay import Queries, joined
from headtorch.core.claims import CONTEXT_DRIVEN
from headtorch.core.engine.workspace import Workspace
from headtorch.core.records import NeuronId, NextTokenNeuron, Record

PLACES = 40  # strongest places of a neuron, for what follows on them
SHARE_PLACES = 12  # of these, for the context share
LEAST_Z, LEAST_SHARE = 4.0, 0.5


class PromisingNeuron(Record, frozen=True, kw_only=True):
    """A next-token neuron on its strongest places of the training split."""

    row: NextTokenNeuron
    next_share: float  # of the places that the neuron's token follows
    context_share: float  # 1 − Σa⁰/Σa over the 12 strongest, a⁰ with every head at p at its mean
    places: int


def promising_neurons(workspace: Workspace, *, limit: int | None = None) -> list[PromisingNeuron]:
    """Neurons of the layers whose best token follows on at least half of their strongest places, by context share.

    Only the training split is looked at, so that claims about the neurons can still be tested on held-out text.
    """
    rows = best_token_neurons(workspace.model, workspace.layers, by="z", watch=workspace.watch)
    candidates = [row for row in rows if row.z >= LEAST_Z]
    following = [(row, share, places) for row in candidates for share, places in [_predicted(workspace, row)]]
    valid = [
        (row, share, places) for row, share, places in following if share >= LEAST_SHARE and len(places) >= PLACES // 2
    ]
    shares = _context_shares(workspace, [(row, places) for row, _, places in valid])
    found = [
        PromisingNeuron(row=row, next_share=next_share, context_share=share, places=len(places))
        for (row, next_share, places), share in zip(valid, shares, strict=True)
    ]
    return sorted(found, key=lambda one: -one.context_share)[:limit]


def _predicted(workspace: Workspace, row: NextTokenNeuron) -> tuple[float, list[tuple[int, int]]]:
    """P(next = t) over the neuron's strongest training places, and these places (document, position)."""
    top = workspace.index.top(row.neuron, "explain", row.sign, k=PLACES)
    fires = top.activation * row.sign > 0
    places = list(zip(top.document[fires].tolist(), top.position[fires].tolist(), strict=True))
    following = [
        int(ids[position + 1])
        for document, position in places
        if position + 1 < len(ids := workspace.corpus.document_ids(document))
    ]
    share = sum(token == row.token_id for token in following) / len(following) if following else 0.0
    return share, places


def _context_shares(
    workspace: Workspace, neurons: Sequence[tuple[NextTokenNeuron, list[tuple[int, int]]]]
) -> list[float]:
    if not neurons:
        return []
    neurons = [(row, of_neuron[:SHARE_PLACES]) for row, of_neuron in neurons]
    places = sorted({place for _, of_neuron in neurons for place in of_neuron})
    number = {place: i for i, place in enumerate(places)}
    rows = [workspace.row(*place) for place in places]
    ends = np.array([len(row) - 1 for row in rows])
    queries = []
    for row, of_neuron in neurons:
        mine = np.array([number[place] for place in of_neuron])
        queries.append(Queries.of(row.neuron, mine, ends[mine]))
    remaining = without_heads(workspace.model, rows, joined(queries), workspace.mean_outputs, watch=workspace.watch)
    parts = np.split(remaining, np.cumsum([len(one) for one in queries])[:-1])
    shares = []
    for (row, _), left in zip(neurons, parts, strict=True):
        top = workspace.index.top(row.neuron, "explain", row.sign, k=PLACES)
        activation = top.activation[top.activation * row.sign > 0][: len(left)].astype(np.float64)
        shares.append(1.0 - float(left.sum() / activation.sum()))
    return shares


class PromisingToken(Record, frozen=True, kw_only=True):
    """A token and the neurons that predict it."""

    token: str
    token_id: int
    valid: int
    driven: int  # of them, those that heads drive
    context_share: float  # mean over the driven ones; 0 without any
    neurons: list[NeuronId]  # by context share


def promising_tokens(neurons: Sequence[PromisingNeuron]) -> list[PromisingToken]:
    """Tokens by how many of their neurons heads drive, then by the mean context share of these."""
    by_token: dict[int, list[PromisingNeuron]] = {}
    for one in neurons:
        by_token.setdefault(one.row.token_id, []).append(one)
    rows = []
    for token_id, valid in by_token.items():
        driven = [one for one in valid if one.context_share >= CONTEXT_DRIVEN]
        rows.append(
            PromisingToken(
                token=valid[0].row.token,
                token_id=token_id,
                valid=len(valid),
                driven=len(driven),
                context_share=float(np.mean([one.context_share for one in driven])) if driven else 0.0,
                neurons=[one.row.neuron for one in sorted(valid, key=lambda one: -one.context_share)],
            )
        )
    return sorted(rows, key=lambda row: (-row.driven, -row.context_share))
