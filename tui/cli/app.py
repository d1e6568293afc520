"""The commands of headtorch, put together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headtorch.core.text import visible
from headtorch.tui.cli.ablate import ablate
from headtorch.tui.cli.cache import cache
from headtorch.tui.cli.claims import match, rewrite
from headtorch.tui.cli.compare import compare
from headtorch.tui.cli.config import config
from headtorch.tui.cli.cooperation import cooperation
from headtorch.tui.cli.effects import effects
from headtorch.tui.cli.engine import engine
from headtorch.tui.cli.explain import explain
from headtorch.tui.cli.heads import attribute
from headtorch.tui.cli.index import prompts, scan
from headtorch.tui.cli.listing import corpora, models
from headtorch.tui.cli.neurons import neurons
from headtorch.tui.cli.open import open_study
from headtorch.tui.cli.prompts_for import prompts_for
from headtorch.tui.cli.rate import rate
from headtorch.tui.cli.report import report
from headtorch.tui.cli.run import run
from headtorch.tui.cli.score import score
from headtorch.tui.cli.spectrum import spectrum
from headtorch.tui.cli.studies import studies
from headtorch.tui.cli.tokens import tokens
from headtorch.tui.cli.tour import tour
from headtorch.tui.opening import open_workbench


@contextmanager
def _inert_errors() -> Iterator[None]:
    """Make the message of Typer's own errors, which quotes arguments, visible."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message") and isinstance(message := getattr(error, "message", None), str):
            setattr(error, "message", visible(message))  # noqa: B010 (not every exception has one)
        raise


class InertGroup(TyperGroup):
    """Commands whose usage errors show what is hidden in the arguments."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _inert_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _inert_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="headtorch",
    cls=InertGroup,
    help="Find the attention heads that light a neuron.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 2 what was asked for cannot be; 130 interrupted, run again to go on.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from headtorch.core.version import version

        typer.echo(f"headtorch {version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Find the attention heads that light a neuron. Without a command, the workbench opens."""
    if context.invoked_subcommand is None:
        open_workbench()


for command, summary in (
    (open_study, "Open the workbench, or a study in it."),
    (tour, "Look around in a recorded study."),
    (run, "Study tokens from neurons to a scored report."),
    (neurons, "Find the neurons that promote a token."),
    (tokens, "List tokens whose neurons heads drive."),
    (scan, "Build or resume the activation index."),
    (prompts, "Show the prompts that fire a neuron most."),
    (attribute, "Split a pre-activation over heads and more."),
    (effects, "Show what heads really do to a neuron."),
    (ablate, "Take heads away and see what changes."),
    (cooperation, "Say whether a neuron's heads cooperate."),
    (spectrum, "Show head effects over all activations."),
    (explain, "Explain a study's heads by another explainer."),
    (score, "Compute scores again, and compare them."),
    (match, "Show a neuron's matched pairs side by side."),
    (rewrite, "Show the texts rewritten to test a claim."),
    (report, "Write the report of a study."),
    (compare, "Compare studies side by side."),
    (rate, "Judge and rate explanations yourself, blind."),
    (prompts_for, "Show what a language model would be asked."),
    (models, "List the models at hand."),
    (corpora, "List the corpora at hand."),
):
    app.command(command.__name__.removesuffix("_study").replace("_", "-"), short_help=summary)(command)
app.add_typer(studies, name="studies", short_help="List, rename, copy, delete, archive, import studies.")
app.add_typer(cache, name="cache", short_help="Show and empty the cache of language models' answers.")
app.add_typer(config, name="config", short_help="Show the settings of the workbench.")
app.command(hidden=True)(engine)  # started by the workbench
