"""Where E, its interval and its controls stand on the axis from 0 to 1, and distributions of many E as stacked dots."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.records import Interval, Record
from headtorch.core.study.comparisons import ExplainerScores

FOREST_WIDTH, FOREST_EDGE = 180, 6
PLOT_WIDTH, PLOT_EDGE = 480, 14
BIN = 0.02  # of E
RADIUS = 4.0
STACK = 84.0  # height that the fullest bin may take


class Forest(Record, frozen=True, kw_only=True):
    """One E on its axis, in pixels."""

    e: int | None
    low: int | None
    high: int | None
    controls: str  # a tick for each, as one path


class Dot(Record, frozen=True):
    x: float
    y: float


class DotRow(Record, frozen=True, kw_only=True):
    """The E of one explainer's heads in one group of neurons."""

    explainer: str
    group: str
    y: float  # of the base line
    dots: list[Dot]
    mean: float | None
    low: float | None
    high: float | None


class DotPlot(Record, frozen=True, kw_only=True):
    """All groups on one axis from 0 to 1."""

    rows: list[DotRow]
    height: float
    radius: float
    ticks: list[tuple[float, str]]
    chance: float


def forest(e: float | None, interval: Interval | None, controls: Sequence[float | None] = ()) -> Forest:
    """Positions on an axis FOREST_WIDTH wide."""

    def at(value: float) -> int:
        return round(FOREST_EDGE + value * (FOREST_WIDTH - 2 * FOREST_EDGE))

    return Forest(
        e=None if e is None else at(e),
        low=None if interval is None else at(interval.low),
        high=None if interval is None else at(interval.high),
        controls="".join(f"M{x} 4v10" for x in dict.fromkeys(at(value) for value in controls if value is not None)),
    )


def dot_rows(groups: Sequence[ExplainerScores]) -> DotPlot | None:
    """A row for each group that has a score; None without any."""
    shown = [group for group in groups if group.values]
    if not shown:
        return None
    bins = [_bins(group.values) for group in shown]
    fullest = max(max(counts.values()) for counts in bins)
    radius = round(min(RADIUS, STACK / fullest / 2), 2)
    rows, y = [], 0.0
    for group, counts in zip(shown, bins, strict=True):
        y += max(44.0, 2 * radius * max(counts.values()) + 36.0)
        interval = group.scores.interval
        rows.append(
            DotRow(
                explainer=group.explainer,
                group=group.group,
                y=round(y, 1),
                dots=[
                    Dot(_x((place + 0.5) * BIN), round(y - radius * (2 * n + 1) - 2, 1))
                    for place, count in sorted(counts.items())
                    for n in range(count)
                ],
                mean=None if group.scores.mean is None else _x(group.scores.mean),
                low=_x(interval.low) if interval else None,
                high=_x(interval.high) if interval else None,
            )
        )
        y += 16.0
    ticks = [(_x(value), f"{value:g}") for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return DotPlot(rows=rows, height=round(y + 34, 1), radius=radius, ticks=ticks, chance=_x(0.5))


def _bins(values: Sequence[float]) -> dict[int, int]:
    last = round(1 / BIN) - 1
    counts: dict[int, int] = {}
    for value in values:
        place = min(last, max(0, int(value / BIN)))
        counts[place] = counts.get(place, 0) + 1
    return counts


def _x(value: float) -> float:
    return round(PLOT_EDGE + value * (PLOT_WIDTH - 2 * PLOT_EDGE), 1)
