"""Whether a claim is a finding, and what speaks against it where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.panes.flow import flow

if TYPE_CHECKING:
    from headtorch.core.study.claim_rows import ClaimRow


def standing(row: ClaimRow | None, width: int, palette: Palette) -> list[Text]:
    """✓ finding, or · candidate with the reasons; nothing about a claim that is none of the study's."""
    if row is None:
        return []
    if row.is_finding:
        return [Text("✓ finding", style=palette.style("bright", bold=True))]
    kind = "last token" if row.kind == "head" and row.tag is not None else "candidate"
    reasons = [visible(reason) for reason in row.reasons]
    pieces = [Text(f"· {kind}:", style=palette.style("bright"))]
    pieces += [
        Text(f"{reason}{',' if at + 1 < len(reasons) else ''}", style=palette.style("text"))
        for at, reason in enumerate(reasons)
    ]
    return flow(pieces, width, gap=" ")
