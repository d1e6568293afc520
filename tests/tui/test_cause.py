"""Exact effects, cooperation and spectra in the workbench: the grid's numbers, the tabs, and what keys ask for."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from detail_pages import page, page_lines
from pane_stage import on_stage, shown
from rich.cells import cell_len
from sample_records import AN, DAMPING, LOOKUP, PREVIOUS, sample_ablation

from headtorch.core.causes import (
    AblationPoints,
    Agreement,
    ControlHead,
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
from headtorch.core.engine.protocol import MeasureCooperation, MeasureEffects
from headtorch.core.events import AgreementMeasured, CooperationMeasured, EffectsMeasured, SpectrumMeasured
from headtorch.core.records import HeadId, Interval
from headtorch.tui.panes.head_view import head_view
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.session import Session
from headtorch.tui.topics import topics_of

pytestmark = pytest.mark.anyio

HOSTILE = "[bold]no\x1b[31m\u202e"


def effects() -> EffectsMeasured:
    told = Agreement(
        neuron=AN, estimate="direct", quantity="pre_activation", n=6, spearman=0.491, n_spearman=6, top=0.4, n_top=6,
        pearson=-0.2, pairs=48,
    )  # fmt: skip
    return EffectsMeasured(
        neuron=AN, replacement="resample", position="last", donors=4, artefact="effects", prompts=[1, 3],
        heads=[EffectSummary(head=LOOKUP, activation=1.5, pre_activation=1.25, estimated_pre_activation=1.0),
               EffectSummary(head=DAMPING, activation=-0.5, pre_activation=-2.5)],
        agreement=[told],
    )  # fmt: skip


def pair(first: HeadId, second: HeadId, synergy: float, reading: str) -> PairSynergy:
    return PairSynergy(
        first=first, second=second, synergy=synergy, interval=Interval(synergy - 0.1, synergy + 0.1), joint=1.0,
        reading=reading, p=0.02, matched=30, null=Interval(-0.05, 0.05),
    )  # fmt: skip


def cooperation() -> Cooperation:
    heads = [LOOKUP, DAMPING, PREVIOUS]
    return Cooperation(
        neuron=AN, token_id=5, n=12, replacement="resample", donors=4,
        synergies=[
            Synergy(
                quantity="pre_activation",
                heads=[HeadEffect(head=head, effect=1.0, interval=None) for head in heads],
                pairs=[pair(LOOKUP, DAMPING, 0.5, "cooperation"), pair(LOOKUP, PREVIOUS, -0.4, "redundancy"),
                       pair(DAMPING, PREVIOUS, 0.01, "untested")],
                joint=[1.0, 1.5, 2.25], joint_interval=None, sum=3.0,
            )
        ],
    )  # fmt: skip


def spectrum() -> Spectrum:
    def curve(head: HeadId, last: float) -> SpectrumCurve:
        values = [-0.25, None, last]
        intervals = [Interval(-0.5, 0.0), None, None]
        return SpectrumCurve(
            head=head, activation=values, activation_interval=intervals, pre_activation=values,
            pre_activation_interval=intervals,
        )  # fmt: skip

    bins = [SpectrumBin(low=0.0, high=1.0, n=7, activation=0.5), SpectrumBin(low=1.0, high=2.0, n=0, activation=None),
            SpectrumBin(low=None, high=None, n=9, activation=3.25)]  # fmt: skip
    return Spectrum(
        neuron=AN, replacement="resample", position="last", donors=4, bins=bins,
        curves=[curve(DAMPING, 2.0), curve(LOOKUP, 4.5)],
    )  # fmt: skip


def test_the_grid_shows_other_numbers_and_says_why_a_head_has_none(session: Session) -> None:
    session.selection.measure = "effect"
    view = head_view(session)
    assert view is not None and view.value(LOOKUP) is None and "not measured yet: E" in view.gap
    session.state.apply(effects())
    view = head_view(session)
    assert view is not None and view.value(LOOKUP) == 1.25 and view.ranking == [DAMPING, LOOKUP]
    assert (view.title, view.scope) == ("mean effect", "mean of 2 prompts")
    assert view.agreement == ["direct against exact effect: Spearman 0.49, n 6 prompts"]
    summary = session.state.heads(AN)[LOOKUP]
    for measure, value in (("beta", summary.beta), ("removal", summary.mean_removal), ("prior", summary.prior)):
        session.selection.measure = measure
        view = head_view(session)
        assert view is not None and view.value(LOOKUP) == value
        assert value is not None or view.gap


def test_on_one_prompt_the_effects_are_those_of_the_prompt(session: Session) -> None:
    facts = session.state.model
    assert facts is not None
    values = np.zeros((2, facts.n_layers, facts.n_heads), dtype=np.float32)
    values[1, LOOKUP.layer, LOOKUP.index] = 7.0
    session._arrays["effects"] = {"activation": values, "pre_activation": values}
    session.state.apply(effects())
    session.selection.measure, session.selection.one_prompt, session.selection.prompt = "effect", True, 3
    view = head_view(session)
    assert view is not None and view.value(LOOKUP) == 7.0
    session.selection.prompt = 2
    view = head_view(session)
    assert view is not None and view.value(LOOKUP) is None and "2 other prompts" in view.gap


async def test_the_pane_names_what_it_shows(session: Session) -> None:
    session.selection.measure = "effect"
    async with on_stage(HeadsPane(), session, (44, 20)) as (app, _):
        assert "not measured yet" in shown(app)
        session.state.apply(effects())
        app.pane.show(session)
        await _.pause()
        text = shown(app)
        assert "mean effect" in text and "Spearman 0.49" in " ".join(text.replace("│", " ").split()) and "+1.25" in text


def test_the_tab_says_what_is_missing_waiting_and_failed(session: Session) -> None:
    text = page(session, "Cause")
    assert text.count("Not measured yet") == 3
    session.requests.waiting[7] = MeasureEffects(id=7, neuron=AN)
    session.requests.failed.append((MeasureCooperation(id=8, neuron=AN), HOSTILE))
    text = page(session, "Cause")
    assert "Measuring …" in text and "It failed: [bold]no\\x1b[31m\\u202e" in text


@pytest.mark.parametrize("width", [34, 74, 116, 196])
def test_effects_cooperation_and_spectrum_fit_and_read_as_they_are(session: Session, width: int) -> None:
    over_all = msgspec.structs.replace(effects().agreement[0], neuron=None, n=40, spearman=0.25)
    for event in (
        effects(),
        AgreementMeasured(replacement="resample", position="last", neurons=3, agreement=[over_all]),
        CooperationMeasured(cooperation=cooperation()),
        SpectrumMeasured(spectrum=spectrum()),
    ):
        session.state.apply(event)
        assert "detail" in topics_of(event)
    text = page(session, "Cause", width)
    assert "Not measured" not in text and "None" not in text and "nan" not in text
    assert "L2.H7 on the pre-activation +1.25" in text and "0.49" in text and "0.25" in text
    assert "rank 2 of 2" in text
    if width >= 74:
        assert "+0.50 ∧" in text and "−0.40 ∨" in text and "+0.01 ?" in text
        [row] = [line for line in text.splitlines() if "★ 3.25" in line]
        assert row.split()[2:4] == ["9", "+4.50"] and "█" in row
    assert "+1.00 +1.50 +2.25" in " ".join(text.split())


def test_an_ablation_shows_its_prompts_tests_controls_and_ways(session: Session) -> None:
    mediation = Mediation(
        n=5, total=-0.5, through=-0.3, around=-0.15, interaction=-0.05, total_interval=None, through_interval=None,
        share=0.6, share_interval=None,
    )  # fmt: skip
    repair = SelfRepair(
        n=5, total_log_p=-0.5, direct_log_p=-0.75, gap_log_p=0.25, repaired_log_p=0.8, total_logit=0.0,
        direct_logit=0.0, gap_logit=0.0, repaired_logit=0.0,
    )  # fmt: skip
    done = msgspec.structs.replace(
        sample_ablation(AN, LOOKUP),
        together=[PREVIOUS],
        p=0.013,
        controlled_p=0.41,
        norm=2.0,
        controls=[ControlHead(heads=[DAMPING, HeadId(0, 0)], norm=1.9, active=-0.02, inactive=0.01)],
        points=AblationPoints([True, True, False], [-1.0, -1.0, 0.5], [0.0, 0.0, 0.0]),
        mediation_active=mediation,
        repair_active=repair,
    )
    session.state.ablations.clear()
    session.state.ablations[AN, LOOKUP, "mean", "last", (PREVIOUS,)] = done
    text = page(session, "Ablation")
    assert f"with {PREVIOUS}" in text and "labels permuted: p 0.013" in text and "beyond control heads: p 0.41" in text
    assert "through the neuron −0.30" in text and "share through 60 %" in text
    assert "gap +0.25; later parts make up for the head on 80 % of the prompts" in " ".join(text.split())
    lines = page_lines(session, "Ablation")
    active = next(line for line in lines if line.startswith("● █"))
    inactive = next(line for line in lines if line.startswith("○ ") and line.endswith("█"))
    assert active.count("█") == 1 and cell_len(active) == cell_len(inactive)
