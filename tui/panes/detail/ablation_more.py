"""What an ablation says beside its means: every prompt, tests and controls, mediation, self-repair."""

from __future__ import annotations

from rich.text import Text

from headtorch.core.causes import (
    Ablation,
    AblationPoints,
    Mediation,
    SelfRepair,
)
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import ACTIVE, INACTIVE, fact
from headtorch.tui.panes.figures import MISSING, figure, fixed, percent, signed, small
from headtorch.tui.panes.flow import flow, paragraph

_LEVELS = " ▁▂▃▄▅▆▇█"


def more(done: Ablation, width: int, palette: Palette) -> list[Text]:
    """What there is of it, each on lines of its own."""
    lines = points(done.points, width, palette) if done.points is not None else []
    lines += _tests(done, width, palette)
    for mark, mediation, repair in (
        (ACTIVE, done.mediation_active, done.repair_active),
        (INACTIVE, done.mediation_inactive, done.repair_inactive),
    ):
        if mediation is not None:
            lines += _mediation(mark, mediation, width, palette)
        if repair is not None:
            lines += _repair(mark, repair, width, palette)
    if (silenced := done.silenced) is not None:
        pieces = [
            fact("the neuron at 0 instead: Δ log p", f"{ACTIVE} {signed(silenced.active.delta_log_p)}", palette),
            fact("", f"{INACTIVE} {signed(silenced.inactive.delta_log_p)}", palette),
        ]
        lines += flow(pieces, width)
    return lines


def points(found: AblationPoints, width: int, palette: Palette) -> list[Text]:
    """Δ log p of every prompt as two small histograms on one axis, active above inactive."""
    values = found.delta_log_p
    if len(values) < 2:
        return []
    low, high = min(0.0, *values), max(0.0, *values)
    columns = max(8, min(40, width - 6))
    quiet = palette.style("quiet")
    lines = []
    for mark, label, colour in ((ACTIVE, True, "bright"), (INACTIVE, False, "text")):
        mine = [value for value, active in zip(values, found.active, strict=True) if active is label]
        counts = [0] * columns
        for value in mine:
            counts[_column(value, low, high, columns)] += 1
        top = max(counts, default=0) or 1
        bars = "".join(_LEVELS[-(-count * (len(_LEVELS) - 1) // top)] for count in counts)
        lines.append(Text(f"{mark} ", style=quiet).append(bars, palette.style(colour)))
    zero = _column(0.0, low, high, columns)
    axis = "─" * zero + "┼" + "─" * (columns - zero - 1)
    ends = f"{signed(low)}".ljust(columns - len(signed(high))) + signed(high)
    return [*lines, Text(f"  {axis}", style=quiet), Text(f"  {ends}", style=quiet)]


def _column(value: float, low: float, high: float, columns: int) -> int:
    return min(columns - 1, int((value - low) / (high - low) * columns)) if high > low else columns // 2


def _tests(done: Ablation, width: int, palette: Palette) -> list[Text]:
    if done.p is None and not done.controls:
        return []
    pieces = [fact("labels permuted: p", small(done.p), palette)]
    if done.q is not None:
        pieces.append(fact("q", small(done.q), palette))
    if done.controls:
        pieces.append(fact("beyond control heads: p", small(done.controlled_p), palette))
    lines = flow(pieces, width)
    for one in done.controls[:2]:
        names = ", ".join(map(str, one.heads))
        norm = "" if done.norm is None else f" (size {figure(one.norm)}, this {figure(done.norm)})"
        told = f"{ACTIVE} {signed(one.active)} {INACTIVE} {signed(one.inactive)}"
        lines += flow([fact(f"control {names}{norm}: Δ log p", told, palette)], width)
    return lines


def _mediation(mark: str, one: Mediation, width: int, palette: Palette) -> list[Text]:
    total = (
        ""
        if one.total_interval is None
        else f" [{signed(one.total_interval.low)} to {signed(one.total_interval.high)}]"
    )
    return flow(
        [
            fact(f"{mark} Δ log p in all", f"{signed(one.total)}{total}", palette, strong=True),
            fact("through the neuron", signed(one.through), palette),
            fact("around it", signed(one.around), palette),
            fact("interaction", signed(one.interaction), palette),
            fact("share through", percent(one.share) if one.share is not None else MISSING, palette),
        ],
        width,
    )


def _repair(mark: str, one: SelfRepair, width: int, palette: Palette) -> list[Text]:
    share = percent(one.repaired_log_p)
    words = (
        f"{mark} with all that follows frozen Δ log p {signed(one.direct_log_p)}, in all {signed(one.total_log_p)}: "
        f"gap {fixed(one.gap_log_p, sign=True)}; later parts make up for the head on {share} of the prompts"
    )
    return paragraph(words, width, palette.style("text"))
