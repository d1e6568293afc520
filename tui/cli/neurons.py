"""headtorch neurons: which neurons promote a token."""

from __future__ import annotations

from typing import Annotated

import typer

from headtorch.core.errors import InputError, TokenError
from headtorch.tui.cli import options

COLUMNS = [
    ("neuron", "left"),
    ("token", "text"),
    ("token id", "right"),
    ("congruence", "right"),
    ("cosine", "right"),
    ("z", "right"),
    ("rank", "right"),
    ("kind", "left"),
]


def neurons(
    token: Annotated[str | None, typer.Option("--token", "-t", help="The token, with its leading space.")] = None,
    layers: options.Layers = "all",
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="How many neurons to print.")] = 20,
    random: Annotated[bool, typer.Option("--random", help="Random neurons of the layers instead of the best.")] = False,
    seed: options.Seed = 0,
    model: options.Model = "demo",
    revision: options.Revision = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    json: options.Json = False,
) -> None:
    """Find the neurons whose output weights promote a token, best first by z.

    Without --token, every neuron of the layers is taken with the token it promotes most.

    \b
    Examples:
      headtorch neurons --token " States"
      headtorch neurons --layers last:2 --top 50 --json
    """
    from headtorch.core.analysis.congruence import best_token_neurons, random_neurons, token_neurons
    from headtorch.core.model.loading import open_model
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_json, print_table
    from headtorch.tui.cli.progress import progress_bars

    if random and token is not None:
        raise InputError("--random draws neurons whatever their token; leave out --token, or leave out --random.")
    with progress_bars() as watch:
        opened = open_model(model, revision=revision, device=device, dtype=dtype)
        chosen = opened.parse_layers(layers)
        if token == "":
            raise TokenError('An empty text is no token; give one, such as --token " States".')
        if random:
            rows = random_neurons(opened, chosen, top, seed=seed)
        elif token is not None:
            rows = token_neurons(opened, chosen, opened.single_token(token), limit=top, watch=watch)
        else:
            rows = best_token_neurons(opened, chosen, limit=top, watch=watch)
    if json:
        print_json(rows)
        return
    print_table(
        COLUMNS,
        [
            (
                r.neuron,
                visible_token(r.token),
                r.token_id,
                r.congruence,
                r.cosine,
                r.z,
                r.rank,
                r.kind + (" glitch" * r.glitch),
            )
            for r in rows
        ],
    )
