"""Figures for papers, one column wide or two, as SVG with text as text and as PDF with fonts inside.

Equal studies give equal bytes: no dates, no random names.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headtorch.core.errors import InputError
from headtorch.core.records import NeuronId
from headtorch.core.study.claim_rows import ClaimRow, HeadClaimRow
from headtorch.core.study.claim_text import subject
from headtorch.core.study.report.contents import Report, ScoredHead
from headtorch.core.study.report.parts import HeadPart, NeuronPart
from headtorch.core.study.report.selected import in_full
from headtorch.core.text import visible, visible_token

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.3, 6.9  # inches: one column, and both
WIDE_FROM = 17  # heads of a layer, from which on a map takes both columns
LIT, COLD, INK, QUIET = "#b5730a", "#2558b8", "#1b1813", "#77705f"
FINDINGS, MAPS = 15, 6  # in a figure; figures of single neurons
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that it is the same everywhere
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "headtorch",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a token is text, with dollar signs too
    "figure.constrained_layout.use": True,
}


def figures(report: Report) -> dict[str, bytes]:
    """SVG and PDF of each figure that the report has something for, by file name. Raises InputError."""
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "Figures are drawn by matplotlib, which is not installed; pip install 'headtorch[figures]', "
            "or leave figures out."
        ) from None
    found = {}
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        for name, figure in _drawn(report):
            for suffix, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=suffix, metadata=metadata)
                found[f"{name}.{suffix}"] = buffer.getvalue()
    return found


def _drawn(report: Report) -> Iterator[tuple[str, Figure]]:
    if report.findings:
        yield "findings", _findings(report)
    if report.explained:
        yield "explained", _explained(report)
    if any(group.values for group in report.groups):
        yield "scores", _scores(report)
    ablated = [finding for finding in report.explained if _deltas(finding) is not None][:FINDINGS]
    if ablated:
        yield "ablations", _ablations(ablated)
    parts = {part.found.neuron: part for part in report.neurons if part.map}
    found = (NeuronId.parse(row.neuron) for row in report.findings)
    best = dict.fromkeys([*found, *(one.found.neuron for one in report.explained)])
    for neuron in [neuron for neuron in best if neuron in parts][:MAPS]:
        yield f"heads-{neuron}", _head_map(parts[neuron], in_full(parts[neuron], report))


def _new(height: float, width: float = COLUMN) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _label(finding: ScoredHead) -> str:
    return f"{finding.score.head} → {finding.found.neuron} {visible_token(finding.found.token)}"


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _findings(report: Report) -> Figure:
    """What each finding's heads account for: the share taken by five heads, or the effect contrast, with intervals."""
    shown = report.findings[:FINDINGS]
    figure, axes = _new(0.87 + 0.17 * len(shown))
    for y, row in enumerate(shown):
        share, low, high = _share(row)
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [y, y], color=LIT, linewidth=1.4)
        if share is not None:
            axes.plot([100 * share], [y], "o" if isinstance(row, HeadClaimRow) else "D", color=LIT, markersize=3.6)
    axes.axvline(0, color=QUIET, linewidth=0.7, dashes=(2, 2))
    _rows(axes, [subject(row) for row in shown])
    axes.set_xlabel(
        "% of the activation, 95 % interval\ndiamond: five heads in matched pairs\ndot: contrast of one head"
    )
    return figure


def _share(row: ClaimRow) -> tuple[float | None, float | None, float | None]:
    if isinstance(row, HeadClaimRow):
        return row.contrast, row.contrast_low, row.contrast_high
    five = next((one for one in row.joint if one.heads > 1), None)
    return (five.taken, five.low, five.high) if five is not None else (None, None, None)


def _explained(report: Report) -> Figure:
    """E with its interval, the highest lower bound on top."""
    shown = report.explained[:FINDINGS]
    figure, axes = _new(0.65 + 0.17 * len(shown))
    for y, finding in enumerate(shown):
        score = finding.score
        if score.interval is not None:
            axes.plot([score.interval.low, score.interval.high], [y, y], color=LIT, linewidth=1.4)
        axes.plot(
            [score.e or 0.0], [y], "o", color=LIT, markersize=3.6, markerfacecolor="white" if score.lower else LIT
        )
    axes.axvline(0.5, color=QUIET, linewidth=0.7, dashes=(2, 2))
    _rows(axes, [_label(finding) for finding in shown])
    axes.set_xlim(0, 1)
    hollow = "\nhollow: some prompts from lower bins" if any(finding.score.lower for finding in shown) else ""
    axes.set_xlabel(f"E, 95 % interval{hollow}")
    return figure


