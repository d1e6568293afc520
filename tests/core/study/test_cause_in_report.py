"""What the report says of effects, their agreement and cooperation."""

from __future__ import annotations

import msgspec
import pytest

from headtorch.core.causes import (
    Agreement,
    Cooperation,
    EffectSummary,
    HeadEffect,
    PairSynergy,
    Synergy,
)
from headtorch.core.events import (
    AgreementMeasured,
    AnyEvent,
    CooperationMeasured,
    EffectsMeasured,
)
from headtorch.core.records import HeadId, Interval, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import fold
from headtorch.core.study.report import build_report, from_json, to_json, to_markdown

NEURON, STRONG, WEAK = NeuronId(3, 412), HeadId(2, 1), HeadId(0, 3)


@pytest.fixture
def measured(events: list[AnyEvent]) -> list[AnyEvent]:
    heads = [
        EffectSummary(head=WEAK, activation=0.25, pre_activation=0.5),
        EffectSummary(head=STRONG, activation=-1.125, pre_activation=-1.0, estimated_activation=-0.875),
    ]
    agreement = Agreement(
        neuron=None, estimate="direct", quantity="activation", n=9, spearman=0.491, n_spearman=8, top=0.562, n_top=9,
        pearson=0.736, pairs=90,
    )  # fmt: skip
    pair = PairSynergy(
        first=STRONG, second=WEAK, synergy=-0.3, interval=Interval(-0.4, -0.2), joint=1.0, reading="redundancy", p=0.01,
        matched=40, null=Interval(-0.1, 0.1),
    )  # fmt: skip
    synergy = Synergy(
        quantity="pre_activation", heads=[HeadEffect(head=STRONG, effect=-1.0, interval=None)], pairs=[pair],
        joint=[-1.0], joint_interval=None, sum=-1.0,
    )  # fmt: skip
    return [
        *events,
        EffectsMeasured(
            neuron=NEURON, replacement="resample", position="last", donors=4, artefact="a" * 64, prompts=[0, 1],
            heads=heads, agreement=[msgspec.structs.replace(agreement, neuron=NEURON)],
        ),
        AgreementMeasured(replacement="resample", position="last", neurons=1, agreement=[agreement]),
        CooperationMeasured(
            cooperation=Cooperation(
                neuron=NEURON, token_id=1, n=12, replacement="resample", donors=4, synergies=[synergy]
            )
        ),
    ]  # fmt: skip


def test_a_study_that_measured_nothing_of_cause_has_no_such_section(asked: Settings, events: list[AnyEvent]) -> None:
    report = build_report("trial", asked, fold(events))
    assert not report.cause.effects and "What heads really do" not in to_markdown(report)


def test_the_largest_effects_stand_with_their_estimate_and_attribution(
    asked: Settings, measured: list[AnyEvent]
) -> None:
    report = build_report("trial", asked, fold(measured))
    assert [row.head for row in report.cause.effects] == [STRONG, WEAK]
    text = to_markdown(report)
    direct = fold(measured).heads(NEURON)[STRONG].mean_direct
    assert f"| L3.N412 | L2.H1 | -1.125 | -0.875 | {direct:.3f} | 2 |" in text
    assert "| direct | 0.49 | 0.56 | 0.74 | 8 of 9 |" in text
    assert "| pre activation | L2.H1 and L0.H3 | -0.300 | -0.400 to -0.200 | 0.01 | redundancy |" in text


def test_the_json_holds_all_of_it(asked: Settings, measured: list[AnyEvent]) -> None:
    report = build_report("trial", asked, fold(measured))
    assert from_json(to_json(report)).cause == report.cause
    assert len(report.cause.agreement) == 2 and report.cause.cooperation[0].n == 12
