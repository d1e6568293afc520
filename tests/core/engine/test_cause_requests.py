"""Requests about what heads do, of a study of a tiny model: against forward passes of the same prompts, and the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from wire import Wire

from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.engine.head_effects import compare, measure_effects
from headtorch.core.engine.measuring import measured_prompts
from headtorch.core.engine.mechanism import cooperation_on_corpus, spectrum_on_corpus
from headtorch.core.engine.pipeline import is_finished, run_study, stages_left
from headtorch.core.engine.protocol import (
    AblateHead,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    OpenStudy,
    RequestDone,
)
from headtorch.core.engine.session import Session
from headtorch.core.engine.workspace import Workspace
from headtorch.core.event_lines import decode
from headtorch.core.events import (
    AgreementMeasured,
    CooperationMeasured,
    EffectsMeasured,
    HeadAblated,
    SpectrumMeasured,
    StageFinished,
)
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study, fold

HEAD, OTHER = HeadId(1, 2), HeadId(0, 1)
SILENT_HEAD = HeadId(2, 0)  # of the layer after L1


@pytest.fixture(scope="module")
def wire(own_home: Path, tiny_settings: Settings) -> Iterator[Wire]:
    """An engine whose study has been run."""
    with Wire() as engine:
        _, end = engine.ask(OpenStudy(id=0, settings=tiny_settings, device="cpu"))
        assert isinstance(end, RequestDone), end
        yield engine


@pytest.fixture
def session(wire: Wire) -> Session:
    assert wire.engine.session is not None
    return wire.engine.session


@pytest.fixture
def neuron(session: Session) -> NeuronId:
    """One of the study's own, with prompts."""
    return next(
        row.neuron for row in session.study.state.next_token_neurons() if session.study.state.prompts[row.neuron]
    )


@pytest.fixture(scope="module")
def apart(own_home: Path, tiny_settings: Settings) -> Workspace:
    """Another copy of the model: that of the engine may be at work on its own."""
    return Workspace(tiny_settings, device="cpu")


def rows_of(session: Session, neuron: NeuronId, chosen: list[int]) -> list[list[int]]:
    prompts = session.study.state.prompts[neuron]
    return [session.workspace.row(prompts[i].document, prompts[i].position) for i in chosen]


def test_a_study_measures_every_next_token_neuron_and_the_agreement_over_all(
    session: Session, apart: Workspace
) -> None:
    state = session.study.state
    own = [row.neuron for row in state.next_token_neurons() if state.prompts[row.neuron]]
    assert list(state.effects) == own and state.agreement is not None and state.agreement.neurons == len(own)
    rows, neurons = [], []
    for neuron in own:
        event = state.effects[neuron]
        mine = rows_of(session, neuron, event.prompts)
        rows, neurons = rows + mine, neurons + [neuron] * len(mine)
    found = measure_effects(apart, rows, neurons, estimate=True)
    told = compare(apart, found, attribute(apart.model, rows, neurons))
    ours = [*(one for neuron in own for one in state.effects[neuron].agreement), *state.agreement.agreement]
    for a, b in zip(ours, sorted(told, key=lambda one: [*own, None].index(one.neuron)), strict=True):
        for name in ("neuron", "estimate", "quantity", "n", "n_spearman", "n_top", "pairs"):
            assert getattr(a, name) == getattr(b, name)
        assert a.pearson == pytest.approx(b.pearson, abs=1e-3) and a.top == pytest.approx(b.top, abs=0.1)
    event, kept = state.effects[own[0]], session.study.load_arrays(state.effects[own[0]].artefact)
    mine = [i for i, neuron in enumerate(neurons) if neuron == own[0]]
    np.testing.assert_allclose(kept["activation"], found.exact.activation[mine], atol=1e-5)
    assert np.isnan(kept["pre_activation"][:, own[0].layer + 1 :]).all()
    assert len(event.heads) == apart.model.eligible_heads(own[0].layer).sum()
    for one in event.heads:
        assert one.activation == pytest.approx(kept["activation"][:, one.head.layer, one.head.index].mean(), abs=1e-6)


def test_effects_are_measured_on_the_scoring_half(session: Session, neuron: NeuronId) -> None:
    prompts = session.study.state.prompts[neuron]
    scoring = [i for i, prompt in enumerate(prompts) if prompt.half == "score"]
    assert set(measured_prompts(prompts)) <= set(scoring) if scoring else True
    only = [prompt for prompt in prompts if prompt.half == "explain"]
    assert measured_prompts(only) == list(range(min(12, len(only)))) and measured_prompts([]) == []


def test_a_neuron_that_somebody_looks_at_is_measured_on_its_own(wire: Wire, session: Session) -> None:
    own = session.study.state.neurons
    looked_at = next(n for i in range(48) if (n := NeuronId(2, i)) not in own)
    before = session.study.state.agreement
    events = wire.events(MeasureEffects(id=0, neuron=looked_at))
    assert isinstance(events[-1], EffectsMeasured) and events[-1].neuron == looked_at
    assert session.study.state.agreement == before


