"""The layer × head map: what every head gives to a neuron, as cells of nine steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from headtorch.core.records import HeadId, Record
from headtorch.core.study.report.parts import NeuronPart

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


class Frame(Record, frozen=True, kw_only=True):
    """Geometry in pixels: cells of `width` × `height`, layer 0 on top, heads from left to right."""

    layers: int
    heads: int
    width: int
    height: int
    every: int  # n-th layer and head has its name at the edge

    @property
    def name(self) -> str:
        """Tells frames of one page apart."""
        return f"frame{self.layers}x{self.heads}"


class HeatMap(Record, frozen=True, kw_only=True):
    """What is drawn into a frame; paths of cells are in units of a cell, from the middle of its left edge."""

    frame: Frame
    cells: list[Cells]
    numbers: list[CellNumber]
    negative: str  # a stroke in every negative cell: colour is never alone
    outlined: str  # the explained heads, in pixels
    largest: float


def map_frames(parts: Sequence[NeuronPart]) -> list[Frame]:
    """The frames of all maps, each once: a page holds them once, and its maps refer to them."""
    return list(dict.fromkeys(_frame(part.map) for part in parts if part.map and not part.found.random))


def heat_map(contributions: Sequence[Sequence[float | None]], explained: Sequence[HeadId]) -> HeatMap | None:
    """The map of a neuron; None where nothing is known, or no head gives anything."""
    largest = max((abs(value) for row in contributions for value in row if value is not None), default=0.0)
    if not largest:
        return None
    frame = _frame(contributions)
    paths: dict[str, list[str]] = {}
    numbers, strokes = [], []
    for layer, row in enumerate(contributions):
        names = [_step(value, largest) for value in row]
        for name, run in groupby(range(len(row)), key=names.__getitem__):
            if name:
                heads = list(run)
                paths.setdefault(name, []).append(f"M{heads[0]} {layer}h{len(heads)}")
        for head, (value, name) in enumerate(zip(row, names, strict=True)):
            if value is None or not name:
                continue
            if frame.width >= LABELLED_WIDTH and abs(value) >= NUMBER_FROM * largest:
                numbers.append(_number(frame, layer, head, value, largest))
            elif value < 0:
                strokes.append(f"M{head}.25 {layer}h.5")
    width, height = frame.width, frame.height
    return HeatMap(
        frame=frame,
        cells=[Cells(name, "".join(paths[name])) for name in sorted(paths)],
        numbers=numbers,
        negative="".join(strokes),
        outlined="".join(
            f"M{one.index * width + 1} {one.layer * height + 1}h{width - 2}v{height - 2}h{2 - width}z"
            for one in explained
        ),
        largest=largest,
    )


def _frame(contributions: Sequence[Sequence[float | None]]) -> Frame:
    heads = max(len(row) for row in contributions)
    width = max(6, min(54, WIDTH // heads))
    return Frame(
        layers=len(contributions),
        heads=heads,
        width=width,
        height=max(6, min(26, round(width * 0.7))),
        every=1 if width >= 14 else 4,
    )


def _step(value: float | None, largest: float) -> str:
    """The name of a cell's colour; "" for a cell that is left empty."""
    step = 0 if value is None else sum(abs(value) / largest >= edge for edge in STEPS)
    return f"{'p' if value and value > 0 else 'n'}{step}" if step else ""


def _number(frame: Frame, layer: int, head: int, value: float, largest: float) -> CellNumber:
    text = f"{value:.{2 if largest < 10 else 0}f}".replace("-", "−")
    x, y = round((head + 0.5) * frame.width), round((layer + 0.5) * frame.height + 3.5)
    return CellNumber(x, y, text, strong=abs(value) / largest >= STEPS[-1])


class Bar(Record, frozen=True):
    """A bar from the middle line, in a box 60 wide with the middle at 30."""

    x: int
    width: int
    name: str


def contribution_bar(value: float | None, largest: float) -> Bar:
    """A head's mean contribution against the largest of the neuron's."""
    part = (value or 0.0) / largest if largest else 0.0
    length = round(29 * min(1.0, abs(part)))
    return Bar(30 if part >= 0 else 30 - length, length, "pos" if part >= 0 else "neg")
