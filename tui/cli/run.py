"""headtorch run: the main job."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.core.engine.presets import DEFAULT_NEURONS, DEFAULT_RANDOM, DEFAULT_TOKEN, paper_settings
from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import ScanOptions, spread

if TYPE_CHECKING:
    from headtorch.core.events import CallsMade
    from headtorch.core.records import GroupMean, HeadActivity
    from headtorch.core.study.state import StudyState
    from headtorch.core.study.study import Study


@spread
def run(
    token: Annotated[list[str] | None, typer.Option("--token", "-t", help="A token to study; may be repeated.")] = None,
    neuron: Annotated[list[str] | None, typer.Option("--neuron", help="A neuron to study, as L3.N412.")] = None,
    study: Annotated[
        str | None, typer.Option(help="Name or folder of the study; equal settings go on with it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the report goes; by default into the study's folder.")] = None,
    explainer: options.Explainer = "rules",
    explanation: options.Explanation = None,
    explainer_model: options.ExplainerModel = None,
    judge_model: options.JudgeModel = None,
    base_url: options.BaseUrl = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    preset: Annotated[
        Literal["default", "paper"],
        typer.Option(help="default, or paper: the settings of arXiv 2402.15055, but for options that are given."),
    ] = "default",
    neurons: Annotated[
        int, typer.Option("--neurons", "-n", min=1, help="Next-token neurons to study.")
    ] = DEFAULT_NEURONS,
    random_neurons: Annotated[int, typer.Option(min=0, help="Random neurons to compare them with.")] = DEFAULT_RANDOM,
    reject_neuron: Annotated[list[str] | None, typer.Option(help="A neuron never to take; may be repeated.")] = None,
    reject_token: Annotated[list[str] | None, typer.Option(help="A token never to take; may be repeated.")] = None,
    *,
    index: ScanOptions,
    line: typer.Context,
    ray: options.Ray = None,
    shards: options.Shards = None,
    workers: options.Workers = None,
    yes: options.Yes = False,
    profile: options.Profile = False,
    json: options.Json = False,
) -> None:
    """Study tokens: neurons, prompts, heads, explanations, scores, ablations, report.

    Without options: the demo model, the annual messages, one good token. Interrupted or run again, it goes on where it
    stopped.

    \b
    Examples:
      headtorch run
      headtorch run --token " than" --token " not" --study comparisons --out reports/
      headtorch run --model gpt2 --corpus hf:NeelNanda/pile-10k --preset paper
    """
    import msgspec

    from headtorch.core.engine.pipeline import run_study
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.study.places import default_name, resolve
    from headtorch.core.study.study import Study
    from headtorch.core.text import visible
    from headtorch.tui.cli.asking import Outcome, language_models, models_for
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.profiling import profiling
    from headtorch.tui.cli.progress import aside, progress_bars
    from headtorch.tui.cli.workspaces import cluster_access

    cluster = cluster_access(ray, shards, workers)
    llm, access = models_for(
        explainer,
        explanation,
        model=explainer_model,
        judge_model=judge_model,
        base_url=base_url,
        max_calls=max_calls,
        max_cost=max_cost,
    )
    asked = msgspec.structs.replace(
        index.settings(),
        token_texts=tuple(token or ([] if neuron or preset == "paper" else [DEFAULT_TOKEN])),
        neurons=tuple(neuron or ()),
        neurons_limit=neurons,
        random_neurons=random_neurons,
        explainer=explainer,
        explanation=explanation,
        llm=llm,
        reject_neurons=tuple(reject_neuron or ()),
        reject_tokens=tuple(reject_token or ()),
    )
    if preset == "paper":
        asked = paper_settings(asked, given=_given(line))
    where = resolve(default_name(asked) if study is None else study)
    outcome = Outcome()
    with profiling(profile) as measured, progress_bars() as watch:
        workspace = Workspace(asked, device=index.device, watch=measured(watch))
        workspace.cluster = cluster
        workspace.llm = language_models(access, watch, yes=yes, silent=json)
        if not (where / "study.json").exists():
            workspace.check_question()
            workspace.corpus  # noqa: B018 (read now, so that one which cannot be leaves no study behind)
        with Study.create(where, asked) as opened:
            if opened.cut and not json:
                with aside(watch):
                    sys.stderr.write(f"{visible(opened.cut)}\n")
            for event in run_study(opened, workspace, out=out):
                outcome.hear(event)
    made = None if llm is None else workspace.llm.ledger.by_model()
    if json:
        print_json(results(opened, made))
    else:
        print_summary(opened, made)
    outcome.check()


def _given(line: typer.Context) -> set[str]:
    """The settings whose options stand on the command line."""
    said = {name for name in line.params if getattr(line.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    return {"neurons_limit" if name == "neurons" else name for name in said}


def results(study: Study, asked: Sequence[CallsMade] | None) -> dict[str, object]:
    """What --json prints: a row for each neuron and for each score, and where the report is.

    `asked` is what the command asked of language models, `calls` the whole study until now.
    """
    from headtorch.core.study.rows import ablation_rows, score_rows, summary_rows

    return {
        "study": str(study.folder),
        "neurons": summary_rows(study.state),
        "scores": score_rows(study.state),
        "ablations": ablation_rows(study.state),
        "unanswered": list(study.state.unanswered.values()),
        "asked": list(asked or ()),
        "calls": list(study.state.calls.values()),
        "reports": study.state.reports,
    }


def print_summary(study: Study, asked: Sequence[CallsMade] | None) -> None:
    """A table of the neurons, the best heads with their rules, what was asked, and where the report is."""
    from headtorch.core.study.rows import score_rows, summary_rows
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_table, print_text

    rows = summary_rows(study.state)
    print_table(
        [
            ("neuron", "left"),
            ("token", "text"),
            ("z", "right"),
            ("kind", "left"),
            ("P(t)", "right"),
            ("valid", "left"),
            ("heads", "left"),
            ("median", "right"),
            ("best", "right"),
        ],
        [
            (
                row.neuron,
                visible_token(row.token),
                short(row.z, 1),
                "random" if row.random else row.kind,
                short(row.next_share),
                row.valid,
                f"{row.scored} of {row.heads_explained}",
                short(row.median_e),
                short(row.best_e),
            )
            for row in rows
        ],
        title="Neurons, the token each promotes, and how well its heads are explained",
    )
    print_note(
        "P(t): share of the neuron's top prompts that the token follows; heads: scorable of explained; "
        "median, best: their E, the mean of true positive and true negative rate (chance 0.5)"
    )
    print_text()
    scored = [row for row in score_rows(study.state) if row.e is not None and not row.random]
    best = sorted(scored, key=lambda row: -(row.low or 0.0))[:8]
    if best:
        print_table(
            [
                ("neuron", "left"),
                ("head", "left"),
                ("E", "right"),
                ("95 %", "left"),
                ("n", "left"),
                ("q", "right"),
                ("explanation", "text"),
            ],
            [
                (
                    row.neuron,
                    row.head,
                    short(row.e),
                    f"{short(row.low)}–{short(row.high)}",
                    f"{row.n_active}+{row.n_inactive}",
                    short(row.q),
                    row.explanation,
                )
                for row in best
            ],
            title="Heads explained best, by the lower end of the interval (the best of many lean upwards)",
        )
        print_note("n: prompts where the head is active + inactive; q: adjusted over all heads of the study")
        print_text()
    for comparison in study.state.baseline.values():
        print_note(
            f"Mean E ({comparison.explainer}): next-token neurons {_group(comparison.next_token)}; "
            f"random neurons {_group(comparison.random)}."
        )
    print_calls(asked, study.state, study.settings.explainer_name, study.state.explainable())
    print_text()
    for path in study.state.reports:
        print_text(f"report: {path}")


def print_calls(
    asked: Sequence[CallsMade] | None, state: StudyState, explainer: str, heads: Sequence[HeadActivity]
) -> None:
    """What a command asked of language models, the study's total where that is another, and heads without an answer.

    asked: by model; None where the command needs none
    heads: that the command was about
    """
    from headtorch.tui.cli.output import print_note

    if asked is None:
        return
    if not asked:
        print_note("Language models: nothing was left to ask, no call was made.")
    for made in asked:
        print_note(_calls(made))
    now = {(made.base_url, made.model): _counts(made) for made in asked}
    for where, made in state.calls.items():
        if _counts(made) != now.get(where):
            print_note(f"The whole study until now, {_calls(made)}")
    lost = [state.unanswered.get((one.neuron, one.head, explainer)) for one in heads]
    reasons = Counter(one.reason for one in lost if one is not None)
    for reason, number in reasons.most_common():
        print_note(f"Unanswered, {number} of {len(heads)} {'head' if len(heads) == 1 else 'heads'}: {reason}")
    if reasons:
        print_note("The same command asks for these again.")


def _calls(made: CallsMade) -> str:
    from headtorch.tui.cli.asking import price
    from headtorch.tui.spending import count

    about = "" if made.counted else "about "
    return (
        f"{made.model}: {count(made.calls, 'call')} ({made.cached:,} more answered in the cache, {made.unanswered:,} "
        f"unanswered), {about}{made.prompt_tokens:,} tokens sent and {made.completion_tokens:,} answered, "
        f"price {price(made.cost)}"
    )


def _counts(made: CallsMade) -> tuple[int, ...]:
    return made.calls, made.cached, made.unanswered, made.prompt_tokens, made.completion_tokens


def short(value: float | None, digits: int = 2) -> str | None:
    """A number for a narrow column; one that would round to 0 in another notation."""
    if value is None:
        return None
    rounded = f"{value:.{digits}f}"
    return f"{value:.0e}" if value and not float(rounded) else rounded


def _group(group: GroupMean) -> str:
    if group.mean is None:
        return "have no scorable head"
    between = f" [{group.interval.low:.3f}, {group.interval.high:.3f}]" if group.interval else ""
    return f"{group.mean:.3f}{between} over {group.heads} heads of {group.neurons} neurons"
