"""Rows of claims, joined from the state of a study: claim, explanation, score, validity, context share, ablations."""

from __future__ import annotations

from headtorch.core.causes import Ablation
from headtorch.core.claims import ContextClaim, Estimate, HeadClaim, JointHeads, MatchedHead, Rewriting
from headtorch.core.explain.named_tokens import is_about_last_token
from headtorch.core.explain.rule import parsed_rule
from headtorch.core.format import small
from headtorch.core.records import Explanation, HeadId, Interval, NeuronId, NextTokenNeuron, Validity
from headtorch.core.study.claim_families import LEVEL, Families
from headtorch.core.study.claim_rows import (
    CHANCE,
    ContextRow,
    HeadClaimRow,
    JointRow,
    MatchedHeadRow,
    RewriteRow,
)
from headtorch.core.study.state import StudyState

NOT_VALID, NO_VALIDITY = "neuron not valid", "validity not measured"
RULE_OF_LAST_TOKEN = "the rule is about the last token alone"
NOT_WITHIN_TOKEN = "contrast not surely above 0 among places with the same last token"
NOT_PATCHED, NOT_REWRITTEN = "matched patching not measured", "rewriting not tested"


def context_row(state: StudyState, found: NextTokenNeuron, claim: ContextClaim, families: Families) -> ContextRow:
    """A context claim joined with what the study knows of its neuron."""
    share, validity = state.context_share.get(claim.neuron), state.validity.get(claim.neuron)
    heads = [matched_row(one, families.taken.q.get((claim.neuron, one.head))) for one in claim.heads]
    low, high = _bounds(claim.interval)
    q = families.context_e.q.get(claim.neuron)
    return ContextRow(
        neuron=str(claim.neuron),
        token=found.token,
        random=found.random,
        text=claim.text,
        rule=claim.rule,
        explainer=claim.explainer,
        context_share=share.share.value if share else None,
        valid=validity.valid if validity else None,
        pairs=claim.pairs,
        documents=claim.documents,
        e=claim.e,
        e_low=low,
        e_high=high,
        auroc=claim.auroc,
        auroc_ceiling=claim.auroc_ceiling,
        p=claim.p,
        q=q,
        rewrite=rewrite_row(claim.rewriting),
        not_testable=claim.rewriting.not_testable if claim.rewriting else None,
        heads=heads,
        joint=[joint_row(one) for one in claim.joint],
        eligible_heads=claim.eligible_heads,
        heads_for_80=claim.heads_for_80,
        reasons=_with_rewriting(
            [*_against_validity(validity), *_against_e(claim.e, low, q), *_against_heads(heads)], claim.rewriting
        ),
    )


def head_row(state: StudyState, found: NextTokenNeuron, claim: HeadClaim, families: Families) -> HeadClaimRow:
    """A head claim joined with its explanation, its score E, and what ablating the head does to the token."""
    neuron, head, key = claim.neuron, claim.head, (claim.neuron, claim.head)
    share, validity = state.context_share.get(neuron), state.validity.get(neuron)
    explanation = state.explanations.get((neuron, head, claim.explainer))
    score = state.scores.get((neuron, head, claim.explainer))
    low, high = _bounds(score.interval if score else None)
    q, q_e = families.contrast.q.get(key), families.head_e.q.get(key)
    contrast, resample, within = claim.contrast, claim.contrast_resample, claim.within_token
    delta_log_p = _delta_log_p(state, neuron, head)
    return HeadClaimRow(
        neuron=str(neuron),
        head=str(head),
        token=found.token,
        random=found.random,
        text=explanation.text if explanation else "",
        rule=explanation.rule if explanation else None,
        explainer=claim.explainer,
        suppressing=claim.suppressing,
        tag=claim.tag,
        label=claim.label,
        label_effect_spearman=claim.label_effect_spearman,
        context_share=share.share.value if share else None,
        valid=validity.valid if validity else None,
        replacement=claim.replacement,
        effect_holds=claim.effect_holds,
        effect_elsewhere=claim.effect_elsewhere,
        contrast=contrast.value if contrast else None,
        contrast_low=contrast.low if contrast else None,
        contrast_high=contrast.high if contrast else None,
        contrast_resample=resample.value if resample else None,
        contrast_resample_low=resample.low if resample else None,
        contrast_resample_high=resample.high if resample else None,
        within_token=within.value if within else None,
        within_token_low=within.low if within else None,
        within_token_high=within.high if within else None,
        n_holds=claim.n_holds,
        n_elsewhere=claim.n_elsewhere,
        documents=claim.documents,
        p=claim.p,
        q=q,
        e=score.e if score else None,
        e_low=low,
        e_high=high,
        p_e=score.p if score else None,
        q_e=q_e,
        n_active=score.n_active if score else 0,
        n_inactive=score.n_inactive if score else 0,
        auroc=score.auroc if score else None,
        auroc_ceiling=claim.auroc_ceiling,
        rewrite=rewrite_row(claim.rewriting),
        not_testable=claim.rewriting.not_testable if claim.rewriting else None,
        delta_log_p=delta_log_p,
        raises_p=not claim.suppressing and delta_log_p is not None and delta_log_p > 0,
        reasons=_with_rewriting(
            [
                *_against_validity(validity),
                *_against_e(score.e if score else None, low, q_e),
                *_against_contrast(contrast, q),
                *([_why_last_token(explanation)] if claim.tag is not None else []),
            ],
            claim.rewriting,
        ),
    )


