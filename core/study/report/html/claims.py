"""What the templates say of claims: wording and numbers as in every other output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headtorch.core.claims import Estimate
from headtorch.core.format import in_words, percent_with_interval
from headtorch.core.records import Interval
from headtorch.core.study.claim_rows import ClaimRow, HeadClaimRow
from headtorch.core.study.claim_text import condition, numbers, subject
from headtorch.core.study.report.claims import rewritten_of
from headtorch.core.study.report.findings import CANDIDATES_SHOWN, CONTROL_NAMES, all_heads_check
from headtorch.core.study.rewritten import edit_runs
from headtorch.core.study.verdict import ControlCount, Controls


def control_rows(counts: Controls) -> list[tuple[str, ControlCount]]:
    """The kinds of controls that there are, with their names."""
    return [(name, one) for field, name in CONTROL_NAMES.items() if (one := getattr(counts, field)).claims]


def unbroken_numbers(row: ClaimRow) -> list[str]:
    """The numbers of a claim; no line ends before a percent sign."""
    return [phrase.replace(" %", "\u00a0%") for phrase in numbers(row)]


def e_interval(row: ClaimRow) -> Interval | None:
    """The 95 % interval of E."""
    return None if row.e_low is None or row.e_high is None else Interval(row.e_low, row.e_high)


def bounded(share: float, low: float | None, high: float | None) -> str:
    """17 % [13, 21]."""
    return percent_with_interval(Estimate(share, low, high))


def resample_text(row: HeadClaimRow) -> str:
    """The contrast by resample ablation."""
    return bounded(row.contrast_resample or 0.0, row.contrast_resample_low, row.contrast_resample_high)


CLAIMS: dict[str, Callable[..., Any] | int] = {
    "all_heads_check": all_heads_check,
    "bounded": bounded,
    "candidates_shown": CANDIDATES_SHOWN,
    "condition": condition,
    "control_rows": control_rows,
    "e_interval": e_interval,
    "edit_runs": edit_runs,
    "in_words": in_words,
    "numbers": unbroken_numbers,
    "resample_text": resample_text,
    "rewritten_of": rewritten_of,
    "share_text": percent_with_interval,
    "subject": subject,
}
