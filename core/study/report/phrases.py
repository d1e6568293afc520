"""Numbers and tables as a report writes them; a missing number is a dash."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.records import Interval

ABOUT_SOME = (
    "This report is about some of the study's neurons, chosen by hand. Comparisons of scores, with random neurons too, "
    "are those of the whole study, and q was adjusted over all of its heads. The neurons here:"
)


def number(value: float | None, digits: int = 2) -> str:
    """With fixed digits after the point; 0.00 without a sign."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def small(value: float | None) -> str:
    """With two significant digits: for p values, rates and errors."""
    return "–" if value is None else f"{value:.2g}"


def percent(value: float | None) -> str:
    """A share in whole percent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def with_interval(value: float | None, interval: Interval | None) -> str:
    """A value and its 95 % interval: 0.75 [0.60, 0.87]."""
    if value is None or interval is None:
        return number(value)
    return f"{number(value)} [{number(interval.low)}, {number(interval.high)}]"


def delta_log_p(ablation: Ablation) -> str:
    """Δ log p on active and inactive prompts, each with its n."""

    def side(name: str, group: AblationGroup) -> str:
        return f"{name} {number(group.delta_log_p)} (n = {group.n})"

    q = f", q {small(ablation.q)}" if ablation.q is not None else ""
    return f"{side('active', ablation.active)}, {side('inactive', ablation.inactive)}{q}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown; the cells are escaped already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
