"""What heads really do, as rows and phrases that every format of the report can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headtorch.core.causes import (
    Agreement,
    ContextVariety,
    Cooperation,
    PairSynergy,
    Spectrum,
    SpectrumBin,
    SpectrumCurve,
)
from headtorch.core.records import (
    HeadId,
    Interval,
    NeuronId,
    Record,
)
from headtorch.core.study.report.phrases import number, small, table, with_interval
from headtorch.core.study.state import StudyState

if TYPE_CHECKING:
    from headtorch.core.study.report.contents import Report

HEADS_SHOWN = 5  # of each neuron, the largest effects


class EffectRow(Record, frozen=True, kw_only=True):
    """The exact effect of one head on one neuron, beside its attribution; means over prompts."""

    neuron: NeuronId
    head: HeadId
    activation: float
    pre_activation: float
    estimated_activation: float | None  # from the gradient
    mean_direct: float | None  # over all prompts of the neuron
    prompts: int
    replacement: str


class Cause(Record, frozen=True, kw_only=True):
    """What was measured of cause. Empty lists in a study that measured nothing of it."""

    effects: list[EffectRow]  # of every neuron that was measured, the largest first
    agreement: list[Agreement]  # neuron by neuron, then over all next-token neurons
    cooperation: list[Cooperation]
    spectra: list[Spectrum]


def cause_of(state: StudyState) -> Cause:
    """All that the study knows of cause."""
    over_all = state.agreement.agreement if state.agreement is not None else []
    return Cause(
        effects=[row for neuron in state.effects for row in effect_rows(state, neuron)],
        agreement=[*(one for event in state.effects.values() for one in event.agreement), *over_all],
        cooperation=list(state.cooperation.values()),
        spectra=list(state.spectrum.values()),
    )


def effect_rows(state: StudyState, neuron: NeuronId) -> list[EffectRow]:
    """Every head of one neuron, the largest effect on its activation first."""
    event, summaries = state.effects[neuron], state.heads(neuron)
    rows = [
        EffectRow(
            neuron=neuron,
            head=one.head,
            activation=one.activation,
            pre_activation=one.pre_activation,
            estimated_activation=one.estimated_activation,
            mean_direct=summaries[one.head].mean_direct if one.head in summaries else None,
            prompts=len(event.prompts),
            replacement=event.replacement,
        )
        for one in event.heads
    ]
    return sorted(rows, key=lambda row: -abs(row.activation))


def cause_section(report: Report) -> list[str]:
    """The section in Markdown; nothing where nothing was measured."""
    cause = report.cause
    if not (cause.effects or cause.cooperation or cause.spectra):
        return []
    lines = ["## What heads really do"]
    if cause.effects:
        lines += [
            "Effect = clean − replaced, on the neuron's activation at the firing token: the head's output is replaced "
            "and everything behind it up to the neuron is computed again.",
            *_agreement(cause.agreement),
            table(
                ["neuron", "head", "effect", "gradient estimate", "mean A(h)", "prompts"],
                [_effect(row) for row in _shown(cause.effects)],
            ),
        ]
    for one in cause.cooperation:
        lines += _together(one)
    for spectrum in cause.spectra:
        lines += _spectrum(spectrum)
    return lines


def _shown(rows: Sequence[EffectRow]) -> list[EffectRow]:
    seen: dict[NeuronId, int] = {}
    shown = []
    for row in rows:
        seen[row.neuron] = seen.get(row.neuron, 0) + 1
        if seen[row.neuron] <= HEADS_SHOWN:
            shown.append(row)
    return shown


def _effect(row: EffectRow) -> list[str]:
    return [
        str(row.neuron),
        str(row.head),
        number(row.activation, 3),
        number(row.estimated_activation, 3),
        number(row.mean_direct, 3),
        str(row.prompts),
    ]


def _agreement(found: Sequence[Agreement]) -> list[str]:
    over_all = [one for one in found if one.neuron is None and one.quantity == "activation"]
    if not over_all:
        return []
    rows = [
        [one.estimate, number(one.spearman), number(one.top), number(one.pearson), f"{one.n_spearman} of {one.n}"]
        for one in over_all
    ]
    return [
        "How well cheaper numbers tell the effects, over the next-token neurons: Spearman over the heads of a prompt "
        "and the share of the five largest, means over prompts; Pearson over all heads and prompts.",
        table(["number", "Spearman", "top 5", "Pearson", "ranked prompts"], rows),
    ]


def _together(found: Cooperation) -> list[str]:
    """The pairs of the heads, by what they do to the pre-activation and to log p."""
    rows = [
        [synergy.quantity.replace("_", " "), *_pair(pair)]
        for synergy in found.synergies
        if synergy.quantity != "activation"
        for pair in synergy.pairs
    ]
    return [
        f"Heads of {found.neuron} taken away together, on {found.n} prompts: I = e(A) + e(B) − e(A and B). p is "
        "against random pairs of heads with the same effects, and is not adjusted.",
        table(["on", "heads", "I", "95 %", "p", "reading"], rows),
        *_variety(found.variety),
    ]


def _variety(seen: ContextVariety | None) -> list[str]:
    if seen is None:
        return []
    return [
        f"Different heads for different prompts: variety {number(seen.variety)} among the top {seen.top} of {seen.n} "
        f"random places; selection by the sum alone makes it {with_interval(seen.null_mean, seen.null)}, "
        f"p = {small(seen.p)}."
    ]


def _spectrum(found: Spectrum) -> list[str]:
    """A row an activation bin, a column a head: effects against the activation."""
    rows = [
        [_bin(bin), number(bin.activation), str(bin.n), *(_mean(curve, place) for curve in found.curves)]
        for place, bin in enumerate(found.bins)
    ]
    return [
        f"Effects on {found.neuron} over all its activations ({found.replacement}): in each bin of the activation "
        "the mean effect of a head [95 %].",
        table(["bin", "mean activation", "prompts", *(str(curve.head) for curve in found.curves)], rows),
    ]


def _bin(bin: SpectrumBin) -> str:
    if bin.low is None or bin.high is None:
        return "most negative" if bin.strongest < 0 else "strongest"
    return f"{number(bin.low)} to {number(bin.high)}"


def _mean(curve: SpectrumCurve, place: int) -> str:
    return with_interval(curve.activation[place], curve.activation_interval[place])


def _pair(pair: PairSynergy) -> list[str]:
    return [
        f"{pair.first} and {pair.second}",
        number(pair.synergy, 3),
        _between(pair.interval),
        small(pair.p),
        pair.reading,
    ]


def _between(interval: Interval | None) -> str:
    return "–" if interval is None else f"{number(interval.low, 3)} to {number(interval.high, 3)}"
