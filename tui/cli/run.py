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
from headtorch.tui.cli.method_options import MethodOptions

if TYPE_CHECKING:
    from headtorch.core.events import CallsMade
    from headtorch.core.records import HeadActivity
    from headtorch.core.study.state import StudyState


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
        typer.Option(help="default, or paper: the settings of arXiv 2402.15055. Explicit options override the preset."),
    ] = "default",
    neurons: Annotated[
        int, typer.Option("--neurons", "-n", min=1, help="Next-token neurons to study.")
    ] = DEFAULT_NEURONS,
    random_neurons: Annotated[int, typer.Option(min=0, help="Random neurons to compare them with.")] = DEFAULT_RANDOM,
    reject_neuron: Annotated[list[str] | None, typer.Option(help="A neuron never to take; may be repeated.")] = None,
    reject_token: Annotated[list[str] | None, typer.Option(help="A token never to take; may be repeated.")] = None,
    *,
    method: MethodOptions,
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
      headtorch run --preset paper --explain-n 10 --study ten-prompts
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
    from headtorch.tui.cli.run_results import print_results, results
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
        method.applied(index.settings()),
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
        workspace.shipped_index = index.shipped_index
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
        print_results(opened, made)
    outcome.check()


def _given(line: typer.Context) -> set[str]:
    """The settings whose options stand on the command line."""
    said = {name for name in line.params if getattr(line.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    return {"neurons_limit" if name == "neurons" else name for name in said}


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
