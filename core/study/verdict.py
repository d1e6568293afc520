"""The verdict of a study, in numbers and in the sentence that every output begins with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headtorch.core.format import count
from headtorch.core.records import Record
from headtorch.core.text import visible

REASONS_NAMED = 3  # of those that most claims fail for


class ControlCount(Record, frozen=True, kw_only=True):
    """Claims that should fail, and how many of them passed the tests that a finding has to pass."""

    claims: int = 0
    passed: int = 0
    mean_contrast: float | None = None  # None: of context claims, or there are none


class Controls(Record, frozen=True, kw_only=True):
    """Of a same neuron part may pass, for heads of one neuron share contexts; the others must not."""

    same_neuron: ControlCount = ControlCount()
    other_neuron: ControlCount = ControlCount()
    shuffled: ControlCount = ControlCount()
    context_shuffled: ControlCount = ControlCount()  # context claims learned on shuffled labels


class RandomNeurons(Record, frozen=True, kw_only=True):
    """Claims of the random baseline that pass by E and effect contrast: how often any neuron has such heads."""

    neurons: int = 0
    context_claims: int = 0
    context_passed: int = 0
    head_claims: int = 0
    head_passed: int = 0


class StudyVerdict(Record, frozen=True, kw_only=True):
    """How the next-token neurons of a study came out. `tested` False: the study was made without tests of claims."""

    sentence: str
    tested: bool
    neurons: int  # next-token neurons
    valid: int  # of them, those that predict their token
    driven_by_heads: int  # context share ≥ 0.2
    driven_by_last_token: int  # context share below that
    valid_driven_by_heads: int
    valid_driven_by_last_token: int
    claims: int  # tested: context claims and head claims
    context_claims: int
    head_claims: int
    findings: int
    context_findings: int
    head_findings: int
    candidates: int  # without the claims about the last token
    last_token_claims: int  # not shown to go beyond the last token
    others: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)  # claims and findings by other explainers
    controls: Controls = Controls()
    random: RandomNeurons = RandomNeurons()


def verdict_sentence(verdict: StudyVerdict, token: str | None, reasons: Mapping[str, int]) -> str:
    """The sentences that every output begins with: neurons, claims, findings and controls.

    token: the one that all neurons are about; None: several
    reasons: why claims are no findings, with the number of claims
    """
    if not verdict.neurons:
        return "No next-token neuron was found."
    lead = "" if verdict.findings or not verdict.claims else "Nothing passed every test. "
    claims = f"{_claims(verdict, reasons)}{controls_sentence(verdict.controls)}{_of_others(verdict)}"
    return f"{lead}{_neurons(verdict, token)} {claims}"


def controls_sentence(controls: Controls) -> str:
    """How many claims passed that should fail, with a space in front; "" without controls."""
    parts = [
        f"{one.passed:,} of {one.claims:,} {what}"
        for one, what in (
            (controls.other_neuron, "with a rule of another neuron"),
            (controls.shuffled, "with shuffled labels"),
            (controls.context_shuffled, "with shuffled pairs"),
        )
        if one.claims
    ]
    same = controls.same_neuron
    must_fail = f" Of the controls, which should fail, {_listed(parts)} passed the same tests." if parts else ""
    may_pass = (
        f" {same.passed:,} of {same.claims:,} passed with the rule of another head of the same neuron; "
        "part of these may, for heads of one neuron share contexts."
    )
    return must_fail + (may_pass if same.claims else "")


def _neurons(verdict: StudyVerdict, token: str | None) -> str:
    what = f"“{visible(token)}”" if token is not None else "their token" if verdict.neurons > 1 else "its token"
    predict = f"{_of(verdict.valid, verdict.neurons, 'neuron')} {_verb(verdict, 'predict')} {what}"
    heads, last = verdict.valid_driven_by_heads, verdict.valid_driven_by_last_token
    if not verdict.valid or not heads + last:
        return f"{predict}."
    if verdict.valid == 1:
        return f"{predict}; {'heads drive it' if heads else 'its last token alone drives it'}."
    if not heads or not last:
        whole = "all" if heads + last == verdict.valid else f"{heads + last:,} of them"
        return f"{predict}; {'heads drive' if heads else 'the last token alone drives'} {whole}."
    return f"{predict}; heads drive {heads:,} of them, the last token alone drives {last:,}."


def _verb(verdict: StudyVerdict, verb: str) -> str:
    return verb if verdict.valid > 1 else f"{verb}s"


def _of(part: int, whole: int, noun: str) -> str:
    if whole == 1:
        return f"The {noun}" if part else f"The {noun} hardly"
    if part == whole:
        return f"All {whole:,} {noun}s"
    return f"{part:,} of {whole:,} {noun}s" if part else f"None of {whole:,} {noun}s"


def _claims(verdict: StudyVerdict, reasons: Mapping[str, int]) -> str:
    if not verdict.claims:
        return "No claim could be tested."
    tested = f"{count(verdict.claims, 'claim was', 'claims were')} tested on held-out text"
    are = "is" if verdict.last_token_claims == 1 else "are"
    aside = f"{verdict.last_token_claims:,} {are} not shown to go beyond the last token"
    if not verdict.findings:
        named = [f"{reason} ({number:,})" for reason, number in [*reasons.items()][:REASONS_NAMED]]
        why = f"; the most common reasons: {', '.join(named)}" if named else ""
        return f"{tested}{f', of which {aside}' if verdict.last_token_claims else ''}{why}."
    kinds = [
        f"{number:,} about {what}"
        for number, what in (
            (verdict.context_findings, "when a neuron fires"),
            (verdict.head_findings, "when a head drives it"),
        )
        if number
    ]
    parts = [
        f"{verdict.findings:,} {'is a finding' if verdict.findings == 1 else 'are findings'} ({_listed(kinds)})",
        f"{count(verdict.candidates, 'is a candidate', 'are candidates')}" if verdict.candidates else "",
        aside if verdict.last_token_claims else "",
    ]
    return f"{tested}: {_listed([part for part in parts if part])}."


def _of_others(verdict: StudyVerdict) -> str:
    parts = [
        f"{findings:,} of {claims:,} by {visible(name)}"
        for name, (claims, findings) in verdict.others.items()
        if claims
    ]
    return f" Findings of other explainers: {_listed(parts)}." if parts else ""


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
