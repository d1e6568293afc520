"""headtorch rate: explanations judged and rated by people, blind."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.records import Interval
    from headtorch.core.study.rating_summary import Mean, RatingSummary
    from headtorch.core.study.study import Study

LONGEST_NAME = 40


def rate(
    study: Annotated[str, typer.Argument(help="Name or folder of a study.")],
    rater: Annotated[str | None, typer.Option(help="Your name; by default that of your account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask at most so many questions this time.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Ask nothing; say what all answers come to.")] = False,
    json: options.Json = False,
) -> None:
    """Judge and rate a study's explanations yourself, blind, with single keys; or sum up everybody's answers.

    You see an explanation and a text, and say whether the head is active there; then you rate the explanation beside
    examples. Who explained is not shown. Each answer is kept at once: leave when you like, the same command goes on.

    \b
    Examples:
      headtorch rate states --limit 50
      headtorch rate states --summary
    """
    from headtorch.core.study.study import Study

    if json and not summary:
        raise InputError("--json goes with --summary.")
    opened = Study.open(study)
    if summary:
        _sum_up(opened, json)
    else:
        _ask(opened, _name(rater), limit)


def _name(rater: str | None) -> str:
    name = (rater if rater is not None else os.environ.get("USER") or getpass.getuser()).strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InputError(f"{name[:80]!r} cannot be a rater's name; give a short one with --rater.")
    return name


def _ask(study: Study, rater: str, limit: int | None) -> None:
    from headtorch.core.study.rating_plan import left, plan
    from headtorch.core.study.ratings import Ratings
    from headtorch.tui.cli.output import print_note

    ratings = Ratings(study.folder)
    everything = plan(study.state, rater)
    if not everything:
        raise InputError(f"Nothing in {study.name} can be rated yet: no explained head has prompts of both classes.")
    open_questions = left(everything, ratings.read())
    if not open_questions:
        print_note(f"{rater} has answered all {len(everything)} questions; --summary says what they come to.")
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise InputError("Rating needs a terminal; --summary does not.")
    from headtorch.tui.rating import RatingApp

    answered = RatingApp(study.state, open_questions[:limit], ratings).run(mouse=False) or 0
    remaining = len(left(everything, ratings.read()))
    print_note(f"{answered} answered now, {remaining} of {len(everything)} left; the same command goes on.")


def _sum_up(study: Study, json: bool) -> None:
    from headtorch.core.study.rating_summary import summarize
    from headtorch.core.study.ratings import Ratings
    from headtorch.tui.cli.output import print_json, print_note

    found = summarize(study.state, Ratings(study.folder).read())
    if json:
        print_json(found)
    elif not found.answers:
        print_note(f"Nobody has rated {study.name} yet.")
    else:
        _print_summary(found)
    if found.void and not json:
        print_note(f"{found.void} answers are about explanations that no longer stand, and are left out.")


def _print_summary(found: RatingSummary) -> None:
    from headtorch.tui.cli.output import print_note, print_table, print_text

    print_table(
        [("rater", "text"), ("neuron", "left"), ("head", "left"), ("explainer", "text"), ("human E", "right"),
         ("95 %", "left"), ("n", "left"), ("cannot say", "right"), ("judge's E", "right"), ("rating", "right")],
        [
            (one.rater, one.neuron, one.head, one.explainer, one.e, _between(one.interval),
             f"{one.n_active}+{one.n_inactive}", one.cannot_say, one.judge_e, one.rating)
            for one in found.scores
        ],
        title="What people made of each explanation",
    )  # fmt: skip
    print_note("n: prompts judged on which the head is active + inactive; cannot say: counted as wrong")
    print_text()
    _print_means("Mean human E", found.mean_e)
    _print_means("Mean rating, 1 to 5", found.mean_rating)
    print_table(
        [("first", "text"), ("second", "text"), ("κ", "right"), ("95 %", "left"), ("same answer", "right"),
         ("n", "right"), ("left out", "right")],
        [
            (one.first, one.second, one.agreement.kappa, _between(one.agreement.interval), one.agreement.agreed,
             one.agreement.n, one.agreement.left_out)
            for one in found.agreements
        ],
        title="Agreement on the same prompts",
    )  # fmt: skip
    print_note("κ: Cohen's kappa, 0 is chance, 1 is full; 95 %: heads resampled; left out: one of the two cannot say")
    for rank in found.ranks:
        rho = "unknown" if rank.agreement.spearman is None else f"{rank.agreement.spearman:.2f}"
        what = "Ratings" if rank.of == "rating" else "E"
        print_note(f"{what} of {rank.rater} and {rank.against}: Spearman {rho} over {rank.agreement.n} explanations.")


def _print_means(title: str, means: list[Mean]) -> None:
    from headtorch.tui.cli.output import print_table, print_text

    if means:
        print_table(
            [("rater", "text"), ("explainer", "text"), ("mean", "right"), ("95 %", "left"), ("heads", "right"),
             ("neurons", "right")],
            [(one.rater, one.explainer, one.mean, _between(one.interval), one.heads, one.neurons) for one in means],
            title=title,
        )  # fmt: skip
        print_text()


def _between(interval: Interval | None) -> str:
    return "·" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"
