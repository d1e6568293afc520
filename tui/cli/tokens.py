"""headtorch tokens: which tokens and neurons are worth a study of heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import ScanOptions, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headtorch.core.engine.promising_neurons import PromisingNeuron, PromisingToken


@spread
def tokens(
    by_neuron: Annotated[
        bool, typer.Option("--by-neuron", help="A row for each neuron instead of each token.")
    ] = False,
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="How many rows to print.")] = 20,
    *,
    index: ScanOptions,
    json: options.Json = False,
) -> None:
    """List the tokens whose neurons predict them and are driven by heads: where a study of heads has something to find.

    A neuron counts if the token it promotes most follows on at least half of its strongest places; the context share
    says how much of its activation heads account for there. Only the train split is read. Builds the index of the
    layers where there is none.

    \b
    Examples:
      headtorch tokens --top 10
      headtorch tokens --by-neuron --layers 3 --json
    """
    from headtorch.core.engine.promising_neurons import promising_neurons, promising_tokens
    from headtorch.core.engine.workspace import Workspace
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.progress import progress_bars

    with progress_bars() as watch:
        workspace = Workspace(index.settings(), device=index.device, watch=watch)
        workspace.shipped_index = index.shipped_index
        workspace.check_question()
        neurons = promising_neurons(workspace)
    if json:
        print_json(neurons[:top] if by_neuron else promising_tokens(neurons)[:top])
    elif by_neuron:
        _print_neurons(neurons[:top])
    else:
        _print_tokens(promising_tokens(neurons)[:top])


def _print_tokens(rows: Sequence[PromisingToken]) -> None:
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_table

    columns = [
        ("token", "text"),
        ("valid", "right"),
        ("driven", "right"),
        ("context share", "right"),
        ("neurons", "text"),
    ]
    print_table(
        columns,
        [
            (
                visible_token(row.token),
                row.valid,
                row.driven,
                f"{row.context_share:.2f}",
                ", ".join(map(str, row.neurons)),
            )
            for row in rows
        ],
    )
    print_note(
        "valid: neurons that predict the token; driven: of them, those with a context share of 0.2 or more (mean)"
    )


def _print_neurons(rows: Sequence[PromisingNeuron]) -> None:
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_table

    columns = [("neuron", "left"), ("token", "text"), ("z", "right"), ("P(t)", "right"), ("context share", "right")]
    print_table(
        columns,
        [
            (
                one.row.neuron,
                visible_token(one.row.token),
                f"{one.row.z:.1f}",
                f"{one.next_share:.2f}",
                f"{one.context_share:.2f}",
            )
            for one in rows
        ],
    )
    print_note("P(t): share of the neuron's strongest train places that the token follows")
