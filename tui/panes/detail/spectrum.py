"""What heads do at every strength of the neuron: one line for each activation bin."""

from __future__ import annotations

from rich.text import Text

from headtorch.core.causes import Spectrum, SpectrumBin, SpectrumCurve
from headtorch.core.records import HeadId, Interval
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import signed_bar
from headtorch.tui.panes.figures import MISSING, figure, signed
from headtorch.tui.panes.flow import flow, paragraph

_ACTIVATION, _N, _VALUE, _INTERVAL = 9, 5, 9, 18  # columns


def spectrum(found: Spectrum, head: HeadId | None, quantity: str, width: int, palette: Palette) -> list[Text]:
    """The selected head's curve as bars with intervals, or the strongest's; the others as numbers."""
    quiet, bright = palette.style("quiet"), palette.style("bright", bold=True)
    if not found.curves:
        return [Text("No head was measured.", style=quiet)]
    curve = next((one for one in found.curves if one.head == head), found.curves[0])
    others = [one for one in found.curves if one is not curve]
    values, intervals = _values(curve, quantity), _intervals(curve, quantity)
    room = width - _ACTIVATION - _N - _VALUE
    half = max(0, min(10, (room - _INTERVAL - 3) // 2)) if room >= _INTERVAL + 7 else 0
    left = room - (2 * half + 3 + _INTERVAL if half else 0)
    others = others[: max(0, left // _VALUE)]
    top = max((abs(value) for value in values if value is not None), default=0.0)
    one_sided = min((value for value in values if value is not None), default=0.0) >= 0
    bar = 2 * half if one_sided else half
    header = Text("fires".rjust(_ACTIVATION) + "n".rjust(_N), style=quiet).append(str(curve.head).rjust(_VALUE), bright)
    if half:
        header.append(" " * (2 * half + 3) + "95 %".center(_INTERVAL), quiet)
    for one in others:
        header.append(str(one.head).rjust(_VALUE), quiet)
    word = quantity.replace("_", "-")
    words = f"effect on the {word} by activation; {found.replacement}, {found.donors} donors"
    lines = [*flow([Text(words, style=quiet)], width), header]
    for i in [at for at, one in enumerate(found.bins) if one.n]:
        row = Text(_fires(found.bins[i]).rjust(_ACTIVATION) + str(found.bins[i].n).rjust(_N), style=quiet)
        row.append(signed(values[i]).rjust(_VALUE), palette.style("text"))
        if half:
            row.append("  ").append_text(
                signed_bar(values[i], top, bar, palette, ("negative", "lamp"), one_sided=one_sided)
            )
            row.append(_between(intervals[i]).center(_INTERVAL), quiet)
        for one in others:
            row.append(signed(_values(one, quantity)[i]).rjust(_VALUE), quiet)
        row.rstrip()
        lines.append(row)
    note = "★ the strongest prompts, beside all bins" if any(one.low is None and one.n for one in found.bins) else ""
    return lines + (paragraph(note, width, quiet) if note else [])


def _fires(one: SpectrumBin) -> str:
    return f"{'★ ' if one.low is None else ''}{figure(one.activation)}"


def _values(curve: SpectrumCurve, quantity: str) -> list[float | None]:
    return curve.activation if quantity == "activation" else curve.pre_activation


def _intervals(curve: SpectrumCurve, quantity: str) -> list[Interval | None]:
    return curve.activation_interval if quantity == "activation" else curve.pre_activation_interval


def _between(interval: Interval | None) -> str:
    return MISSING if interval is None else f"{signed(interval.low)} to {signed(interval.high)}"
