"""What stands below the grid of heads: what the colours mean, and the numbers of one head."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text

from headtorch.core.records import HeadId
from headtorch.tui.palette import STEPS, Palette
from headtorch.tui.panes.figures import figure, fixed, percent, signed
from headtorch.tui.panes.head_view import HeadView


def scale(view: HeadView, palette: Palette, width: int, *, narrow: bool, plain: bool) -> Text:
    """What the colours stand for, with the number at their ends; `plain`: what stands for them without colours."""
    end = figure(view.strongest)
    text = Text(f" −{end} " if view.strongest else " ", style=palette.style("quiet"))
    if plain:
        text.append("dcba · 1234" if narrow else "−4 … −1 · +1 … +4")
    else:
        wide = 2 if 2 * STEPS + 2 * len(end) + 5 <= width else 1
        for step in range(STEPS):
            share = (step + 0.5 - STEPS / 2) / (STEPS / 2)
            text.append(" " * wide, Style(bgcolor=palette.signed_heat(share).bgcolor))
    return text.append(f" +{end}" if view.strongest else "")


def status(view: HeadView, head: HeadId | None, palette: Palette) -> list[list[Text]]:
    """The cursor's head in numbers, or why it has none, and the parts of the whole; each list begins a line."""
    if head is None or head.layer >= view.facts.n_layers or head.index >= view.facts.n_heads:
        return [_quiet([*view.parts, *view.agreement], palette)]
    if reason := view.reason(head):
        return [[Text(reason, style=palette.style("warning"))]]
    return [facts_of(view, head, palette), _quiet([*view.parts, *view.agreement], palette)]


def facts_of(view: HeadView, head: HeadId, palette: Palette) -> list[Text]:
    """The head's number, its share, its role, and how it is on random text."""
    bright, text = palette.style("bright", bold=True), palette.style("text")
    value = view.value(head)
    of = f" of {figure(view.total)}" if view.total is not None else ""
    facts = [Text.assemble((str(head), bright), (f" {signed(value)}{of}", text))]
    if value is None and view.gap:
        facts = [Text(str(head), style=bright), Text(view.gap, style=palette.style("warning"))]
    if value is not None and view.additive and abs(view.all_heads) > 1e-9:
        facts.append(Text(f"{percent(value / view.all_heads)} of heads", style=text))
    for name, agreement in view.roles_of(head):
        facts.append(Text(f"role: {name} {fixed(agreement)}", style=bright))
    return facts + _quiet(_aside(view, head), palette)


def _quiet(words: list[str], palette: Palette) -> list[Text]:
    return [Text(word, style=palette.style("quiet")) for word in words]


def _aside(view: HeadView, head: HeadId) -> list[str]:
    summary = view.summaries.get(head)
    if summary is None:
        return []
    words = [f"β {fixed(summary.beta)}"] if summary.beta is not None else []
    if summary.baseline_mean is not None:
        words.append(f"at random {signed(summary.baseline_mean)} ± {figure(summary.baseline_sd)}")
    if summary.mean_removal is not None and view.measure != "removal effect" and not view.one_prompt:
        words.append(f"removal {signed(summary.mean_removal)}")
    return words