def matched_row(head: MatchedHead, q: float | None) -> MatchedHeadRow:
    """One head of a context claim."""
    return MatchedHeadRow(
        head=str(head.head),
        taken=head.taken.value,
        taken_low=head.taken.low,
        taken_high=head.taken.high,
        restored=head.restored.value,
        restored_low=head.restored.low,
        restored_high=head.restored.high,
        p=head.p,
        q=q,
        attends=head.attends,
        attributes=head.attributes,
        taken_holds=head.taken_holds,
        taken_elsewhere=head.taken_elsewhere,
    )


def joint_row(joint: JointHeads) -> JointRow:
    """Several heads of a context claim together."""
    return JointRow(
        heads=joint.heads,
        taken=joint.taken.value,
        low=joint.taken.low,
        high=joint.taken.high,
        restored=joint.restored.value,
        restored_low=joint.restored.low,
        restored_high=joint.restored.high,
    )


def rewrite_row(rewriting: Rewriting | None) -> RewriteRow | None:
    """The rewriting test; None where there was none, or none was possible."""
    if rewriting is None or rewriting.change is None:
        return None
    placebo, difference = rewriting.placebo, rewriting.difference
    return RewriteRow(
        kind=rewriting.kind,
        change=rewriting.change.value,
        low=rewriting.change.low,
        high=rewriting.change.high,
        placebo=placebo.value if placebo else None,
        placebo_low=placebo.low if placebo else None,
        placebo_high=placebo.high if placebo else None,
        difference=difference.value if difference else None,
        difference_low=difference.low if difference else None,
        difference_high=difference.high if difference else None,
        effect_change=rewriting.effect_change.value if rewriting.effect_change else None,
        effect_placebo=rewriting.effect_placebo.value if rewriting.effect_placebo else None,
        attribution_change=rewriting.attribution_change.value if rewriting.attribution_change else None,
        attribution_placebo=rewriting.attribution_placebo.value if rewriting.attribution_placebo else None,
        pairs=rewriting.pairs,
        documents=rewriting.documents,
        agrees=rewriting.agrees,
    )


def _against_validity(validity: Validity | None) -> list[str]:
    if validity is None:
        return [NO_VALIDITY]
    return [] if validity.valid else [NOT_VALID]


def _against_e(e: float | None, low: float | None, q: float | None) -> list[str]:
    if e is None:
        return ["E not scorable"]
    if low is None or low <= CHANCE or q is None or q >= LEVEL:
        return [f"E not above chance{_with_q(q)}"]
    return []


def _against_heads(heads: list[MatchedHeadRow]) -> list[str]:
    if not heads:
        return [NOT_PATCHED]
    if any(one.taken > 0 and one.q is not None and one.q < LEVEL for one in heads):
        return []
    smallest = min((one.q for one in heads if one.q is not None), default=None)
    return [f"no head takes a share above 0{_with_q(smallest)}"]


def _against_contrast(contrast: Estimate | None, q: float | None) -> list[str]:
    if contrast is None:
        return ["no effect contrast"]
    if contrast.value <= 0:
        return ["effect contrast against the claimed direction"]
    return [] if q is not None and q < LEVEL else [f"effect contrast not above 0{_with_q(q)}"]


def _why_last_token(explanation: Explanation | None) -> str:
    rule = parsed_rule(explanation.rule) if explanation is not None else None
    return RULE_OF_LAST_TOKEN if rule is not None and is_about_last_token(rule) else NOT_WITHIN_TOKEN


def _with_rewriting(reasons: list[str], rewriting: Rewriting | None) -> list[str]:
    """The reasons, with that of the rewriting test. Only claims that pass everything else need one."""
    if rewriting is None:
        return reasons or [NOT_REWRITTEN]
    agrees = rewriting.agrees or rewriting.not_testable is not None
    return reasons if agrees else [*reasons, "rewriting does not agree"]


def _with_q(q: float | None) -> str:
    return "" if q is None else f" (q {small(q)})"


def _bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval is not None else (None, None)


def _delta_log_p(state: StudyState, neuron: NeuronId, head: HeadId) -> float | None:
    """Of the newest ablation of the head alone, where it is active; at the firing position, if there is one."""
    alone = [done for done in state.ablations_of(neuron, head) if not done.together]
    chosen: Ablation | None = max(
        enumerate(alone), key=lambda one: (one[1].position == "last", one[0]), default=(0, None)
    )[1]
    return chosen.active.delta_log_p if chosen is not None else None
