"""A whole small study as a list of events, with text that tries to break out of whatever shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    CorpusOpened,
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
    Control,
    Explanation,
    GroupMean,
    HeadActivity,
    HeadId,
    HeadSummary,
    Interval,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
)
from headtorch.core.settings import Settings

HOSTILE = (
    "</td><script>a()</script> `x` | [l](http://e.vil) ![i](u) *b* _c_ \x1b[31mred\x1b[0m \u202egnp\u2066 [/INST] &lt;"
)
STATES, RANDOM = NeuronId(3, 412), NeuronId(2, 7)
SCORABLE, ONE_CLASS = HeadId(2, 1), HeadId(0, 3)


def prompt(neuron: NeuronId, document: int, activation: float, title: str = "1862 Lincoln") -> Prompt:
    return Prompt(
        neuron=neuron,
        document=document,
        title=title,
        position=40,
        start=38,
        window_start=0,
        token_ids=[0, 5, 6, 7],
        tokens=["of", " the", " United"],
        activation=activation,
        full_activation=2 * activation,
        kept_ratio=0.5,
        cluster=document,
        half="explain" if document % 2 == 0 else "score",
        long=False,
        next_token_id=8,
        next_token=" States",
    )


def found(neuron: NeuronId, token: str, random: bool = False) -> NextTokenNeuron:
    return NextTokenNeuron(
        neuron=neuron,
        token_id=8,
        token=token,
        congruence=3.25,
        cosine=0.5,
        z=10.8,
        rank=0,
        kind="prediction",
        random=random,
    )


def score(neuron: NeuronId, head: HeadId, e: float | None, q: float | None = None) -> Score:
    inactive = 0 if e is None else 40
    return Score(
        neuron=neuron,
        head=head,
        explainer="rules",
        n_active=30,
        n_inactive=inactive,
        true_active=27,
        true_inactive=inactive // 2,
        unusable=1,
        e=e,
        interval=None if e is None else Interval(e - 0.125, e + 0.125),
        f1=None if e is None else 0.5,
        mcc=None if e is None else 0.25,
        p=None if e is None else 0.0004,
        q=q,
        random_text_precision=None,
        controls=[Control(name="shuffled", e=0.5, n=70)],
        dropped=2,
        wrong_active=[1],
        wrong_inactive=[],
    )


def summary(head: HeadId, direct: float) -> HeadSummary:
    return HeadSummary(head=head, mean_direct=direct, beta=0.125, baseline_mean=0.25, baseline_sd=0.5)


def activity(neuron: NeuronId, head: HeadId) -> HeadActivity:
    return HeadActivity(
        neuron=neuron,
        head=head,
        rule="baseline",
        suppressing=False,
        active=[True, False],
        explain_share=0.5,
        mean_active=2.0,
        mean_inactive=0.1,
    )


def group(delta: float | None, n: int) -> AblationGroup:
    return AblationGroup(n=n, delta_log_p=delta, delta_p=delta, delta_logit=delta, delta_activation=delta)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the studies of whoever runs it."""
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


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
        ModelOpened(facts=facts()),
        CorpusOpened(
            name="sotu",
            fingerprint="c0ffee",
            documents=249,
            tokens=2_000_000,
            clusters=247,
            explain_documents=125,
            score_documents=124,
        ),
        NeuronsFound(neurons=[found(STATES, " States"), found(RANDOM, HOSTILE, random=True)]),
        StageFinished(stage="discover", seconds=1.5),
        IndexReady(key="k", windows=9000, tokens=2_000_000, seconds=60.0),
        PromptsFound(
            neuron=STATES, prompts=[prompt(STATES, 0, 2.0, HOSTILE), prompt(STATES, 1, 4.0)], dropped_near_duplicates=3
        ),
        PromptsFound(neuron=RANDOM, prompts=[], dropped_near_duplicates=0),
        ValidityMeasured(validity=validity()),
        HeadsAttributed(
            neuron=STATES,
            artefact="a" * 64 + ".npz",
            heads=[summary(HeadId(0, 0), 0.001), summary(ONE_CLASS, 0.5), summary(SCORABLE, 1.5)],
            top_heads=[SCORABLE, ONE_CLASS, HeadId(0, 0)],
            max_error=3e-7,
        ),
        HeadActivityFound(
            neuron=STATES,
            heads=[activity(STATES, SCORABLE), activity(STATES, ONE_CLASS)],
            eligible=3,
            never_active=1,
            always_active=0,
            explainable=2,
        ),
        HeadExplained(explanation=explanation(STATES, SCORABLE, f'the text has " the" {HOSTILE}')),
        HeadExplained(explanation=explanation(STATES, ONE_CLASS, "the text has a digit")),
        HeadExplained(explanation=explanation(RANDOM, SCORABLE, "the text has a capital")),
        HeadScored(score=score(STATES, SCORABLE, 0.7)),
        HeadScored(score=score(STATES, ONE_CLASS, None)),
        HeadScored(score=score(RANDOM, SCORABLE, 0.5625)),
        ScoresAdjusted(
            method="Benjamini-Yekutieli",
            explainer="rules",
            tests=2,
            adjusted=[AdjustedP(neuron=STATES, head=SCORABLE, explainer="rules", q=0.02)],
        ),
        HeadAblated(
            ablation=Ablation(
                neuron=STATES,
                head=SCORABLE,
                token_id=8,
                replacement="zero",
                position="last",
                active=group(-0.75, 30),
                inactive=group(None, 0),
                ks=None,
                ks_p=None,
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


def explanation(neuron: NeuronId, head: HeadId, text: str) -> Explanation:
    return Explanation(neuron=neuron, head=head, explainer="rules", text=text, train_balanced_accuracy=0.9)


def facts() -> ModelFacts:
    return ModelFacts(
        name="demo",
        family="gpt2",
        revision=None,
        fingerprint="f00d",
        n_layers=4,
        n_heads=4,
        n_kv_heads=4,
        d_model=128,
        d_head=32,
        d_mlp=512,
        d_vocab=4096,
        context=256,
        parallel=False,
        gated=False,
        activation="relu",
        norm="layer",
        post_norm=False,
        soft_cap=None,
        first_token=0,
        dtype="float32",
        device="cpu",
    )


def validity() -> Validity:
    return Validity(
        neuron=STATES,
        token_id=8,
        n=64,
        next_share=0.875,
        base_rate=0.001,
        lift=875.0,
        auroc=None,
        logit_attribution=2.5,
        ablation_log_p=-0.5,
        valid=True,
    )
