"""The rewriting test of a claim: how far the activation falls, beside the placebo, and some of the texts."""

from __future__ import annotations

from rich.text import Text

from headtorch.core.claims import Estimate, Rewriting
from headtorch.core.format import count, signed_percent
from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.detail.rewritten import examples
from headtorch.tui.panes.flow import flow, paragraph


def rewriting_lines(rewriting: Rewriting | None, most: int, width: int, palette: Palette) -> list[Text]:
    """The changes with their intervals, and the first `most` texts; or why it could not be tested."""
    if rewriting is None:
        return flow([fact("rewriting", "not tested", palette, style="quiet")], width)
    if rewriting.change is None:
        why = visible(rewriting.not_testable or "no text could be rewritten")
        return paragraph(f"rewriting not testable: {why}", width, palette.style("quiet"))
    facts = [
        fact("rewriting: activation", changed(rewriting.change), palette, strong=True),
        fact("placebo", changed(rewriting.placebo), palette),
        fact("difference", changed(rewriting.difference), palette),
    ]
    for name, change, placebo in (
        ("effect", rewriting.effect_change, rewriting.effect_placebo),
        ("A(h)", rewriting.attribution_change, rewriting.attribution_placebo),
    ):
        if change is not None:
            value = f"{signed_percent(change.value)} (placebo {signed_percent(placebo.value if placebo else None)})"
            facts.append(fact(name, value, palette))
    told = f"{count(rewriting.pairs, 'text')}, {count(rewriting.documents, 'document')}"
    inserted = ", by insertion" if rewriting.kind == "insert" else ""
    facts.append(fact("", told + inserted, palette))
    agrees = "agrees" if rewriting.agrees else "does not agree: its difference to the placebo is not below 0"
    facts.append(fact("", agrees, palette, style="text" if rewriting.agrees else "warning"))
    return [*flow(facts, width), *examples(rewriting, most, width, palette)]


def changed(change: Estimate | None) -> str:
    """−80 % [−86, −74]."""
    if change is None:
        return signed_percent(None)
    bounds = "" if change.low is None or change.high is None else f" [{100 * change.low:.0f}, {100 * change.high:.0f}]"
    return f"{signed_percent(change.value)}{bounds.replace('-', '−')}"
