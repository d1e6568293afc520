"""A whole small study as a list of events, with text that tries to break out of whatever shows it."""

from __future__ import annotations

from pathlib import Path

import made_up
import pytest
from claims_study import claims_study

from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadsAttributed,
    HeadScored,
    IndexReady,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    ReportWritten,
    ScoresAdjusted,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
    Warned,
)
from headtorch.core.records import (
    AdjustedP,
    GroupMean,
    HeadId,
    HeadSummary,
    Interval,
    NeuronId,
    Prompt,
)
from headtorch.core.settings import Settings
from headtorch.core.study import Study

HOSTILE = (
    "</td><script>a()</script> `x` | [l](http://e.vil) ![i](u) *b* _c_ \x1b[31mred\x1b[0m \u202egnp\u2066 [/INST] &lt;"
)
STATES, RANDOM = NeuronId(3, 412), NeuronId(2, 7)
SCORABLE, ONE_CLASS = HeadId(2, 1), HeadId(0, 3)


def prompt(neuron: NeuronId, document: int, activation: float, title: str = "1862 Lincoln") -> Prompt:
    return made_up.prompt(
        neuron,
        document,
        ["of", " the", " United"],
        position=40,
        title=title,
        tokens=["of", " the", " United"],
        activation=activation,
        full_activation=2 * activation,
        kept_ratio=0.5,
    )


def summary(head: HeadId, direct: float) -> HeadSummary:
    return HeadSummary(head=head, mean_direct=direct, beta=0.125, baseline_mean=0.25, baseline_sd=0.5)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the studies of whoever runs it."""
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def claims_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made-up study with claims of every kind, which no test changes."""
    return claims_study(tmp_path_factory.mktemp("claims") / "study").folder


@pytest.fixture
def claims(claims_folder: Path) -> Study:
    """The study of `claims_folder`, with a state that a test may change."""
    return Study.open(claims_folder)


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def asked() -> Settings:
    return Settings(token_texts=(" States",), context=128)


@pytest.fixture
def events() -> list[AnyEvent]:
    """Everything after StudyOpened: two neurons (one random), three explained heads, one of them not scorable."""
    return [
        StageStarted(stage="discover"),
        ModelOpened(facts=made_up.facts(4, 4, 128, activation="relu")),
        made_up.corpus(),
        NeuronsFound(neurons=[made_up.found(STATES, " States"), made_up.found(RANDOM, HOSTILE, random=True)]),
        StageFinished(stage="discover", seconds=1.5),
        IndexReady(key="k", windows=9000, tokens=2_000_000, seconds=60.0),
        PromptsFound(
            neuron=STATES, prompts=[prompt(STATES, 0, 2.0, HOSTILE), prompt(STATES, 1, 4.0)], dropped_near_duplicates=3
        ),
        PromptsFound(neuron=RANDOM, prompts=[], dropped_near_duplicates=0),
        ValidityMeasured(validity=made_up.validity(STATES)),
        HeadsAttributed(
            neuron=STATES,
            artefact="a" * 64 + ".npz",
            heads=[summary(HeadId(0, 0), 0.001), summary(ONE_CLASS, 0.5), summary(SCORABLE, 1.5)],
            top_heads=[SCORABLE, ONE_CLASS, HeadId(0, 0)],
            max_error=3e-7,
        ),
        HeadActivityFound(
            neuron=STATES,
            heads=[made_up.activity(STATES, head, [True, False]) for head in (SCORABLE, ONE_CLASS)],
            eligible=3,
            never_active=1,
            always_active=0,
            explainable=2,
        ),
        HeadExplained(explanation=made_up.explanation(STATES, SCORABLE, f'the text has " the" {HOSTILE}')),
        HeadExplained(explanation=made_up.explanation(STATES, ONE_CLASS, "the text has a digit")),
        HeadExplained(explanation=made_up.explanation(RANDOM, SCORABLE, "the text has a capital")),
        HeadScored(score=made_up.score(STATES, SCORABLE, 0.7)),
        HeadScored(score=made_up.score(STATES, ONE_CLASS, None)),
        HeadScored(score=made_up.score(RANDOM, SCORABLE, 0.5625)),
        ScoresAdjusted(
            method="Benjamini-Yekutieli",
            explainer="rules",
            tests=2,
            adjusted=[AdjustedP(neuron=STATES, head=SCORABLE, explainer="rules", q=0.02)],
        ),
        HeadAblated(
            ablation=made_up.ablation(
                STATES, SCORABLE, made_up.changes(-0.75, 30), made_up.changes(None, 0), replacement="zero"
            )
        ),
        BaselineCompared(
            explainer="rules",
            next_token=GroupMean(mean=0.7, median=0.7, interval=Interval(0.6, 0.8), heads=1, neurons=1),
            random=GroupMean(mean=None, median=None, interval=None, heads=0, neurons=1),
            difference=None,
            interval=None,
        ),
        Warned(text=f"The scan was slow. {HOSTILE}"),
        StageStarted(stage="score", neuron=STATES),
        StageFinished(stage="score", neuron=STATES, seconds=0.5),
        StageStarted(stage="ablate", neuron=RANDOM),
        ReportWritten(paths=["report.md"]),
        StudyFinished(seconds=100.0),
    ]
