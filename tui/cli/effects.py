"""headtorch effects: what heads really do to a neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.core.errors import InputError
from headtorch.core.replacement_kinds import REPLACEMENT_HELP, Replacement
from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, spread

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId


@spread
def effects(
    neuron: options.Neuron,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="A text, read at its last token; may be repeated.")
    ] = None,
    top: options.TopOrNone = None,
    replacement: Annotated[
        Replacement | None, typer.Option(help=f"{REPLACEMENT_HELP}. By default resample, at all positions mean.")
    ] = None,
    position: options.Position = "last",
    donors: Annotated[int, typer.Option(min=1, help="Other texts that resampling averages over.")] = 4,
    estimate: Annotated[
        Literal["gradient"] | None, typer.Option(help="gradient: an estimate beside the effect, and its error.")
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Also say how well attributions and estimate tell the effects.")
    ] = False,
    *,
    index: IndexOptions,
    json: options.Json = False,
) -> None:
    """Replace every head in turn and recompute the neuron: what a head really does, through later heads and MLPs too.

    \b
    Examples:
      headtorch effects --neuron L3.N412 --prompt "the Senate and House of Representatives of the United"
      headtorch effects --neuron L3.N412 --top 20 --replacement zero --agreement --estimate gradient
    """
    from headtorch.core.analysis.effect_records import effect_records
    from headtorch.core.engine.head_effects import attributed, compare, measure_effects
    from headtorch.tui.cli.effect_tables import print_agreement, print_effects, print_legend
    from headtorch.tui.cli.output import plain, print_json
    from headtorch.tui.cli.progress import progress_bars

    if bool(prompt) == (top is not None):
        raise InputError("Give either --prompt TEXT or --top N.")
    kind: Replacement = replacement or ("resample" if position == "last" else "mean")
    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, top or 0)
        rows = _rows(workspace, address, prompt or [], top)
        neurons = [address] * len(rows)
        measured = measure_effects(
            workspace, rows, neurons, replacement=kind, where=position, donors=donors, estimate=estimate is not None
        )
        attribution = attributed(workspace, rows, neurons) if agreement or not json else None
        compared = None
        if agreement and attribution is not None:
            compared = [one for one in compare(workspace, measured, attribution) if one.neuron is not None]
    records = effect_records(workspace.model, rows, measured.exact, measured.estimate)
    if json:
        shown = plain(records)
        print_json(shown if compared is None else {"prompts": shown, "agreement": plain(compared)})
        return
    assert attribution is not None
    for i, record in enumerate(records):
        print_effects(record, attribution, i)
    print_legend(records[0])
    if compared is not None:
        print_agreement(compared)


def _rows(workspace: Workspace, neuron: NeuronId, prompts: list[str], top: int | None) -> list[list[int]]:
    from headtorch.tui.cli.workspaces import text_row

    if top is None:
        return [text_row(workspace, text) for text in prompts]
    return [workspace.row(place.document, place.position) for place in workspace.strongest_places(neuron, top)]
