"""A text of the user's own: what a neuron does on it, what one head gave, and what the model says without the head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.analysis.activations import activations
from headtorch.core.analysis.attribution import Attribution, attribute
from headtorch.core.analysis.attribution_records import by_head
from headtorch.core.analysis.interventions import CLEAN, Edit, Means, edited
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.engine.protocol import ProbeText, TextProbed, TokenProbability
from headtorch.core.engine.session import Session
from headtorch.core.engine.shading import head_sources
from headtorch.core.errors import InputError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId

SHOWN = 10  # most probable tokens


def probe_text(session: Session, request: ProbeText) -> Iterator[TextProbed]:
    """Everything about one text. Without a position: where the neuron is strongest, in the sense that it fires in."""
    model, neuron, head = session.workspace.model, request.neuron, request.head
    model.check_neuron(neuron)
    if head is not None:
        check_feeds(model, head, neuron)
    row = _row(model, request.text)
    own = model.facts.first_token is not None  # index of the text's own first token
    [found] = activations(model, [row], neuron, session.engine)
    activation = found[own:]
    position = request.position
    if position is None:
        position = int((np.array(activation) * session.row_of(neuron).sign).argmax())
    if not 0 <= position < len(activation):
        raise InputError(f"The text has tokens 0-{len(activation) - 1}, so no token {position}.")
    read = row[: own + position + 1]
    attribution = attribute(model, [read], [neuron], watch=session.engine)
    logits, _ = end_of(model, read, neuron)
    probed = TextProbed(
        request=request.id,
        neuron=neuron,
        head=head,
        tokens=model.token_texts(row[own:]),
        token_ids=row[own:],
        activation=activation,
        position=position,
        **_parts(attribution),
        sources=[],
        attention=[],
        next_tokens=_probabilities(model, logits, _front(logits)),
        next_without=[],
    )
    yield probed if head is None else _with_head(session, request, probed, head, read, logits)


def _row(model: LanguageModel, text: str) -> list[int]:
    row = model.row(text)
    if len(row) == (model.facts.first_token is not None):
        raise InputError("There is no text yet; type some.")
    model.check_rows([row])
    return row


def _parts(attribution: Attribution) -> dict[str, Any]:
    """The numbers of the sum, for the record."""
    heads = by_head(attribution.direct[0])
    if attribution.gated:
        return {"pre_activation": None, "heads": heads, "other": None, "error": None}
    total = float(attribution.sum[0, 0])
    return {
        "pre_activation": float(attribution.pre_activation[0, 0]),
        "heads": heads,
        "other": total - float(np.nansum(attribution.direct[0].astype(np.float64))),
        "error": float(attribution.error[0, 0]),
    }


def _with_head(
    session: Session, request: ProbeText, probed: TextProbed, head: HeadId, read: list[int], logits: Tensor
) -> TextProbed:
    model, neuron = session.workspace.model, request.neuron
    given, attended = (values[0] for values in head_sources(model, [read], neuron, head, session.engine))
    own = len(read) - probed.position - 1
    behind = [0.0] * (len(probed.tokens) - probed.position - 1)
    means = session.means if request.replacement == "mean" else None
    without, activation = end_of(model, read, neuron, Edit(heads=(head,)), means)
    shown = list(dict.fromkeys([*_front(logits), *_front(without)]))
    return msgspec.structs.replace(
        probed,
        sources=given[own:].tolist() + behind,
        elsewhere=float(given[:own].sum()),
        attention=attended[own:].tolist() + behind,
        next_without=sorted(_probabilities(model, without, shown), key=lambda one: -one.p),
        activation_without=activation,
    )


def end_of(
    model: LanguageModel, row: Sequence[int], neuron: NeuronId, edit: Edit = CLEAN, means: Means | None = None
) -> tuple[Float[Tensor, " d_vocab"], float]:
    """Logits and the neuron's activation at the end of a row, under an edit there."""
    ids = torch.tensor([list(row)], device=model.device)
    last = torch.tensor([len(row) - 1], device=model.device)
    means = None if means is None else means.to(model.device)
    with edited(model, [edit], last, "last", means):
        activation = model.mlp_activations(ids, [neuron.layer])[neuron.layer][0, -1, neuron.index]
        return model.logits(ids)[0, -1], float(activation)


def _front(logits: Float[Tensor, " d_vocab"]) -> list[int]:
    return [int(token) for token in logits.topk(min(SHOWN, len(logits))).indices]


def _probabilities(
    model: LanguageModel, logits: Float[Tensor, " d_vocab"], tokens: Sequence[int]
) -> list[TokenProbability]:
    p = logits.double().softmax(-1)
    return [TokenProbability(model.token_text(token), float(p[token]), token) for token in tokens]
