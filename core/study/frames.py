"""A study as pandas DataFrames: the tables of `headtorch.core.study.rows`, text as it is in the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pandas as pd

from headtorch.core.records import Record
from headtorch.core.study import rows
from headtorch.core.study.state import StudyState


def neurons_frame(state: StudyState) -> pd.DataFrame:
    """One row a neuron: address, token, congruence, z, kind, validity, median and best E."""
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


def _frame(kind: type[Record], table: Sequence[Record]) -> pd.DataFrame:
    # The columns are named so that an empty table has them too.
    return pd.DataFrame([msgspec.structs.asdict(row) for row in table], columns=list(kind.__struct_fields__))
