"""What a report says of people's answers: their E beside the judge's, agreement, ratings."""

from __future__ import annotations

from headtorch.core.records import Explanation, Interval, Record
from headtorch.core.study.rating_summary import HumanScore, Mean, RatingSummary
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.phrases import number, table, with_interval


class RatingRow(Record, frozen=True, kw_only=True):
    """What one person made of one explanation, as a row of a table."""

    rater: str
    neuron: str
    head: str
    explainer: str
    rating: int | None  # 1 to 5
    e: float | None
    low: float | None
    high: float | None
    n_active: int
    n_inactive: int
    true_active: int
    true_inactive: int
    cannot_say: int
    judge_e: float | None


def rating_rows(summary: RatingSummary | None) -> list[RatingRow]:
    """One row a person and explanation."""
    return [
        RatingRow(
            rater=one.rater,
            neuron=str(one.neuron),
            head=str(one.head),
            explainer=one.explainer,
            rating=one.rating,
            e=one.e,
            low=one.interval.low if one.interval else None,
            high=one.interval.high if one.interval else None,
            n_active=one.n_active,
            n_inactive=one.n_inactive,
            true_active=one.true_active,
            true_inactive=one.true_inactive,
            cannot_say=one.cannot_say,
            judge_e=one.judge_e,
        )
        for one in (summary.scores if summary is not None else [])
    ]


def human_scores(summary: RatingSummary | None, said: Explanation) -> list[HumanScore]:
    """What people made of this explanation."""
    if summary is None:
        return []
    key = said.neuron, said.head, said.explainer
    return [one for one in summary.scores if (one.neuron, one.head, one.explainer) == key]


def said_by_people(one: HumanScore) -> str:
    """A sentence of Markdown on what one person made of an explanation."""
    told = []
    if one.rating is not None:
        told.append(f"rates it {one.rating} of 5")
    if one.n_active + one.n_inactive:
        aside = f", {one.cannot_say} cannot say" if one.cannot_say else ""
        told.append(f"has E = {with_interval(one.e, one.interval)} on n = {one.n_active} + {one.n_inactive}{aside}")
    return f"{escaped(one.rater)} {' and '.join(told)}."


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
            [escaped(one.first), escaped(one.second), number(one.agreement.kappa), _between(one.agreement.interval),
             number(one.agreement.agreed), str(one.agreement.n), str(one.agreement.left_out)]
            for one in summary.agreements
        ]  # fmt: skip
        lines.append(table(["first", "second", "κ", "95 %", "same answer", "n", "left out"], rows))
    ranks = [
        [escaped(rank.rater), rank.of, escaped(rank.against), number(rank.agreement.spearman), str(rank.agreement.n)]
        for rank in summary.ranks
    ]
    if ranks:
        lines += [
            "Do they rank explanations alike?",
            table(["rater", "by", "against", "Spearman", "explanations"], ranks),
        ]
    return lines


def _mean(one: Mean) -> list[str]:
    numbers = [number(one.mean), _between(one.interval), str(one.heads), str(one.neurons)]
    return [escaped(one.rater), escaped(one.explainer), *numbers]


def _between(interval: Interval | None) -> str:
    return "–" if interval is None else f"{number(interval.low)} to {number(interval.high)}"
