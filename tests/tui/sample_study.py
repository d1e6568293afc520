"""The made-up study whole, for tests of the terminal: its log, its state, a session over it, and its folder."""

from __future__ import annotations

from pathlib import Path

import made_up
from fake_engine import FakeEngine
from sample_answers import sample_shading
from sample_records import (
    ALWAYS,
    AN,
    AS,
    DAMPING,
    HEADS,
    LOOKUP,
    LOWER,
    NEURONS,
    PREVIOUS,
    PROMPTS,
    STATES,
    sample_ablation,
    sample_activity,
    sample_arrays,
    sample_attribution,
    sample_explanation,
    sample_facts,
    sample_prompt,
    sample_row,
    sample_score,
    sample_validity,
)

from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadScored,
    IndexReady,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    ScoresAdjusted,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
    Warned,
)
from headtorch.core.records import AdjustedP, GroupMean, Interval, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.state import StudyState, fold
from headtorch.core.study.study import Study
from headtorch.tui.selection import Selection
from headtorch.tui.session import Session


def sample_events() -> list[AnyEvent]:
    """Everything that the log of the finished study holds, StudyOpened left out."""
    before: list[AnyEvent] = [
        StageStarted(stage="discover"),
        ModelOpened(facts=sample_facts()),
        made_up.corpus(),
        NeuronsFound(neurons=[sample_row(neuron) for neuron in NEURONS]),
        StageFinished(stage="discover", seconds=1.5),
        IndexReady(key="k", windows=9000, tokens=2_000_000, seconds=60.0),
    ]
    found = [event for neuron in NEURONS for event in _of_neuron(neuron)]
    return [*before, *found, *_over_all()]


def _of_neuron(neuron: NeuronId) -> list[AnyEvent]:
    at = NEURONS.index(neuron)
    lower = [sample_prompt(neuron, index, lower=True) for index in range(LOWER)]
    activities = [
        sample_activity(neuron, head, lower=LOWER if head == ALWAYS else 0)
        for head in (LOOKUP, PREVIOUS, DAMPING, ALWAYS)
    ]
    scored = [
        sample_score(neuron, LOOKUP, 0.83 - 0.06 * at),
        sample_score(neuron, PREVIOUS, 0.71 - 0.05 * at),
        sample_score(neuron, DAMPING, None),
    ]
    return [
        PromptsFound(
            neuron=neuron, prompts=[sample_prompt(neuron, i) for i in range(PROMPTS)], dropped_near_duplicates=3
        ),
        ValidityMeasured(validity=sample_validity(neuron)),
        sample_attribution(neuron),
        HeadActivityFound(
            neuron=neuron,
            heads=activities,
            eligible=(neuron.layer + 1) * HEADS,
            never_active=(neuron.layer + 1) * HEADS - 4,
            always_active=1,
            explainable=3,
            lower=lower,
        ),
        *(HeadExplained(explanation=sample_explanation(neuron, score.head)) for score in scored),
        *(HeadScored(score=score) for score in scored),
        *(HeadAblated(ablation=sample_ablation(neuron, head)) for head in (LOOKUP, PREVIOUS)),
    ]


def _over_all() -> list[AnyEvent]:
    return [
        ScoresAdjusted(
            explainer="rules",
            method="Benjamini-Yekutieli",
            tests=6,
            adjusted=[
                AdjustedP(neuron=neuron, head=head, explainer="rules", q=0.004 * (1 + at))
                for at, neuron in enumerate((AN, AS, STATES))
                for head in (LOOKUP, PREVIOUS)
            ],
        ),
        BaselineCompared(
            explainer="rules",
            next_token=GroupMean(mean=0.72, median=0.73, interval=Interval(0.64, 0.8), heads=6, neurons=3),
            random=GroupMean(mean=0.57, median=0.57, interval=Interval(0.5, 0.63), heads=4, neurons=2),
            difference=0.15,
            interval=Interval(0.04, 0.26),
        ),
        Warned(text="Only 12 prompts were found.", neuron=STATES),
        Warned(text="The corpus is small for this model."),
        StudyFinished(seconds=100.0),
    ]


def sample_settings() -> Settings:
    """What the study was asked."""
    return Settings(token_texts=(" an",), layers="last:2", neurons_limit=3, random_neurons=2)


def sample_state() -> StudyState:
    """The finished study."""
    state = fold(sample_events())
    state.settings = sample_settings()
    return state


def sample_session(state: StudyState | None = None, study: Study | None = None) -> Session:
    """A session over a FakeEngine that looks at the first neuron and its strongest explained head, shaded."""
    session = Session(FakeEngine(lambda message: None, lambda end: None), state=state or sample_state(), study=study)
    session.selection = Selection(neuron=AN, head=LOOKUP)
    session.take(sample_shading())
    return session


def bare_session() -> Session:
    """A session without a study."""
    return Session(FakeEngine(lambda message: None, lambda end: None))


def sample_folder(tmp_path: Path) -> Path:
    """The study as a real folder with its artefacts, so that `Session.arrays` and notes work."""
    folder = tmp_path / "sample"
    with Study.create(folder, sample_settings()) as study:
        for neuron in NEURONS:
            study.save_arrays(sample_arrays(neuron))
        for event in sample_events():
            study.append(event)
    return folder


def session_in(folder: Path) -> Session:
    """A session over the study in `folder`."""
    study = Study.open(folder)
    session = sample_session(study.state, study)
    session.notes = study.notes.read()
    return session
