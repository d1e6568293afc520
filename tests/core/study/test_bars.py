"""Bars of a distribution: one scale, nothing hidden."""

from __future__ import annotations

from headtorch.core.study.bars import AXIS, BINS, bars


def test_every_group_is_drawn_to_the_same_scale() -> None:
    even, peak = bars([i / BINS + 0.01 for i in range(BINS)], [0.5] * 40)
    assert len(even) == len(peak) == len(AXIS) == BINS
    assert peak == " " * (BINS // 2) + "█" + " " * (BINS // 2 - 1)
    assert even == "▁" * BINS


def test_a_single_value_is_never_invisible_and_the_ends_belong_to_the_scale() -> None:
    [line] = bars([0.0, *[0.52] * 200, 1.0])
    assert (line[0], line[10], line[-1]) == ("▁", "█", "▁")
    assert bars([]) == [" " * BINS]