def test_heads_are_taken_away_together_on_the_prompts_of_the_first(
    wire: Wire, session: Session, apart: Workspace, neuron: NeuronId
) -> None:
    [event] = wire.events(AblateHead(id=0, neuron=neuron, head=HEAD, together=[OTHER], replacement="zero"))
    assert isinstance(event, HeadAblated)
    done = event.ablation
    assert done.together == [OTHER] and done.points is not None and done.mediation_active is None
    rows = rows_of(session, neuron, list(range(len(session.study.state.prompts[neuron]))))
    [change] = ablate_heads(apart.model, rows, neuron, done.token_id, [(HEAD, OTHER)], replacement="zero")
    parts = [(g.n, g.delta_log_p) for g in (done.active, done.inactive) if g.delta_log_p is not None]
    assert sum(n * mean for n, mean in parts) / len(rows) == pytest.approx(change.delta_log_p.mean(), rel=1e-3)


def test_mediation_comes_with_self_repair_and_the_neuron_itself(wire: Wire, neuron: NeuronId) -> None:
    [event] = wire.events(AblateHead(id=0, neuron=neuron, head=HEAD, mediation=True))
    assert isinstance(event, HeadAblated)
    done = event.ablation
    found = [one for one in (done.mediation_active, done.mediation_inactive) if one is not None]
    assert done.replacement == "resample" and found and done.silenced is not None
    assert [one is not None for one in (done.repair_active, done.repair_inactive)] == [
        one is not None for one in (done.mediation_active, done.mediation_inactive)
    ]
    for one in found:
        assert one.total == pytest.approx(one.through + one.around + one.interaction, abs=1e-6)


def test_cooperation_and_spectrum_are_those_of_the_commands(
    wire: Wire, session: Session, apart: Workspace, neuron: NeuronId
) -> None:
    [together] = wire.events(MeasureCooperation(id=0, neuron=neuron, heads=[HEAD, OTHER]))
    assert isinstance(together, CooperationMeasured)
    token = session.row_of(neuron).token_id
    assert together.cooperation == cooperation_on_corpus(apart, neuron, token, [HEAD, OTHER])
    [curves] = wire.events(MeasureSpectrum(id=0, neuron=neuron, heads=[HEAD]))
    assert isinstance(curves, SpectrumMeasured)
    assert curves.spectrum == spectrum_on_corpus(apart, neuron, [HEAD])
    state = fold(session.study.replay())
    assert state.cooperation[neuron] == together.cooperation and state.spectrum[neuron] == curves.spectrum


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (MeasureEffects(id=0, neuron=NeuronId(2, 48)), "no neuron L2.N48"),
        (MeasureCooperation(id=0, neuron=NeuronId(1, 1), heads=[HEAD, SILENT_HEAD]), "L2.H0 cannot feed L1.N1"),
        (MeasureCooperation(id=0, neuron=NeuronId(1, 1), heads=[HEAD]), "at least two heads"),
        (MeasureSpectrum(id=0, neuron=NeuronId(1, 1), heads=[HeadId(1, 9)]), "no head L1.H9"),
        (AblateHead(id=0, neuron=NeuronId(1, 1), head=HEAD, together=[HEAD]), "named twice"),
        (AblateHead(id=0, neuron=NeuronId(1, 1), head=HEAD, position="all"), "last position alone"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(wire: Wire, request_: Any, said: str) -> None:
    message = wire.refusal(request_)
    assert said in message and "\n" not in message


def test_a_finished_study_without_effects_is_finished_and_a_run_adds_them_alone(
    session: Session, apart: Workspace, tmp_path: Path, tiny_settings: Settings
) -> None:
    """As one that was made before there were effects."""
    new = (EffectsMeasured, AgreementMeasured)
    lines = (session.folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    old = [line for line in lines if not isinstance(decode(line), new) and b'"stage":"effects"' not in line]
    folder = tmp_path / "older"
    Study.create(folder, tiny_settings).close()
    (folder / "events.jsonl").write_bytes(b"".join(old))
    for name in (session.folder / "artefacts").iterdir():
        (folder / "artefacts").mkdir(exist_ok=True)
        (folder / "artefacts" / name.name).write_bytes(name.read_bytes())
    with Study.open(folder, write=True) as study:
        assert is_finished(study.state) and stages_left(study.state) == ["effects"]
        events = list(run_study(study, apart))
        assert [one.stage for one in events if isinstance(one, StageFinished)] == ["effects"]
        assert is_finished(study.state) and stages_left(study.state) == []
        first = next(iter(study.state.effects))
        ours, theirs = study.state.effects[first], session.study.state.effects[first]
        assert msgspec.structs.replace(ours, artefact="") == msgspec.structs.replace(theirs, artefact="")
