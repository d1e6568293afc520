"""The layer × head map: what every head gives to a neuron, as cells of nine steps."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.records import HeadId, Record

STEPS = (0.08, 0.25, 0.5, 0.75)  # of the largest contribution in size, from which on a cell is a step further
WIDTH = 520  # of the cells, at most
LABELLED_WIDTH = 27  # of a cell that can hold a number
NUMBER_FROM = 0.4  # of the largest


class Cells(Record, frozen=True):
    """Equally coloured cells, as one path in units of a cell; `name` is n4 … n1, p1 … p4."""

    name: str
    path: str


class CellNumber(Record, frozen=True):
    """A number in a cell, at its middle; `strong` on the last step of either colour."""

    x: int
    y: int
    text: str
    strong: bool


class HeatMap(Record, frozen=True, kw_only=True):
    """Geometry in pixels: cells of `width` × `height`, layer 0 on top, heads from left to right."""

    layers: int
    heads: int
    width: int
    height: int
    cells: list[Cells]
    numbers: list[CellNumber]
    negative: str  # a stroke in every negative cell: colour is never alone
    outlined: str  # the explained heads
    largest: float
    every: int  # n-th layer and head has its name at the edge


def heat_map(contributions: Sequence[Sequence[float | None]], explained: Sequence[HeadId]) -> HeatMap | None:
    """The map of a neuron; None where nothing is known, or no head gives anything."""
    values = {
        (layer, head): value
        for layer, row in enumerate(contributions)
        for head, value in enumerate(row)
        if value is not None
    }
    largest = max(map(abs, values.values()), default=0.0)
    if not largest:
        return None
    heads = max(len(row) for row in contributions)
    width = max(6, min(54, WIDTH // heads))
    height = max(6, min(26, round(width * 0.7)))
    paths: dict[str, list[str]] = {}
    numbers, strokes = [], []
    for (layer, head), value in values.items():
        step = sum(abs(value) / largest >= edge for edge in STEPS)
        if not step:
            continue
        name = f"{'p' if value > 0 else 'n'}{step}"
        paths.setdefault(name, []).append(f"M{head} {layer}h1v1h-1z")
        if width >= LABELLED_WIDTH and abs(value) >= NUMBER_FROM * largest:
            text = f"{value:.2f}".replace("-", "−") if largest < 10 else f"{value:.0f}".replace("-", "−")
            numbers.append(
                CellNumber(round((head + 0.5) * width), round((layer + 0.5) * height + 3.5), text, step == len(STEPS))
            )
        elif value < 0:
            strokes.append(f"M{(head + 0.25) * width:g} {(layer + 0.5) * height:g}h{0.5 * width:g}")
    return HeatMap(
        layers=len(contributions),
        heads=heads,
        width=width,
        height=height,
        cells=[Cells(name, "".join(paths[name])) for name in sorted(paths)],
        numbers=numbers,
        negative="".join(strokes),
        outlined="".join(
            f"M{one.index * width + 1} {one.layer * height + 1}h{width - 2}v{height - 2}h{2 - width}z"
            for one in explained
        ),
        largest=largest,
        every=1 if width >= 14 else 4,
    )


class Bar(Record, frozen=True):
    """A bar from the middle line, in a box 60 wide with the middle at 30."""

    x: float
    width: float
    name: str


def contribution_bar(value: float | None, largest: float) -> Bar:
    """A head's mean contribution against the largest of the neuron's."""
    part = (value or 0.0) / largest if largest else 0.0
    length = round(29 * min(1.0, abs(part)), 1)
    return Bar(30 if part >= 0 else round(30 - length, 1), length, "pos" if part >= 0 else "neg")
