"""A study as pandas DataFrames: the tables of `headtorch.core.study.rows`, text as it is in the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from headtorch.core.records import Record
from headtorch.core.study import claim_tables, rows
from headtorch.core.study.claim_rows import ContextRow, HeadClaimRow
from headtorch.core.study.columns import columns
from headtorch.core.study.conclusions import conclusions
from headtorch.core.study.state import StudyState


def neurons_frame(state: StudyState) -> pd.DataFrame:
    """One row a neuron: address, token, congruence, z, kind, validity, median and surest E."""
    return _frame(rows.NeuronRow, rows.summary_rows(state))


def prompts_frame(state: StudyState) -> pd.DataFrame:
    """One row a prompt: where it is in the corpus, its kept text, its activation."""
    return _frame(rows.PromptRow, rows.prompt_rows(state))


def heads_frame(state: StudyState) -> pd.DataFrame:
    """One row a neuron and eligible head: mean direct attribution, β, baseline, share of active prompts."""
    return _frame(rows.HeadRow, rows.head_rows(state))


def scores_frame(state: StudyState) -> pd.DataFrame:
    """One row an explained head: explanation, E with interval and n, p, q. E is missing where it is not scorable."""
    return _frame(rows.ScoreRow, rows.score_rows(state))


def ablations_frame(state: StudyState) -> pd.DataFrame:
    """One row an ablated head: differences after minus before, on active and inactive prompts."""
    return _frame(rows.AblationRow, rows.ablation_rows(state))


def claims_frame(state: StudyState) -> pd.DataFrame:
    """One row a claim of the study's neurons, findings first; `kind` is "context" or "head".

    E, effect contrast and rewriting with their intervals, p and q; `finding`, and `reasons` why it is none. Columns
    that only one kind has are missing in rows of the other.
    """
    concluded = conclusions(state)
    table = [*concluded.findings, *concluded.candidates, *concluded.last_token, *concluded.random]
    of_kinds = [column.name for kind in (ContextRow, HeadClaimRow) for column in columns(kind)]
    names = dict.fromkeys(["kind", "finding", *of_kinds])
    made = [
        {"kind": row.kind, "finding": row.is_finding}
        | {column.name: column.value(row) for column in columns(type(row))}
        for row in table
    ]
    return pd.DataFrame(made, columns=list(names))


def matched_heads_frame(state: StudyState) -> pd.DataFrame:
    """One row a head of a context claim, and one for several together: shares taken and restored in matched pairs."""
    concluded = conclusions(state)
    table = [*concluded.findings, *concluded.candidates, *concluded.random]
    return _frame(claim_tables.MatchedHeadTableRow, claim_tables.matched_head_rows(table))


def context_share_frame(state: StudyState) -> pd.DataFrame:
    """One row a neuron: the share of its activation that heads account for, and what its last token does alone."""
    return _frame(claim_tables.ContextShareRow, claim_tables.context_share_rows(state))


def claim_places_frame(state: StudyState) -> pd.DataFrame:
    """One row a place of a claim: the very rows behind E, shares taken and the effect contrast."""
    return _frame(claim_tables.ClaimPlaceRow, [*claim_tables.claim_place_rows(state)])


def _frame(kind: type[Record], table: Sequence[Record]) -> pd.DataFrame:
    # The columns are named so that an empty table has them too.
    made = columns(kind)
    rows = [[column.value(row) for column in made] for row in table]
    return pd.DataFrame(rows, columns=[column.name for column in made])
