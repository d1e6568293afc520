"""The heads that claims about a neuron are about, with the numbers that the list of heads shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headtorch.core.claims import ClaimHead, ContextShare, Estimate, MatchedHead
from headtorch.core.format import percent_with_interval, plain, points_with_interval
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.text import visible
from headtorch.tui.claims import (
    chosen_heads,
    claim_explainer,
    context_claim,
    head_claim,
    is_driven_by_last_token,
    study_claims,
)
from headtorch.tui.panes.figures import fixed, percent, small

if TYPE_CHECKING:
    from headtorch.tui.session import Session

FINDING, CANDIDATE = "✓", "·"
LABELS = {"attribution": "attr", "carries": "carr"}


@dataclass(frozen=True)
class HeadEntry:
    """One line of the list. `note`: why the head is not explained, or that no claim is about it."""

    head: HeadId
    takes: float | None
    by_pairs: bool  # taken within matched pairs; else Σe / Σa over the training places
    label: str
    e: float | None
    contrast: Estimate | None
    standing: str  # FINDING, CANDIDATE, or "" where its claim is not tested
    note: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class HeadEntries:
    """The heads of one neuron: those chosen by effect, then others that were exchanged within matched pairs."""

    neuron: NeuronId
    share: ContextShare | None
    last_token: bool  # the neuron is driven by its last token, and no head is explained
    entries: tuple[HeadEntry, ...]
    chosen: int
    eligible: int

    def of(self, head: HeadId | None) -> HeadEntry | None:
        """The head's line; None where it is not on the list."""
        return next((one for one in self.entries if one.head == head), None)


def head_entries(session: Session) -> HeadEntries | None:
    """The list of the selected neuron; None where no heads were chosen for claims about it, and none will be."""
    neuron = session.selection.neuron
    if neuron is None:
        return None
    event, last_token = session.state.claim_heads.get(neuron), is_driven_by_last_token(session, neuron)
    if event is None and not last_token:
        return None
    context = context_claim(session, neuron)
    matched = {one.head: one for one in (context[0].heads if context is not None else [])}
    chosen = chosen_heads(session, neuron)
    names = {one.head for one in chosen}
    mine = [_chosen(session, neuron, one, matched.get(one.head)) for one in chosen]
    others = [_other(one) for one in matched.values() if one.head not in names]
    return HeadEntries(
        neuron=neuron,
        share=session.state.context_share.get(neuron),
        last_token=last_token,
        entries=(*mine, *others),
        chosen=len(mine),
        eligible=event.eligible if event is not None else 0,
    )


def why_no_list(session: Session) -> str | None:
    """Why there is only the grid; None where there is a list."""
    neuron = session.selection.neuron
    if neuron is None or head_entries(session) is not None:
        return None
    if not has_claim_stages(session.state):
        return study_claims(session).conclusions.verdict.sentence
    return f"No heads are chosen for claims about {neuron} yet."


def _chosen(session: Session, neuron: NeuronId, one: ClaimHead, matched: MatchedHead | None) -> HeadEntry:
    claimed = head_claim(session, neuron, one.head)
    claim, row = claimed if claimed is not None else (None, None)
    score = session.state.scores.get((neuron, one.head, claim_explainer(session, neuron, one.head)))
    note = visible(one.not_explained) if one.not_explained is not None else ""
    e, contrast = score.e if score is not None else None, claim.contrast if claim is not None else None
    facts = [*_matched_facts(matched), *_effect_facts(one)]
    if contrast is not None:
        facts.append(f"Δ {points_with_interval(contrast)} points, q {small(row.q if row is not None else None)}")
    if e is not None:
        facts.append(f"E {plain(e)}")
    if row is not None:
        facts.append("finding" if row.is_finding else f"candidate: {', '.join(map(visible, row.reasons))}")
    return HeadEntry(
        head=one.head,
        takes=matched.taken.value if matched is not None else one.effect,
        by_pairs=matched is not None,
        label=LABELS[one.label],
        e=e,
        contrast=contrast,
        standing="" if row is None else FINDING if row.is_finding else CANDIDATE,
        note=note,
        facts=(*facts, *([f"not explained: {note}"] if note else [])),
    )


def _other(one: MatchedHead) -> HeadEntry:
    return HeadEntry(
        head=one.head,
        takes=one.taken.value,
        by_pairs=True,
        label="",
        e=None,
        contrast=None,
        standing="",
        note="not chosen",
        facts=(*_matched_facts(one), "not among the heads chosen by effect: no claim is about it"),
    )


def _matched_facts(one: MatchedHead | None) -> list[str]:
    if one is None:
        return []
    facts = [f"takes {percent_with_interval(one.taken)}", f"restores {percent_with_interval(one.restored)}"]
    return facts if one.attends is None else [*facts, f"attends {percent(one.attends)} to the rule's tokens"]


def _effect_facts(one: ClaimHead) -> list[str]:
    spearman = f" (Spearman with its effect {fixed(one.label_effect_spearman)})"
    told = "carries ≥ 20 %" if one.label == "carries" else "attribution"
    words = [
        f"effect {percent(one.effect)} on training places",
        f"labelled by {told}{spearman if one.label_effect_spearman is not None else ''}",
        f"active on {percent(one.active_share)}",
    ]
    return [*words, *(["suppressing"] if one.suppressing else []), *(["sparse"] if one.sparse else [])]
