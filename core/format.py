"""Numbers as people read them, for every terminal, page and file: shares in whole percent, signs written out.

A number that is missing is a dash, so that every function takes None.
"""

from __future__ import annotations

from headtorch.core.claims import Estimate

MISSING = "–"
_WORDS = {5: "five", 10: "ten", 20: "twenty"}


def plain(value: float | None, digits: int = 2) -> str:
    """0.80: with fixed digits after the point."""
    return MISSING if value is None else f"{_rounded(value, digits):.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 0) -> str:
    """26 %, of a share of 0.26."""
    return MISSING if share is None else f"{_rounded(100 * share, digits):.{digits}f} %".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """+0.26 or −0.09; +0.00 where it rounds to 0."""
    return MISSING if value is None else f"{_rounded(value, digits):+.{digits}f}".replace("-", "−")


def signed_percent(share: float | None) -> str:
    """−90 %, or +26 %."""
    return MISSING if share is None else f"{_rounded(100 * share):+.0f} %".replace("-", "−")


def percent_with_interval(share: Estimate) -> str:
    """17 % [13, 21], in percent; without an interval where there is none."""
    return f"{percent(share.value)}{_bounds(share)}"


def signed_percent_with_interval(change: Estimate) -> str:
    """−80 % [−85, −75]: a relative change."""
    return f"{signed_percent(change.value)}{_bounds(change)}"


def points_with_interval(difference: Estimate) -> str:
    """+26 [19, 35]: a difference of two shares, in percentage points."""
    return f"{_rounded(100 * difference.value):+.0f}".replace("-", "−") + _bounds(difference)


def small(value: float | None) -> str:
    """0.21, 0.003 or 2e-05: a p or q value with two significant digits; "< 1e-12" below that."""
    if value is None:
        return MISSING
    return "< 1e-12" if value < 1e-12 else f"{value:.2g}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """1 claim, 2 claims, 1,000 claims."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def in_words(number: int) -> str:
    """five, ten and twenty as words, other numbers in digits."""
    return _WORDS.get(number, f"{number:,}")


def _bounds(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = _rounded(100 * estimate.low), _rounded(100 * estimate.high)
    return f" [{low:.0f}, {high:.0f}]".replace("-", "−")


def _rounded(value: float, digits: int = 0) -> float:
    """Without a sign where it rounds to 0."""
    return round(value, digits) + 0.0
