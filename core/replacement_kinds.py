"""What can stand in for a head's output, declared once for command, key, library and report.

Nothing but the standard library is imported, so that the command line can name the kinds without loading records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Replacement = Literal["resample", "mean", "zero", "zero-values", "double"]


@dataclass(frozen=True)
class ReplacementKind:
    """How a replacement is told of, and where it can be used."""

    label: str  # completes "L2.H4 replaced by …"
    summary: str  # for the help of an option
    at_all_positions: bool = False  # whether it can be put at every position of a row, not at the firing one alone


REPLACEMENTS: dict[Replacement, ReplacementKind] = {
    "resample": ReplacementKind("the output on other texts", "its output on other texts"),
    "mean": ReplacementKind("the mean over random positions", "its mean over random positions", True),
    "zero": ReplacementKind("zero", "nothing", True),
    "zero-values": ReplacementKind(
        "zero value vectors, value biases kept", "zero value vectors, value biases kept (the paper's)", True
    ),
    "double": ReplacementKind("twice the output", "twice its output"),
}
REPLACEMENT_HELP = "; ".join(f"{name}: {kind.summary}" for name, kind in REPLACEMENTS.items())
AT_ALL_POSITIONS: tuple[Replacement, ...] = tuple(name for name, kind in REPLACEMENTS.items() if kind.at_all_positions)
