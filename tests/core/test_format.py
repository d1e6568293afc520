"""Numbers as people read them: shares in percent, signs written out, no minus before a zero."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headtorch.core import format as shown
from headtorch.core.claims import Estimate


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (shown.plain, 0.8, "0.80"),
        (shown.plain, -0.001, "0.00"),
        (shown.plain, None, "–"),
        (shown.percent, 0.26, "26 %"),
        (shown.percent, -0.21, "−21 %"),
        (shown.percent, -0.004, "0 %"),
        (shown.percent, None, "–"),
        (shown.signed_percent, -0.9, "−90 %"),
        (shown.signed_percent, 0.0, "+0 %"),
        (shown.small, 0.2149, "0.21"),
        (shown.small, 0.0000213, "2.1e-05"),
        (shown.small, 0.0, "< 1e-12"),
    ],
)
def test_a_number(write: Callable[[float | None], str], value: float | None, text: str) -> None:
    assert write(value) == text


def test_an_interval_stands_behind_its_number() -> None:
    taken = Estimate(0.17, 0.13, 0.214)
    assert shown.percent_with_interval(taken) == "17 % [13, 21]"
    assert shown.points_with_interval(Estimate(-0.062, -0.13, -0.001)) == "−6 [−13, 0]"
    assert shown.signed_percent_with_interval(Estimate(-0.8, -0.85, -0.75)) == "−80 % [−85, −75]"
    assert shown.percent_with_interval(Estimate(0.17)) == "17 %", "too few documents for one"


def test_counts_and_number_words() -> None:
    assert [shown.count(1, "claim"), shown.count(1200, "claim")] == ["1 claim", "1,200 claims"]
    assert shown.count(2, "claim was", "claims were") == "2 claims were"
    assert [shown.in_words(number) for number in (5, 20, 171)] == ["five", "twenty", "171"]