def _scores(report: Report) -> Figure:
    """The share of heads with at most this E, next-token neurons against random ones."""
    figure, axes = _new(2.0)
    many = len({group.explainer for group in report.groups}) > 1
    styles = ["-", "--", ":", "-."]
    explainers = list(dict.fromkeys(group.explainer for group in report.groups))
    for group in report.groups:
        if not group.values:
            continue
        n = len(group.values)
        name = f"{group.group}{f', {visible(group.explainer)}' if many else ''} (n = {n})"
        style = styles[explainers.index(group.explainer) % len(styles)]
        color = LIT if group.group == "next-token" else QUIET
        axes.step(
            [0.0, *group.values, 1.0], [0.0, *((i + 1) / n for i in range(n)), 1.0], where="post",
            color=color, linestyle=style, linewidth=1.6 if color == LIT else 0.8, label=name,
        )  # fmt: skip
    axes.axvline(0.5, color=QUIET, linewidth=0.7, dashes=(2, 2))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("E")
    axes.set_ylabel("share of heads")
    axes.legend(frameon=False, fontsize=6, loc="upper left")
    return figure


def _deltas(finding: ScoredHead) -> tuple[float, float | None] | None:
    done = finding.ablations[0] if finding.ablations else None
    if done is None or done.active.delta_log_p is None:
        return None
    return done.active.delta_log_p, done.inactive.delta_log_p


def _ablations(shown: list[ScoredHead]) -> Figure:
    """Δ log p with the head replaced, where it is active and where it is not."""
    figure, axes = _new(0.75 + 0.17 * len(shown))
    for y, finding in enumerate(shown):
        active, inactive = _deltas(finding) or (0.0, None)
        if inactive is not None:
            axes.plot([active, inactive], [y, y], color=QUIET, linewidth=0.7, zorder=1)
            axes.plot([inactive], [y], "o", color=QUIET, markersize=3.4, markerfacecolor="white")
        axes.plot([active], [y], "o", color=LIT, markersize=3.6)
    axes.axvline(0, color=INK, linewidth=0.6)
    _rows(axes, [_label(finding) for finding in shown])
    axes.set_xlabel("Δ log p, head replaced\nfilled: where active, hollow: where not")
    return figure


def _head_map(part: NeuronPart, told: Sequence[HeadPart]) -> Figure:
    """Mean contribution of every head, layer by layer."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    values = np.array([[np.nan if value is None else value for value in row] for row in part.map])
    most = float(np.nanmax(np.abs(values))) or 1.0
    layers, heads = values.shape
    width = COLUMN if heads < WIDE_FROM else PAGE
    figure, axes = _new(min(7.0, max(1.0, 0.55 + (width - 0.8) * layers / heads * 0.6)), width)
    scale = LinearSegmentedColormap.from_list("lamp", [COLD, "#f7f4ec", LIT])
    image = axes.imshow(values, cmap=scale, vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(0, heads, -(-heads // 20)))
    axes.set_yticks(range(0, layers, -(-layers // 20)))
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.set_title(f"{part.found.neuron} {visible_token(part.found.token)}: mean contribution")
    axes.spines[:].set_visible(False)
    for layer, head in zip(*np.nonzero(values < 0), strict=True):
        if abs(values[layer, head]) >= 0.2 * most:
            on_dark = abs(values[layer, head]) >= 0.6 * most
            axes.text(head, layer, "−", ha="center", va="center", color="white" if on_dark else INK, fontsize=6)
    for one in told:
        outline = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)]
        xs, ys = zip(*((one.head.index + x, one.head.layer + y) for x, y in outline), strict=True)
        axes.plot(xs, ys, color=INK, linewidth=0.8, clip_on=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=14, pad=0.02)
    bar.outline.set_visible(False)
    return figure
