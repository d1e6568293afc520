"""The Cause tab: what the head really does, how well cheap numbers tell it, and the neuron's heads together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.causes import Agreement
from headtorch.core.engine.protocol import MeasureCooperation, MeasureEffects, MeasureSpectrum
from headtorch.core.events import AgreementMeasured, EffectsMeasured
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import fact, title
from headtorch.tui.panes.detail.spectrum import spectrum
from headtorch.tui.panes.detail.synergy import together
from headtorch.tui.panes.detail.unexplained import nothing_yet
from headtorch.tui.panes.figures import fixed, percent, signed
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session

Measuring = type[MeasureEffects | MeasureCooperation | MeasureSpectrum]
ESTIMATES = {"dot": "dot", "direct": "direct", "removal": "removal", "beta": "β", "gradient": "gradient"}


def cause(session: Session, width: int, palette: Palette) -> list[Text]:
    """Effects with their agreement, cooperation, spectrum; what is not measured names its key."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None:
        return [Text("No neuron is selected.", style=palette.style("quiet"))]
    quantity = "activation" if session.state.model is not None and session.state.model.gated else "pre_activation"
    reason = nothing_yet(session, neuron, head) if head is not None else ""
    lines = [*paragraph(reason, width, palette.style("warning")), Text()] if reason else []
    lines += [title("Exact effects", palette), *_asked(session, MeasureEffects, "effects", width, palette)]
    if (event := session.state.effects.get(neuron)) is not None:
        lines += _effects(event, session.state.agreement, head, quantity, width, palette)
    lines += [Text(), title("Cooperation", palette)]
    lines += _asked(session, MeasureCooperation, "cooperation", width, palette)
    if (found := session.state.cooperation.get(neuron)) is not None:
        lines += together(found, head, quantity, width, palette)
    lines += [Text(), title("Spectrum", palette), *_asked(session, MeasureSpectrum, "spectrum", width, palette)]
    if (curves := session.state.spectrum.get(neuron)) is not None:
        lines += spectrum(curves, head, quantity, width, palette)
    return lines


def _asked(session: Session, kind: Measuring, name: str, width: int, palette: Palette) -> list[Text]:
    """That it is being measured, that it failed, or which key measures it."""
    neuron = session.selection.neuron
    if any(isinstance(one, kind) and one.neuron == neuron for one in session.requests.waiting.values()):
        return [Text("Measuring …", style=palette.style("bright"))]
    failed = [text for one, text in session.requests.failed if isinstance(one, kind) and one.neuron == neuron]
    if failed:
        return paragraph(f"It failed: {visible(failed[-1])}", width, palette.style("warning"))
    if _known(session, name, neuron):
        return []
    return paragraph(f"Not measured yet: {session.key(f'workbench.{name}')} does it.", width, palette.style("quiet"))


def _known(session: Session, name: str, neuron: NeuronId | None) -> bool:
    return neuron in getattr(session.state, name)


def _effects(
    event: EffectsMeasured,
    over_all: AgreementMeasured | None,
    head: HeadId | None,
    quantity: str,
    width: int,
    palette: Palette,
) -> list[Text]:
    quiet = palette.style("quiet")
    word = quantity.replace("_", "-")
    ranked = sorted(event.heads, key=lambda one: -abs(getattr(one, quantity)))
    at = next((place for place, one in enumerate(ranked) if one.head == head), None)
    lines = []
    if at is not None:
        one = ranked[at]
        pieces = [
            fact(f"{one.head} on the {word}", signed(getattr(one, quantity)), palette, strong=True),
            fact("gradient estimate", signed(getattr(one, f"estimated_{quantity}")), palette),
            Text(f"rank {at + 1} of {len(ranked)} by size", style=quiet),
        ]
        if quantity != "activation":
            pieces.insert(1, fact("activation", signed(one.activation), palette))
        lines += flow(pieces, width)
    lines += flow(
        [Text(f"means over {len(event.prompts)} prompts, {event.replacement}, {event.donors} donors", style=quiet)],
        width,
    )
    lines += [Text(), *_agreement(event, over_all, quantity, width, palette)]
    return lines


def _agreement(
    event: EffectsMeasured, over_all: AgreementMeasured | None, quantity: str, width: int, palette: Palette
) -> list[Text]:
    """A table: how well each cheap number tells the effects, on this neuron and over the study."""
    quiet, text = palette.style("quiet"), palette.style("text")
    mine = {one.estimate: one for one in event.agreement if one.quantity == quantity}
    every = {one.estimate: one for one in over_all.agreement if one.quantity == quantity} if over_all else {}
    both = bool(every) and width >= 60
    n = next((one.n for one in mine.values()), 0)
    names = "ρ".rjust(7) + "top 5".rjust(8) + "r".rjust(7)
    header = f"{'number':10}{names}"
    if both:
        count = next(one.n for one in every.values())
        above = Text(f"{'':10}{f'this neuron, n {n}':>22}{f'the study, n {count}':>24}", style=quiet)
        header += f"  {names}"
    else:
        above = Text(f"{'':10}{f'this neuron, n {n}':>22}", style=quiet)
    lines = [above, Text(header, style=quiet)]
    for estimate, name in ESTIMATES.items():
        if estimate in mine:
            row = Text(f"{name:10}", style=quiet).append(_columns(mine[estimate]), text)
            if both and estimate in every:
                row.append("  " + _columns(every[estimate]), text)
            lines.append(row)
    if every and not both and (direct := every.get("direct")) is not None:
        words = f"over the study, n {direct.n}: direct ρ {fixed(direct.spearman)}, r {fixed(direct.pearson)}"
        lines += paragraph(words, width, quiet)
    return lines


def _columns(one: Agreement) -> str:
    return f"{fixed(one.spearman):>7}{percent(one.top):>8}{fixed(one.pearson):>7}"
