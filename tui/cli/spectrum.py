"""headtorch spectrum: what heads do to a neuron over all its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.tui.cli import options
from headtorch.tui.cli.heads import Neuron

if TYPE_CHECKING:
    from headtorch.core.causes import Spectrum, SpectrumBin


def spectrum(
    neuron: Neuron,
    head: Annotated[
        list[str] | None, typer.Option("--head", help="A head, as L2.H4; by default the strongest ones.")
    ] = None,
    heads: Annotated[int, typer.Option("--heads", "-k", min=1, help="How many of the strongest heads.")] = 4,
    replacement: Annotated[
        Literal["resample", "mean", "zero", "double"],
        typer.Option(help="resample: by the head's output on other texts; mean: over random positions; zero; double."),
    ] = "resample",
    position: Annotated[
        Literal["last", "all"], typer.Option(help="last: at the last position only; all: everywhere (mean or zero).")
    ] = "last",
    per_bin: Annotated[
        int, typer.Option(min=1, help="Prompts of each activation bin, as far as the index has them.")
    ] = 24,
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
    """Show what heads do to a neuron on prompts of every activation bin, its strongest prompts beside them.

    Effects are clean − replaced, and not shares of the activation, which rise with it by identity.

    \b
    Examples:
      headtorch spectrum --neuron L3.N412
      headtorch spectrum --neuron L3.N412 --head L2.H4 --replacement zero --json
    """
    from headtorch.core.engine.mechanism import spectrum_on_corpus
    from headtorch.core.records import HeadId
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.workspaces import corpus_settings, workspace_for

    named = [HeadId.parse(one) for one in head or []]
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
        top_k=max(top_k, per_bin),
        seed=seed,
    )
    with progress_bars() as watch:
        workspace, address = workspace_for(neuron, settings, device, watch, choose_layers=layers is None)
        found = spectrum_on_corpus(
            workspace, address, named, count=heads, per_bin=per_bin, replacement=replacement, where=position
        )
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: Spectrum) -> None:
    from headtorch.tui.cli.output import print_note, print_table, with_interval

    rows: list[list[object]] = [[_name(one), one.n, one.activation] for one in found.bins]
    for curve in found.curves:
        for row, effect, interval in zip(rows, curve.activation, curve.activation_interval, strict=True):
            row.append(with_interval(effect, interval))
    columns = [("activation bin", "left"), ("n", "right"), ("mean", "right")]
    print_table(
        [*columns, *((str(curve.head), "right") for curve in found.curves)],
        rows,
        title=f"Effects on the activation of {found.neuron}, clean − replaced",
    )
    print_note("In brackets 95 % intervals, over clusters of documents; those on the pre-activation are in --json")


def _name(one: SpectrumBin) -> str:
    if one.low is None:
        return "most negative" if one.strongest < 0 else "strongest"
    return f"{one.low:.3f} to {one.high:.3f}"
