"""What a report says of people's answers: their E beside the judge's, agreement, ratings."""

from __future__ import annotations

from headtorch.core.records import Interval
from headtorch.core.study.rating_summary import Mean, RatingSummary
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.phrases import table


def people(summary: RatingSummary | None) -> list[str]:
    """The section on human ratings, as blocks of Markdown; nothing where nobody has answered."""
    if summary is None or not summary.answers:
        return []
    lines = [
        "## People's judgements",
        f"{summary.answers} answers were given in the terminal, blind to the explainer: whether a head is active on a "
        "prompt, by the explanation alone, and how well an explanation fits examples (1 not at all, 5 wholly). "
        "“Cannot say” counts as wrong in human E, and is left out of κ.",
    ]
    if summary.void:
        lines.append(f"{summary.void} further answers are about explanations that were replaced, and do not count.")
    header = ["rater", "explainer", "mean", "95 % (over neurons)", "heads", "neurons"]
    for title, means in (("Mean human E", summary.mean_e), ("Mean rating", summary.mean_rating)):
        if means:
            lines += [f"{title}:", table(header, [_mean(one) for one in means])]
    if summary.agreements:
        lines.append("Agreement on the same prompts (Cohen's κ; heads resampled for the interval):")
        rows = [
            [escaped(one.first), escaped(one.second), _number(one.agreement.kappa), _between(one.agreement.interval),
             _number(one.agreement.agreed), str(one.agreement.n), str(one.agreement.left_out)]
            for one in summary.agreements
        ]  # fmt: skip
        lines.append(table(["first", "second", "κ", "95 %", "same answer", "n", "left out"], rows))
    for rank in summary.ranks:
        if rank.agreement.spearman is not None:
            lines.append(
                f"Ratings of {escaped(rank.rater)} against {rank.against}: Spearman {rank.agreement.spearman:.2f} over "
                f"{rank.agreement.n} explanations."
            )
    return lines


def _mean(one: Mean) -> list[str]:
    numbers = [_number(one.mean), _between(one.interval), str(one.heads), str(one.neurons)]
    return [escaped(one.rater), escaped(one.explainer), *numbers]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _between(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"
