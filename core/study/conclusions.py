"""What a study concludes: which claims are findings, which are candidates, and what the controls say (METHOD 7).

Computed from the state alone, so that the terminal, the workbench and every format of the report say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headtorch.core.claims import ControlClaim
from headtorch.core.records import NeuronId, Record
from headtorch.core.study.claim_families import Families, Family, families
from headtorch.core.study.claim_joins import NO_VALIDITY, NOT_PATCHED, NOT_REWRITTEN, NOT_VALID, context_row, head_row
from headtorch.core.study.claim_rows import CHANCE, ClaimRow, ContextRow, HeadClaimRow
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.study.state import StudyState
from headtorch.core.study.verdict import ControlCount, Controls, RandomNeurons, StudyVerdict, verdict_sentence

NOT_OF_RANDOM = (NOT_VALID, NO_VALIDITY, NOT_PATCHED, NOT_REWRITTEN)  # tests that random neurons are not put to
BEFORE_CLAIMS = "This study was made before claims were tested on held-out text: it has no findings, only explanations."
PAPER = "The paper's preset tests no claims: it has explanations with their scores, and no findings."
NOT_YET = "No claim has been tested yet."


class Conclusions(Record, frozen=True, kw_only=True):
    """The verdict and the rows behind it, each list in the order in which it is shown."""

    verdict: StudyVerdict
    findings: list[ClaimRow]
    candidates: list[ClaimRow]
    last_token: list[ClaimRow]  # not shown to go beyond the token at p
    random: list[ClaimRow]  # of the random baseline


def conclusions(state: StudyState) -> Conclusions:
    """Every claim of the study's own neurons, tested within the families of its explainer.

    Findings come by neuron, that of the strongest finding first, and candidates likewise behind those of valid neurons;
    the context claim of a neuron before its head claims. Strength is (lower bound of E − 0.5) × the lower bound of the
    share taken or of the effect contrast; what is equal keeps the order of the study.
    """
    rows = claim_rows(state)
    studied = [row for row in rows if not row.random]
    findings = in_order([row for row in studied if row.is_finding])
    last_token = [row for row in studied if _is_last_token(row)]
    candidates = in_order([row for row in studied if row.reasons and not _is_last_token(row)])
    random = [row for row in rows if row.random]
    verdict = _verdict(state, studied, random)
    return Conclusions(
        verdict=verdict, findings=findings, candidates=candidates, last_token=in_order(last_token), random=random
    )


def _verdict(state: StudyState, studied: Sequence[ClaimRow], random: Sequence[ClaimRow]) -> StudyVerdict:
    """What the study's own explainer came to, others counted apart: two explainers of one head are not two findings."""
    own = state.settings.explainer_name if state.settings is not None else "rules"
    rows = [row for row in studied if isinstance(row, ContextRow) or row.explainer == own]
    findings = [row for row in rows if row.is_finding]
    last_token = [row for row in rows if _is_last_token(row)]
    candidates = [row for row in rows if row.reasons and not _is_last_token(row)]
    others = [row for row in studied if isinstance(row, HeadClaimRow) and row.explainer != own]
    verdict = StudyVerdict(
        sentence="",
        tested=bool(rows) or state.is_done("claims"),
        **_neurons(state),
        claims=len(rows),
        context_claims=_contexts(rows),
        head_claims=len(rows) - _contexts(rows),
        findings=len(findings),
        context_findings=_contexts(findings),
        head_findings=len(findings) - _contexts(findings),
        candidates=len(candidates),
        last_token_claims=len(last_token),
        others={
            name: (
                sum(row.explainer == name for row in others),
                sum(row.explainer == name and row.is_finding for row in others),
            )
            for name in dict.fromkeys(row.explainer for row in others)
        },
        controls=control_counts(state),
        random=_random(state, [row for row in random if isinstance(row, ContextRow) or row.explainer == own]),
    )
    return msgspec.structs.replace(verdict, sentence=_sentence(state, verdict, candidates))


def claim_rows(state: StudyState) -> list[ClaimRow]:
    """Every claim of the study's own neurons, neuron by neuron in its order, the context claims of each first."""
    tested = _families(state)
    rows: dict[NeuronId, list[ClaimRow]] = {neuron: [] for neuron in state.neurons}
    for (neuron, explainer), context in state.context_claims.items():
        if neuron in rows:
            found = state.neurons[neuron]
            rows[neuron].append(context_row(state, found, context, tested[explainer, found.random]))
    for (neuron, _, explainer), claim in state.head_claims.items():
        if neuron in rows:
            found = state.neurons[neuron]
            rows[neuron].append(head_row(state, found, claim, tested[explainer, found.random]))
    return [row for of_neuron in rows.values() for row in of_neuron]


