"""headtorch compare: studies side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import HeadPair, Pair, SideBySide


def compare(
    studies: Annotated[list[str], typer.Argument(help="Names or folders of two or more studies.", show_default=False)],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of tables.")] = False,
    tui: Annotated[bool, typer.Option("--tui", help="Look at the comparison in the terminal, page by page.")] = False,
    json: options.Json = False,
) -> None:
    """Compare studies: settings that differ, scores, and the neurons that studies of one model share.

    For a shared neuron: do the same heads matter on both corpora, and are they active as often?

    \b
    Examples:
      headtorch compare states-sotu states-news
      headtorch compare small large --json
      headtorch compare states-sotu states-news --tui
    """
    if json + markdown + tui > 1:
        raise InputError("--json, --markdown and --tui are three ways to show a comparison: choose one.")
    if tui:
        from headtorch.tui.opening import open_workbench

        open_workbench(compare=studies)
        return
    from headtorch.core.study.report.comparison import comparison_markdown
    from headtorch.core.study.side_by_side import compare_studies, open_studies
    from headtorch.tui.cli.output import print_json, print_text, write

    found = compare_studies(open_studies(studies))
    if json:
        print_json(found)
        return
    if markdown:
        write(comparison_markdown(found).rstrip("\n"))
        return
    _print_studies(found)
    _print_scores(found)
    for pair in found.pairs:
        print_text()
        _print_pair(pair)


def _print_studies(found: SideBySide) -> None:
    from headtorch.tui.cli.output import print_note, print_table, print_text

    print_table(
        [
            ("study", "text"),
            ("model", "text"),
            ("corpus", "text"),
            ("neurons", "right"),
            ("random", "right"),
            ("heads explained", "right"),
            ("scored", "right"),
        ],
        [(s.study, s.model, s.corpus, s.neurons, s.random, s.explained, s.scored) for s in found.studies],
    )
    for side in found.studies:
        if not side.finished:
            print_note(f"{side.study} is not finished.")
    print_text()
    if found.settings:
        columns = [("setting", "left"), *((side.study, "text") for side in found.studies)]
        print_table(columns, [(row.name, *row.values) for row in found.settings], title="Settings that differ")
    else:
        print_note("All settings are the same.")


def _print_scores(found: SideBySide) -> None:
    from headtorch.tui.cli.score import print_comparison, print_groups

    print_groups(found.groups)
    for one in found.comparisons:
        print_comparison(one)


def _print_pair(pair: Pair) -> None:
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_table

    about = f"{pair.first} and {pair.second}"
    if not pair.same_model:
        print_note(f"{about} are about different models, or one was never opened: their neurons are not the same.")
        return
    if not pair.neurons:
        print_note(f"{about} share no neuron.")
        return
    corpus = "the same corpus" if pair.same_corpus else "different corpora"
    print_table(
        [
            ("neuron", "left"),
            ("token", "text"),
            ("ρ of β", "right"),
            ("heads", "right"),
            ("ρ of effect", "right"),
            ("heads", "right"),
            ("ρ of direct", "right"),
            ("heads", "right"),
            ("ρ of activity", "right"),
            ("heads", "right"),
            ("only first", "right"),
            ("only second", "right"),
        ],
        [
            (
                one.neuron,
                visible_token(one.token),
                one.beta.spearman,
                one.beta.n,
                one.effect.spearman,
                one.effect.n,
                one.mean_direct.spearman,
                one.mean_direct.n,
                one.share.spearman,
                one.share.n,
                one.only_first,
                one.only_second,
            )
            for one in pair.neurons
        ],
        title=f"Neurons of both {about}, on {corpus}",
    )
    print_note(
        "ρ: Spearman over the heads; β: a head's share of the neuron's variation on random positions; effect: "
        "its exact effect on the activation, by the same replacement in both; direct: its mean attribution; "
        "activity: share of the strongest prompts on which it is active, for heads worth explaining in both; "
        "only first, only second: heads worth explaining in one alone"
    )
    rows = [(one.neuron, *_head(head)) for one in pair.neurons for head in one.heads]
    if rows:
        print_table(
            [
                ("neuron", "left"),
                ("head", "left"),
                ("active", "left"),
                ("difference", "left"),
                ("direct", "left"),
                (f"E ({pair.explainer})" if pair.explainer else "E", "left"),
            ],
            rows,
            title="Heads worth explaining in both, first and second study",
        )


def _head(head: HeadPair) -> tuple[object, ...]:
    seen = head.activity
    between = seen.interval
    return (
        f"{head.head}{' (suppressing)' if head.suppressing else ''}",
        f"{_share(seen.first)} {_share(seen.second)}",
        "·"
        if seen.difference is None or between is None
        else f"{seen.difference:+.2f} [{between.low:+.2f}, {between.high:+.2f}]",
        " ".join("·" if value is None else f"{value:.2f}" for value in head.mean_direct),
        " ".join("·" if value is None else f"{value:.2f}" for value in head.e),
    )


def _share(value: float | None) -> str:
    return "·" if value is None else f"{value:.0%}"
