"""headtorch score: every score computed again from stored answers, and scores compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.records import Interval
    from headtorch.core.study.comparisons import Against, ExplainerScores
    from headtorch.core.study.rescoring import Rescored


def score(
    study: Annotated[list[str], typer.Option("--study", help="Name or folder of a study; may be repeated.")],
    json: options.Json = False,
) -> None:
    """Compute every score of a study again from what its judges said, and compare explainers, neurons and studies.

    Nothing is asked, and no model or corpus is opened.

    \b
    Examples:
      headtorch score --study comparisons
      headtorch score --study small --study large --json
    """
    from headtorch.core.study.comparisons import StudyScores, between_studies
    from headtorch.core.study.rescoring import rescore
    from headtorch.core.study.study import Study
    from headtorch.tui.cli.output import print_json

    if len(set(study)) < len(study):
        raise InputError("A study is compared with itself: name each once.")
    studies, rescored = [], {}
    for where in study:
        opened = Study.open(where)
        scores, rescored[opened.name] = rescore(opened.state)
        studies.append(StudyScores(opened.name, opened.state, scores))
    groups = [group for one in studies for group in one.groups()]
    compared = [found for one in studies for found in (*one.against_random(), *one.between_explainers())]
    compared += between_studies(studies)
    if json:
        print_json({"rescored": rescored, "groups": groups, "comparisons": compared})
        return
    for name, result in rescored.items():
        _print_rescored(name, result)
    print_groups(groups)
    for found in compared:
        print_comparison(found)


def _print_rescored(name: str, result: Rescored) -> None:
    from headtorch.tui.cli.output import print_note

    kept = f" {_scores(result.kept)} without stored answers kept as stored." if result.kept else ""
    if not result.computed:
        print_note(f"{name}: no answers of a judge are stored.{kept}")
    elif not result.differing:
        print_note(f"{name}: {_scores(result.computed)} computed again, all as stored.{kept}")
    else:
        print_note(f"{name}: {_scores(result.computed)} computed again, of which differ:{kept}")
        for line in result.differing:
            print_note(f"  {line}")


def print_groups(groups: list[ExplainerScores]) -> None:
    """A line for each explainer's scores of a group of neurons."""
    from headtorch.core.analysis.score_summary import FEWEST_NEURONS
    from headtorch.tui.cli.output import print_note, print_table, print_text

    print_text()
    print_table(
        [
            ("study", "text"),
            ("explainer", "text"),
            ("judge", "text"),
            ("neurons", "left"),
            ("above chance", "right"),
            ("of neurons", "right"),
            ("mean E", "right"),
            ("95 %", "left"),
            ("lower", "right"),
            ("unanswered", "right"),
        ],
        [
            (
                one.study,
                one.explainer,
                ", ".join(one.judges),
                one.group,
                f"{one.scores.above_chance} of {one.scores.n_heads}",
                one.scores.n_neurons,
                one.scores.mean,
                _between(one.scores.interval),
                one.lower,
                one.unanswered,
            )
            for one in groups
        ],
    )
    print_note(
        "above chance: heads whose lower bound of E is above 0.5 with q < 0.05, of those scorable; mean E: over "
        f"neurons; 95 %: t over neurons, none with fewer than {FEWEST_NEURONS}; lower: heads scored against weaker "
        "firing, an easier question, left out of all of these"
    )


def print_comparison(found: Against) -> None:
    """Two sets of scores as bars, with the difference in words."""
    from headtorch.core.study.bars import AXIS, bars
    from headtorch.core.text import visible
    from headtorch.tui.cli.output import print_note, print_text, write

    seen = found.comparison
    print_text()
    names = [visible(found.first), visible(found.second)]
    wide = max(map(len, names))
    for name, line in zip(names, bars(found.first_values, found.second_values), strict=True):
        write(f"{name:<{wide}}  {line}".rstrip())
    write(f"{'E':>{wide}}  {AXIS}")
    heads = seen.first.n_heads
    pairs = f" over {heads} {'head' if heads == 1 else 'heads'}" if seen.paired else ""
    print_note(
        f"difference of the means{pairs} {_signed(seen.difference)} {_between(seen.interval, signed=True)}; "
        f"Cliff's delta {_signed(seen.delta)} {_between(seen.delta_interval, signed=True)}"
    )


def _scores(count: int) -> str:
    return "1 score" if count == 1 else f"{count} scores"


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


def _between(interval: Interval | None, signed: bool = False) -> str:
    if interval is None:
        return "(no interval: fewer than 8 neurons)" if signed else "·"
    return f"[{interval.low:+.3f}, {interval.high:+.3f}]" if signed else f"{interval.low:.3f}–{interval.high:.3f}"
