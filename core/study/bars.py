"""A distribution as one line of text: a bar for each bin, as high as the share of the values in it."""

from __future__ import annotations

from collections.abc import Sequence

BARS = " ▁▂▃▄▅▆▇█"
BINS = 20  # of [0, 1]
AXIS = "0" + "chance".center(BINS - 2, "─") + "1"


def bars(*groups: Sequence[float]) -> list[str]:
    """A line for each group of values from 0 to 1, all to one scale: the fullest bin of any of them is a full bar.

    A bin that holds anything shows at least the lowest bar. The last bin holds its upper end.
    """
    shares = [_shares(values) for values in groups]
    most = max((share for line in shares for share in line), default=0.0)
    return ["".join(_bar(share, most) for share in line) for line in shares]


def _shares(values: Sequence[float]) -> list[float]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int(value * BINS)))] += 1
    return [count / len(values) if values else 0.0 for count in counts]


def _bar(share: float, most: float) -> str:
    if not share:
        return BARS[0]
    return BARS[max(1, round(share / most * (len(BARS) - 1)))]