def in_order(rows: Sequence[ClaimRow]) -> list[ClaimRow]:
    """Neurons that are valid first, then by their strongest claim; a neuron's context claims before its head claims."""
    strongest: dict[str, float] = {}
    for row in rows:
        strongest[row.neuron] = max(strongest.get(row.neuron, 0.0), row.strength)
    place = {neuron: at for at, neuron in enumerate(strongest)}
    return sorted(
        rows,
        key=lambda row: (
            not row.valid,
            -strongest[row.neuron],
            place[row.neuron],
            isinstance(row, HeadClaimRow),
            -row.strength,
        ),
    )


def control_counts(state: StudyState) -> Controls:
    """How many controls of the next-token neurons pass as the study's own claims do.

    A control passes with its lower bound of E above chance, a contrast above 0, also among places of one last token,
    and p values at or below the largest that passed in the family of the real claims.
    """
    explainer = state.settings.explainer_name if state.settings is not None else "rules"
    real = families(state, explainer, random=False)
    controls = [one for found in state.next_token_neurons() for one in state.controls.get(found.neuron, [])]
    of_heads = [one for one in controls if one.head is not None]
    of_contexts = [one for one in controls if one.head is None]
    return Controls(
        same_neuron=_count([one for one in of_heads if one.kind == "same_neuron"], real),
        other_neuron=_count([one for one in of_heads if one.kind == "other_neuron"], real),
        shuffled=_count([one for one in of_heads if one.kind == "shuffled"], real),
        context_shuffled=_count(of_contexts, real),
    )


def _count(controls: Sequence[ControlClaim], real: Families) -> ControlCount:
    contrasts = [one.contrast for one in controls if one.contrast is not None]
    return ControlCount(
        claims=len(controls),
        passed=sum(_passes(one, real) for one in controls),
        mean_contrast=sum(contrasts) / len(contrasts) if contrasts else None,
    )


def _passes(control: ControlClaim, real: Families) -> bool:
    if control.e_low is None or control.e_low <= CHANCE:
        return False
    if control.head is None:
        return _is_within(control.p_e, real.context_e)
    above_zero = control.contrast is not None and control.contrast > 0 and control.about_context is not False
    return above_zero and _is_within(control.p_e, real.head_e) and _is_within(control.p_contrast, real.contrast)


def _is_within(p: float | None, family: Family[Any]) -> bool:
    return p is not None and p <= family.cutoff


def _families(state: StudyState) -> dict[tuple[str, bool], Families]:
    by_context = (explainer for _, explainer in state.context_claims)
    by_head = (explainer for _, _, explainer in state.head_claims)
    explainers = dict.fromkeys([*by_context, *by_head])
    return {(name, random): families(state, name, random=random) for name in explainers for random in (False, True)}


def _neurons(state: StudyState) -> dict[str, int]:
    neurons = [found.neuron for found in state.next_token_neurons()]
    valid = {neuron for neuron in neurons if neuron in state.validity and state.validity[neuron].valid}
    measured = [state.context_share[neuron] for neuron in neurons if neuron in state.context_share]
    by_heads = {one.neuron for one in measured if one.is_driven}
    by_token = {one.neuron for one in measured if not one.is_driven}
    return {
        "neurons": len(neurons),
        "valid": len(valid),
        "driven_by_heads": len(by_heads),
        "driven_by_last_token": len(by_token),
        "valid_driven_by_heads": len(by_heads & valid),
        "valid_driven_by_last_token": len(by_token & valid),
    }


def _random(state: StudyState, rows: Sequence[ClaimRow]) -> RandomNeurons:
    passed = [row for row in rows if all(reason in NOT_OF_RANDOM for reason in row.reasons)]
    return RandomNeurons(
        neurons=len(state.random_neurons()),
        context_claims=_contexts(rows),
        context_passed=_contexts(passed),
        head_claims=len(rows) - _contexts(rows),
        head_passed=len(passed) - _contexts(passed),
    )


def _sentence(state: StudyState, verdict: StudyVerdict, candidates: Sequence[ClaimRow]) -> str:
    if not verdict.tested:
        return _untested(state)
    tokens = {found.token for found in state.next_token_neurons()}
    reasons = Counter(reason.split(" (")[0] for row in candidates for reason in row.reasons)
    return verdict_sentence(verdict, tokens.pop() if len(tokens) == 1 else None, dict(reasons.most_common()))


def _untested(state: StudyState) -> str:
    if state.settings is not None and state.settings.preset == "paper":
        return PAPER
    return NOT_YET if has_claim_stages(state) else BEFORE_CLAIMS


def _is_last_token(row: ClaimRow) -> bool:
    return isinstance(row, HeadClaimRow) and row.tag is not None


def _contexts(rows: Iterable[ClaimRow]) -> int:
    return sum(isinstance(row, ContextRow) for row in rows)
