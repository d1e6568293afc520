"""Numbers, intervals and bars as text, and text that flows."""

from __future__ import annotations

import pytest

from headtorch.core.records import Interval
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.detail.drawing import interval_plot, signed_bar
from headtorch.tui.panes.figures import figure, percent, signed, small
from headtorch.tui.panes.flow import flow, tail


def test_figures_have_about_three_digits_and_true_minus_signs() -> None:
    assert [figure(value) for value in (0.0, 0.834, -1.314, 14.24, 218.75, -0.0021, 2.4e-7, None, float("nan"))] == [
        "0", "0.83", "−1.31", "14.2", "219", "−0.0021", "2e-7", "–", "–",
    ]  # fmt: skip
    assert [signed(value) for value in (0.5, -0.5, 0.0)] == ["+0.50", "−0.50", "0"]
    assert [small(value) for value in (0.0412, 0.0004, 2e-16, 1.0)] == ["0.041", "0.0004", "2e-16", "1"]
    assert [percent(value) for value in (0.345, -0.081, -0.001, None)] == ["34 %", "−8 %", "0 %", "–"]


@pytest.mark.parametrize("e", [0.0, 0.5, 0.83, 1.0])
def test_the_interval_plot_marks_value_interval_and_chance(e: float) -> None:
    interval = Interval(max(0.0, e - 0.1), min(1.0, e + 0.1))
    plot = interval_plot(e, interval, 41, CAVE).plain
    assert len(plot) == 41 and plot.index("●") == round(e * 40)
    inside = [x for x, mark in enumerate(plot) if mark in "━●┿"]
    assert inside == list(range(round(interval.low * 40), round(interval.high * 40) + 1))
    assert e == 0.5 or plot[20] == "┼"
    assert interval_plot(e, None, 41, CAVE).plain.count("━") == 0


@pytest.mark.parametrize(
    ("value", "bar"),
    [
        (1.0, "    │████"),
        (-1.0, "████│    "),
        (0.5, "    │██  "),
        (-0.125, "   ▐│    "),
        (0.0, "    │    "),
        (None, "    │    "),
    ],
)
def test_bars_go_left_for_minus_and_right_for_plus(value: float | None, bar: str) -> None:
    assert signed_bar(value, 1.0, 4, CAVE, ("negative", "lamp")).plain == bar
    if value != -1.0 and value != -0.125:
        assert signed_bar(value, 1.0, 4, CAVE, ("negative", "lamp"), one_sided=True).plain == bar[4:]


def test_flowing_text_keeps_facts_whole_and_cuts_only_what_is_too_wide() -> None:
    from rich.text import Text

    lines = flow([Text("E 0.83"), Text("F1 0.81"), Text("x" * 25), Text("漢" * 6)], 20)
    assert [line.plain for line in lines] == ["E 0.83   F1 0.81", "x" * 20, "xxxxx   漢漢漢漢漢漢"]
    assert tail("漢字漢字", 5) == "…字漢字"[:1] + "漢字"[-2:] and tail("abc", 3) == "abc" and tail("abcd", 3) == "…cd"
