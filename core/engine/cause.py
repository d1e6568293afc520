"""Requests about what heads really do: taken away, alone and together, and over all activations of a neuron."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.engine.ablating import ablated_prompts
from headtorch.core.engine.drilldown import known_head, known_neuron, labels
from headtorch.core.engine.head_ablation import More, Prompts, ablate_on_prompts, check_ablation
from headtorch.core.engine.measuring import measured
from headtorch.core.engine.mechanism import cooperation_on_corpus, spectrum_on_corpus
from headtorch.core.engine.protocol import AblateHead, MeasureCooperation, MeasureEffects, MeasureSpectrum
from headtorch.core.engine.session import Session
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.events import AnyEvent, CooperationMeasured, HeadAblated, SpectrumMeasured


def ablate_head(session: Session, request: AblateHead) -> Iterator[AnyEvent]:
    """Replace heads on prompts where the first is active and where it is not, as many of each as a study takes."""
    neuron, head, workspace = request.neuron, request.head, session.workspace
    asked = request.mediation
    more = More(tuple(request.together), mediation=asked, self_repair=asked, neuron_ablation=asked)
    check_ablation(workspace, neuron, head, request.replacement, request.position, more)
    yield from known_head(session, neuron, head)
    prompts, active = labels(session, neuron, head)
    activity = session.study.state.activity_of(neuron, head)
    places = "prompts" if activity is None else activity.places
    chosen = ablated_prompts(active, prompts, firing=places == "firing")
    ablation = ablate_on_prompts(
        workspace,
        Prompts(
            prompt_rows(session.study, workspace, [prompts[i] for i in chosen], places),
            np.array([active[i] for i in chosen], dtype=bool),
            [prompts[i].cluster for i in chosen],
        ),
        neuron,
        head,
        session.row_of(neuron).token_id,
        request.replacement,
        request.position,
        more,
    )
    lower = sum(prompts[i].bin is not None for i in chosen)
    yield session.log(HeadAblated(ablation=msgspec.structs.replace(ablation, lower=lower)))


def measure_effects(session: Session, request: MeasureEffects) -> Iterator[AnyEvent]:
    """The exact effect of every head on one neuron, on the prompts that a study takes for it."""
    yield from known_neuron(session, request.neuron)
    yield session.log(measured(session.study, session.workspace, request.neuron, session.engine))


def measure_cooperation(session: Session, request: MeasureCooperation) -> Iterator[AnyEvent]:
    """Heads taken away together."""
    neuron = request.neuron
    for head in request.heads:
        check_feeds(session.workspace.model, head, neuron)
    yield from known_neuron(session, neuron)
    token = session.row_of(neuron).token_id
    yield session.log(
        CooperationMeasured(cooperation=cooperation_on_corpus(session.workspace, neuron, token, request.heads))
    )


def measure_spectrum(session: Session, request: MeasureSpectrum) -> Iterator[AnyEvent]:
    """Effects over all activation bins."""
    for head in request.heads:
        check_feeds(session.workspace.model, head, request.neuron)
    yield from known_neuron(session, request.neuron)
    yield session.log(SpectrumMeasured(spectrum=spectrum_on_corpus(session.workspace, request.neuron, request.heads)))
