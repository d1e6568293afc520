"""headtorch spectrum: what heads do to a neuron over all its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, spread

if TYPE_CHECKING:
    from headtorch.core.causes import Spectrum, SpectrumBin


@spread
def spectrum(
    neuron: options.Neuron,
    head: options.Heads = None,
    heads: Annotated[int, typer.Option("--heads", "-k", min=1, help="How many of the strongest heads.")] = 4,
    replacement: options.Replacement = "resample",
    position: options.Position = "last",
    per_bin: Annotated[
        int, typer.Option(min=1, help="Prompts of each activation bin, as far as the index has them.")
    ] = 24,
    *,
    index: IndexOptions,
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

    named = [HeadId.parse(one) for one in head or []]
    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, per_bin)
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
