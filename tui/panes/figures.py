"""Numbers as the panes write them: a true minus sign, about three digits, a dash for what is missing."""

from __future__ import annotations

import math

MISSING = "–"


def figure(value: float | None) -> str:
    """About three digits: 0.83, −1.31, 14.2, 219, 2e-7."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.01:
        return small(value)
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return _minus(f"{value:.{digits}f}")


def signed(value: float | None) -> str:
    """As `figure`, with a sign in front of all but 0."""
    text = figure(value)
    return f"+{text}" if value is not None and math.isfinite(value) and value > 0 else text


def fixed(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """With `digits` after the point: for scores, shares and numbers that stand in a column."""
    if value is None or not math.isfinite(value):
        return MISSING
    return _minus(f"{value:{'+' if sign else ''}.{digits}f}")


def small(value: float | None) -> str:
    """For p values, rates and errors: 0.004, 2e-6."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.1g}" if 0 < abs(value) < 1e-3 else f"{value:.2g}"
    return _minus(text.replace("e-0", "e-").replace("e+0", "e"))


def percent(share: float | None) -> str:
    """A share in whole percent."""
    if share is None or not math.isfinite(share):
        return MISSING
    text = f"{100 * share:.0f}"
    return _minus(f"{'0' if text == '-0' else text} %")


def _minus(text: str) -> str:
    """The true minus sign in front; the exponent's stays short."""
    return f"−{text[1:]}" if text.startswith("-") else text
