"""The Ablation tab: what taking the head away does, where it is active and where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.engine.protocol import AblateHead
from headtorch.core.replacement_kinds import REPLACEMENTS
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.ablation_more import more
from headtorch.tui.panes.detail.drawing import ACTIVE, INACTIVE, fact, signed_bar, title
from headtorch.tui.panes.detail.unexplained import failure, is_working, nothing_yet
from headtorch.tui.panes.figures import fixed, signed, small
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session

ROWS = (
    ("Δ log p", "delta_log_p"),
    ("Δ p", "delta_p"),
    ("Δ logit", "delta_logit"),
    ("Δ activation", "delta_activation"),
    ("Δ rank", "delta_rank"),
)
_NAME, _VALUE = 13, 8  # columns
_WHERE = {"last": "at the firing token", "all": "at every token"}


def ablation(session: Session, width: int, palette: Palette) -> list[Text]:
    """Every ablation of the selected head on the selected neuron as a table with bars."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None or head is None:
        return [Text("No head is selected.", style=palette.style("quiet"))]
    lines: list[Text] = []
    working = is_working(session, AblateHead, neuron, head)
    if working:
        lines += [Text(f"Ablating {head} …", style=palette.style("bright")), Text()]
    for done in session.state.ablations_of(neuron, head):
        lines += [*_table(done, width, palette), Text()]
    if failed := failure(session, AblateHead, neuron, head):
        lines += paragraph(f"The ablation failed: {failed}", width, palette.style("warning"))
    if not lines:
        key = session.key("workbench.ablate")
        reason = nothing_yet(session, neuron, head) or f"{head} has not been taken away yet: {key} does it."
        lines += paragraph(reason, width, palette.style("quiet"))
    return lines


def _table(done: Ablation, width: int, palette: Palette) -> list[Text]:
    half = max(0, min(12, (width - _NAME - 2 * _VALUE - 8) // 4))
    active, inactive = f"{ACTIVE} active, n {done.active.n}", f"{INACTIVE} inactive, n {done.inactive.n}"
    if not half:
        active, inactive = f"{ACTIVE} n {done.active.n}".rjust(_VALUE), f"{INACTIVE} n {done.inactive.n}".rjust(_VALUE)
    active = active.ljust(_VALUE + 2 + (2 * half + 2 if half else 0))
    quiet = palette.style("quiet")
    lower = f", {done.lower} of the prompts from lower activation bins" if done.lower else ""
    others = f" with {', '.join(map(str, done.together))}" if done.together else ""
    what = f"Replaced{others} by {REPLACEMENTS[done.replacement].label} {_WHERE[done.position]}{lower}"
    lines = [
        *flow([title(what, palette)], width),
        Text(" " * _NAME + active + inactive, style=quiet),
        *(_row(name, field, done, half, palette) for name, field in ROWS),
    ]
    test = [fact("KS", fixed(done.ks), palette), fact("p", small(done.ks_p), palette)]
    lines += flow([*test, Text("of Δ log p, active against inactive", style=quiet)], width)
    return lines + more(done, width, palette)


def _row(name: str, field: str, done: Ablation, half: int, palette: Palette) -> Text:
    values = [_value(group, field) for group in (done.active, done.inactive)]
    top = max((abs(value) for value in values if value is not None), default=0.0)
    text = Text(name.ljust(_NAME), style=palette.style("quiet"))
    for value in values:
        worse = value is not None and (value > 0 if field == "delta_rank" else value < 0)
        colour = "quiet" if value is None else "warning" if worse else "text"
        text.append(signed(value).rjust(_VALUE), palette.style(colour, bold=worse))
        if half:
            colours = ("text", "warning") if field == "delta_rank" else ("warning", "text")
            text.append(" ").append_text(signed_bar(value, top, half, palette, colours))
        text.append("  ")
    text.rstrip()
    return text


def _value(group: AblationGroup, field: str) -> float | None:
    value: float | None = getattr(group, field)
    return value


def in_one_line(done: Ablation, palette: Palette) -> list[Text]:
    """The most important numbers, for other tabs."""
    colour = "warning" if (done.active.delta_log_p or 0.0) < 0 else "text"
    return [
        fact("ablated: Δ log p", signed(done.active.delta_log_p), palette, style=colour).append(
            " active", palette.style("quiet")
        ),
        fact("", signed(done.inactive.delta_log_p), palette).append(" inactive", palette.style("quiet")),
        *([fact("q", small(done.q), palette)] if done.q is not None else []),
    ]
