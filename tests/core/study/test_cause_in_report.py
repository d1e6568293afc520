"""What the report says of effects, their agreement and cooperation."""

from __future__ import annotations

import msgspec
import pytest

from headtorch.core.causes import (
    Agreement,
    ContextVariety,
    Cooperation,
    EffectSummary,
    HeadEffect,
    Mediation,
    PairSynergy,
    SelfRepair,
    Spectrum,
    SpectrumBin,
    SpectrumCurve,
    Synergy,
)
from headtorch.core.events import (
    AgreementMeasured,
    AnyEvent,
    CooperationMeasured,
    EffectsMeasured,
    HeadAblated,
    SpectrumMeasured,
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


def test_effects_over_all_activations_are_a_row_a_bin(asked: Settings, measured: list[AnyEvent]) -> None:
    curve = SpectrumCurve(
        head=STRONG,
        activation=[None, 0.625, 2.0],
        activation_interval=[None, Interval(0.5, 0.75), None],
        pre_activation=[None, 0.5, 1.0],
        pre_activation_interval=[None, None, None],
    )
    bins = [
        SpectrumBin(low=-1.0, high=0.0, n=0, activation=None),
        SpectrumBin(low=0.0, high=1.0, n=9, activation=0.5),
        SpectrumBin(low=None, high=None, strongest=1, n=12, activation=4.0),
    ]
    spectrum = Spectrum(neuron=NEURON, replacement="mean", position="last", donors=1, bins=bins, curves=[curve])
    text = to_markdown(build_report("trial", asked, fold([*measured, SpectrumMeasured(spectrum=spectrum)])))
    assert "| bin | mean activation | prompts | L2.H1 |" in text
    assert "| -1.00 to 0.00 | – | 0 | – |" in text
    assert "| 0.00 to 1.00 | 0.50 | 9 | 0.62 [0.50, 0.75] |" in text
    assert "| strongest | 4.00 | 12 | 2.00 |" in text


def test_variety_mediation_and_repair_are_told(asked: Settings, measured: list[AnyEvent]) -> None:
    variety = ContextVariety(
        n=512, top=20, variety=0.5, null_mean=0.4, null=Interval(0.3, 0.45), p=0.02, split=2, split_null=Interval(0, 1)
    )
    state = fold(measured)
    [together] = state.cooperation.values()
    state.cooperation[NEURON] = msgspec.structs.replace(together, variety=variety)
    [done] = state.ablations.values()
    through = Mediation(
        n=8, total=-0.5, through=-0.25, around=-0.125, interaction=-0.125, total_interval=None, through_interval=None,
        share=0.5, share_interval=None,
    )  # fmt: skip
    repair = SelfRepair(
        n=8, direct_log_p=-1.0, total_log_p=-0.5, gap_log_p=0.5, repaired_log_p=0.75, direct_logit=-1.0,
        total_logit=-0.5, gap_logit=0.5, repaired_logit=0.5,
    )  # fmt: skip
    state.apply(HeadAblated(ablation=msgspec.structs.replace(done, mediation_active=through, repair_active=repair)))
    text = to_markdown(build_report("trial", asked, state))
    assert "variety 0.50 among the top 20 of 512 random places" in text
    assert "-0.250 goes through the neuron (50 %), -0.125 around it" in text
    assert "-1.000 with everything later frozen, -0.500 in all; later layers make up for it on 75 %" in text
