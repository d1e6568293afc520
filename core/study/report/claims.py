"""The claims of a report: those of the neurons that it is about, and texts rewritten to test the findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from headtorch.core.claims import Rewriting, RewrittenText
from headtorch.core.records import HeadId, NeuronId, Record
from headtorch.core.study.claim_rows import ClaimRow, HeadClaimRow
from headtorch.core.study.conclusions import Conclusions, conclusions
from headtorch.core.study.rewritten import shortened
from headtorch.core.study.state import StudyState

EXAMPLES, TOKENS = 3, 32  # rewritten texts of a finding, and the tokens of each


class RewrittenClaim(Record, frozen=True, kw_only=True):
    """Held-out texts of a finding, rewritten so that its rule no longer holds, each with its placebo."""

    neuron: str
    head: str | None  # None: a context claim
    explainer: str
    edit: Literal["replace", "insert"]
    examples: list[RewrittenText]


def claims_of(state: StudyState, neurons: Collection[NeuronId] | None) -> Conclusions:
    """The conclusions of a study, cut down to the rows of some neurons; verdict and q stay those of all."""
    concluded = conclusions(state)
    if neurons is None:
        return concluded
    names = {str(neuron) for neuron in neurons}
    rows = {
        name: [row for row in getattr(concluded, name) if row.neuron in names]
        for name in ("findings", "candidates", "last_token", "random")
    }
    return msgspec.structs.replace(concluded, **rows)


def rewritten_claims(state: StudyState, rows: Sequence[ClaimRow]) -> list[RewrittenClaim]:
    """Some of the rewritten texts of each claim that has any."""
    made = []
    for row in rows:
        head = row.head if isinstance(row, HeadClaimRow) else None
        rewriting = rewriting_of(state, row)
        if rewriting is not None and rewriting.examples:
            examples = [shortened(text, TOKENS) for text in rewriting.examples[:EXAMPLES]]
            made.append(
                RewrittenClaim(
                    neuron=row.neuron, head=head, explainer=row.explainer, edit=rewriting.kind, examples=examples
                )
            )
    return made


def rewriting_of(state: StudyState, row: ClaimRow) -> Rewriting | None:
    """The rewriting test of a claim, with all of its examples."""
    neuron = NeuronId.parse(row.neuron)
    claim = (
        state.head_claims.get((neuron, HeadId.parse(row.head), row.explainer))
        if isinstance(row, HeadClaimRow)
        else state.context_claims.get((neuron, row.explainer))
    )
    return claim.rewriting if claim is not None else None


def rewritten_of(rewritten: Sequence[RewrittenClaim], row: ClaimRow) -> RewrittenClaim | None:
    """The rewritten texts of one claim."""
    head = row.head if isinstance(row, HeadClaimRow) else None
    matching = (one for one in rewritten if (one.neuron, one.head, one.explainer) == (row.neuron, head, row.explainer))
    return next(matching, None)
