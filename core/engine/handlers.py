"""Which function answers which request. Importing this imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headtorch.core.engine import cause, drilldown, probing, roles, shading
from headtorch.core.engine.protocol import (
    AblateHead,
    Answer,
    AnyRequest,
    ExplainHead,
    FindHeadRoles,
    ListNeurons,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    NeuronList,
    PlanCalls,
    ProbeText,
    ReadDocument,
    ShadePrompts,
    VisitNeuron,
)
from headtorch.core.engine.session import NO_STUDY, Session, open_study
from headtorch.core.errors import InputError
from headtorch.core.events import AnyEvent

if TYPE_CHECKING:
    from headtorch.core.engine.server import Engine

__all__ = ["answer", "open_study"]


def answer(engine: Engine, request: AnyRequest) -> Iterator[AnyEvent | Answer]:
    """What the engine has to say to a request about the study that is open; raises InputError where none is."""
    session = engine.session
    if session is None:
        raise InputError(NO_STUDY)
    match request:
        case ListNeurons():
            yield list_neurons(session, request)
        case VisitNeuron():
            yield from drilldown.visit_neuron(session, request)
        case ShadePrompts():
            yield from shading.shade_prompts(session, request)
        case ExplainHead():
            yield from drilldown.explain_head(session, request)
        case PlanCalls():
            yield from drilldown.plan_calls(session, request)
        case AblateHead():
            yield from cause.ablate_head(session, request)
        case MeasureEffects():
            yield from cause.measure_effects(session, request)
        case MeasureCooperation():
            yield from cause.measure_cooperation(session, request)
        case MeasureSpectrum():
            yield from cause.measure_spectrum(session, request)
        case FindHeadRoles():
            yield from roles.find_head_roles(session.workspace.model, request.id, watch=engine)
        case ReadDocument():
            yield from shading.read_document(session, request)
        case ProbeText():
            yield from probing.probe_text(session, request)


def list_neurons(session: Session, request: ListNeurons) -> NeuronList:
    """Every neuron of the study's layers, in order of address."""
    rows = [row for layer in sorted(set(session.workspace.layers)) for row in session.rows_of(layer)]
    return NeuronList(
        request=request.id,
        layer=[row.neuron.layer for row in rows],
        index=[row.neuron.index for row in rows],
        token_id=[row.token_id for row in rows],
        token=[row.token for row in rows],
        congruence=[row.congruence for row in rows],
        cosine=[row.cosine for row in rows],
        z=[row.z for row in rows],
        kind=[row.kind for row in rows],
    )
