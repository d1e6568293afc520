"""The card that says what a study would take before it is started: measures, memory, time."""

from __future__ import annotations

from rich.text import Text

from headtorch.core.analysis.index_size import index_bytes
from headtorch.core.errors import AddressError, HeadtorchError
from headtorch.core.model.preview import ModelPreview
from headtorch.core.settings import Settings
from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.picking.estimate import Estimate
from headtorch.tui.picking.lists import size
from headtorch.tui.picking.machine import Device

OVERHEAD = 700e6  # bytes that libraries, the unembedding and a batch take beside the weights
INDICES = 3  # the one under way, and copies of it while it is brought up to date and saved


def card(
    palette: Palette,
    preview: ModelPreview | HeadtorchError | None,
    layers: list[int] | AddressError,
    device: Device | None,
    estimate: Estimate | None,
) -> Text:
    """A few lines; a label before each."""
    if preview is None:
        return Text("Not on this machine: it is downloaded when the study starts.", palette.style("quiet"))
    if isinstance(preview, HeadtorchError):
        return Text(f"✗ {visible(str(preview))}", palette.style("warning"))
    index = _index_bytes(preview, layers, device)
    lines = [_model(palette, preview), _layers(palette, preview, layers, index)]
    if device is not None:
        lines.append(_memory(palette, preview, device, index))
    if estimate is not None:
        lines.append(_scan(palette, estimate))
    return Text("\n").join(lines)


def _line(palette: Palette, label: str, value: str, rest: str) -> Text:
    return Text.assemble(
        (f"{label:<9}", palette.style("quiet")),
        (value, palette.style("bright")),
        (f"  {rest}" if rest else "", palette.style("quiet")),
    )


def _model(palette: Palette, preview: ModelPreview) -> Text:
    shape = f"{preview.n_layers} layers × {preview.n_heads} heads × {preview.d_mlp:,} neurons"
    return _line(palette, "model", shape, f"{visible(preview.family)}, {millions(preview.parameters)} parameters")


def _index_bytes(preview: ModelPreview, layers: list[int] | AddressError, device: Device | None) -> int:
    """Of the activation index that a scan makes."""
    if isinstance(layers, AddressError):
        return 0
    reduced = device is not None and not device.is_cpu and preview.stored != "float32"
    neurons = len(layers) * preview.d_mlp
    return index_bytes(neurons, gated=preview.gated, top_k=Settings().top_k, reduced=reduced)


def _layers(palette: Palette, preview: ModelPreview, layers: list[int] | AddressError, index: int) -> Text:
    if isinstance(layers, AddressError):
        return Text(f"✗ {visible(str(layers))}", palette.style("warning"))
    spans = f"layers {layers[0]}–{layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
    named = spans if len(layers) == layers[-1] - layers[0] + 1 else f"{len(layers)} layers"
    return _line(palette, "studied", named, f"{len(layers) * preview.d_mlp:,} neurons, indexed in {size(index)}")


def _memory(palette: Palette, preview: ModelPreview, device: Device, index: int) -> Text:
    needed = preview.memory(device.is_cpu) + INDICES * index + OVERHEAD
    line = _line(palette, "memory", f"about {size(int(needed))}", "")
    if device.free is None:
        return line.append(f"  on {visible(device.name)}: {visible(device.title)}", palette.style("quiet"))
    enough = device.free > needed
    total = f" of {size(device.total)}" if device.total else ""
    says = f"  {'' if enough else '✗ only '}{size(device.free)}{total} free on {device.name} ({visible(device.title)})"
    return line.append(says, palette.style("quiet" if enough else "warning"))


def _scan(palette: Palette, estimate: Estimate) -> Text:
    if estimate.tokens is None:
        return _line(palette, "scan", "time unknown", estimate.basis)
    tokens = f"{'' if estimate.counted else 'about '}{millions(estimate.tokens)} tokens"
    lasts = "time unknown" if estimate.seconds is None else f"about {duration(estimate.seconds)}"
    return _line(palette, "scan", lasts, tokens).append(f"\n{'':9}{estimate.basis}", palette.style("quiet"))


def millions(count: int) -> str:
    """A large number in a few characters."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return str(count)


def duration(seconds: float) -> str:
    """A time in a few characters, no more precise than a guess is."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
