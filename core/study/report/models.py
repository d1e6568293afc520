"""What a report says of language models and of several explainers: who judged, what it cost, who did better."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.events import CallsMade, HeadUnanswered
from headtorch.core.format import signed
from headtorch.core.records import Interval
from headtorch.core.study.bars import AXIS, bars
from headtorch.core.study.comparisons import Against
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.phrases import table


def language_models(report: Report) -> list[str]:
    """The section on calls and on heads that were left unanswered; nothing where no language model was asked."""
    if not report.calls and not report.unanswered:
        return []
    judged = [
        f"{escaped(explainer)} by {escaped(', '.join(names))}" for explainer, names in report.judges.items() if names
    ]
    lines = ["## Language models"]
    if judged:
        lines.append(f"Explanations were judged: {'; '.join(judged)} (rule: the explanation judges by itself).")
    if report.calls:
        header = ["model", "endpoint", "calls", "from the cache", "unanswered", "tokens sent", "answered", "cost"]
        lines.append(table(header, [_calls(made) for made in report.calls]))
    if report.unanswered:
        lines += _unanswered(report.unanswered)
    return lines


def explainers_compared(found: Sequence[Against]) -> list[str]:
    """Every two explainers on the same heads, with the distributions of their scores."""
    lines = ["## Explainer against explainer"] if found else []
    for one in found:
        seen = one.comparison
        lines.append(
            f"{escaped(one.first)} against {escaped(one.second)}: E on {seen.first.n_heads} heads of "
            f"{seen.first.n_neurons} next-token neurons differs by {_signed(seen.difference, seen.interval)} on "
            f"average; Cliff's delta over the pairs {_signed(seen.delta, seen.delta_interval)}. Units are "
            "neurons."
        )
        first, second = bars(one.first_values, one.second_values)
        lines.append(f"```\nfirst   {first.rstrip()}\nsecond  {second.rstrip()}\n     E  {AXIS}\n```")
    return lines


def _calls(made: CallsMade) -> list[str]:
    about = "" if made.counted else "about "
    return [
        escaped(made.model),
        escaped(made.base_url),
        f"{made.calls:,}",
        f"{made.cached:,}",
        f"{made.unanswered:,}",
        f"{about}{made.prompt_tokens:,}",
        f"{about}{made.completion_tokens:,}",
        "unknown" if made.cost is None else f"${made.cost:.4f}",
    ]


def _unanswered(lost: Sequence[HeadUnanswered]) -> list[str]:
    heads = "1 head has" if len(lost) == 1 else f"{len(lost)} heads have"
    rows = [
        [f"{one.neuron} {one.head}", escaped(one.explainer), "explanation" if one.step == "explain" else "verdicts",
         f"{one.unanswered} of {one.calls}", escaped(one.reason)]
        for one in lost
    ]  # fmt: skip
    return [
        f"{heads} no explanation or no score, because a language model did not answer. They are in no mean and no "
        "adjusted p value; the next run of the study asks again.",
        table(["head", "explainer", "missing", "calls without an answer", "reason"], rows),
    ]


def _signed(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return signed(value)
    return f"{signed(value)} [{signed(interval.low)}, {signed(interval.high)}]"
