"""The claim about the selected head: where it drives the neuron, how surely, and what that rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.claims import ClaimHead, Estimate, HeadClaim
from headtorch.core.format import count, percent, plain, points_with_interval
from headtorch.core.records import HeadId, NeuronId, Score
from headtorch.core.replacement_kinds import REPLACEMENTS
from headtorch.core.study.claim_text import condition
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.text import visible
from headtorch.tui.claims import chosen_heads, head_claim
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.detail.rewriting import rewriting_lines
from headtorch.tui.panes.detail.standing import standing
from headtorch.tui.panes.detail.unexplained import nothing_yet, why_not_chosen
from headtorch.tui.panes.detail.verdict import in_brackets
from headtorch.tui.panes.figures import fixed, signed, small
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.core.study.claim_rows import HeadClaimRow
    from headtorch.tui.session import Session

EXAMPLES = 1


def head_claim_lines(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    """The claim of the selected head, or why there is none."""
    shown = head_claim(session, neuron, head)
    if shown is None:
        lines = paragraph(_why_none(session, neuron, head), width, palette.style("quiet"))
        chosen = next((one for one in chosen_heads(session, neuron) if one.head == head), None)
        return lines if chosen is None else [*lines, *flow(_label(chosen, palette), width)]
    claim, row = shown
    said = session.state.explanations.get((neuron, head, claim.explainer))
    score = session.state.scores.get((neuron, head, claim.explainer))
    verb = "holds it back" if claim.suppressing else "drives it"
    text = f"{head} {verb} where: {condition(said.text) if said is not None else 'its rule holds'}"
    chosen = next((one for one in chosen_heads(session, neuron) if one.head == head), None)
    return [
        *paragraph(text, width, palette.style("bright", bold=True)),
        *standing(row, width, palette),
        *flow(_effects(claim, row, palette), width),
        *flow(_scored(score, claim, row, palette), width),
        *flow(_label(chosen, palette) if chosen is not None else [], width),
        *flow(_checks(claim, row, palette), width),
        *rewriting_lines(claim.rewriting, EXAMPLES, width, palette),
        *flow([fact("by", visible(claim.explainer), palette)], width),
    ]


def _why_none(session: Session, neuron: NeuronId, head: HeadId) -> str:
    if reason := nothing_yet(session, neuron, head):
        return reason
    if reason := why_not_chosen(session, neuron, head):
        return reason
    if neuron in session.state.claim_heads:
        return f"The claim about {head} is not tested yet."
    there = has_claim_stages(session.state)
    return "Which heads claims are about is not decided yet." if there else f"No claim is about {head}."


def _effects(claim: HeadClaim, row: HeadClaimRow | None, palette: Palette) -> list[Text]:
    holds, elsewhere = claim.effect_holds, claim.effect_elsewhere
    verb = "holds back" if claim.suppressing else "removes"
    facts = [fact(verb, f"{percent(holds)} where it holds, {percent(elsewhere)} elsewhere", palette, strong=True)]
    if claim.contrast is not None:
        facts.append(fact("Δ", points_with_interval(claim.contrast), palette, strong=True))
    facts.append(fact("q", small(row.q if row is not None else None), palette))
    return [*facts, fact("", count(claim.documents, "document"), palette)]


def _scored(score: Score | None, claim: HeadClaim, row: HeadClaimRow | None, palette: Palette) -> list[Text]:
    if score is None or score.e is None:
        facts = [fact("E", "not scorable" if score is not None else "not scored", palette, style="warning")]
    else:
        facts = [
            fact("E", fixed(score.e), palette, strong=True),
            Text(in_brackets(score.interval), style=palette.style("text")),
            fact("n", f"{score.n_active} + {score.n_inactive}", palette),
            fact("q", small(row.q_e if row is not None else None), palette),
            *([fact("AUROC", plain(score.auroc), palette)] if score.auroc is not None else []),
        ]
    return [*facts, fact("ceiling", plain(claim.auroc_ceiling), palette)]


def _label(chosen: ClaimHead, palette: Palette) -> list[Text]:
    told = "its attribution" if chosen.label == "attribution" else "carrying ≥ 20 % of the activation"
    return [
        fact("active by", told, palette),
        fact("Spearman with its effect", fixed(chosen.label_effect_spearman), palette),
        fact("on", f"{percent(chosen.active_share)} of the training places", palette),
    ]


def _checks(claim: HeadClaim, row: HeadClaimRow | None, palette: Palette) -> list[Text]:
    """What else the effect was measured by, and what the reader must not overlook."""
    facts = [fact("replaced by", REPLACEMENTS[claim.replacement].label, palette)]
    for name, delta in (("Δ by resample", claim.contrast_resample), ("Δ within a last token", claim.within_token)):
        if delta is not None:
            facts.append(fact(name, points_with_interval(delta), palette, style=_sure(delta)))
    if claim.tag is not None:
        facts.append(
            fact("tag", "last token: not shown to be about more than the token at p", palette, style="warning")
        )
    if row is not None and row.raises_p:
        facts.append(fact("ablating it raises p(t): Δ log p", signed(row.delta_log_p), palette, style="warning"))
    return facts


def _sure(delta: Estimate) -> str:
    return "text" if delta.is_above_zero else "quiet"
