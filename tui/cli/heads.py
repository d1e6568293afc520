"""headtorch attribute: what heads give a neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.errors import InputError
from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, spread

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId, PromptAttribution
    from headtorch.core.watch import Watch

LEGEND = (
    "direct: the head's part of the pre-activation; removal: change of the activation without it; "
    "β: its share of the neuron's variation on random text; looked up: source tokens and what they gave"
)


@spread
def attribute(
    neuron: options.Neuron,
    prompt: options.Prompt = None,
    top: options.TopOrNone = None,
    *,
    index: IndexOptions,
    json: options.Json = False,
) -> None:
    """Split a neuron's pre-activation exactly over embedding, heads, MLPs and biases, and heads over source tokens.

    \b
    Examples:
      headtorch attribute --neuron L3.N412 --prompt "the Senate and House of Representatives of the United"
      headtorch attribute --neuron L3.N412 --top 5 --json
    """
    from headtorch.tui.cli.attribution import print_attribution
    from headtorch.tui.cli.output import plain, print_json, print_note
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.workspaces import text_row

    if (prompt is None) == (top is None):
        raise InputError("Give either --prompt TEXT or --top N.")
    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, top or 0)
        if prompt is not None:
            rows = [text_row(workspace, prompt)]
        else:
            places = workspace.strongest_places(address, top or 1)
            rows = [workspace.row(place.document, place.position) for place in places]
        records = _attributions(workspace, address, rows, watch)
    if json:
        print_json([plain(record) for record in records])
        return
    for record in records:
        print_attribution(record)
    print_note(LEGEND)


def _attributions(
    workspace: Workspace, neuron: NeuronId, rows: list[list[int]], watch: Watch
) -> list[PromptAttribution]:
    import numpy as np

    from headtorch.core.analysis.attribution import attribute as attributed
    from headtorch.core.analysis.attribution_records import attribution_records
    from headtorch.core.analysis.baselines import baselines
    from headtorch.core.analysis.lookup import sources
    from headtorch.core.records import HeadId

    model = workspace.model
    attribution = attributed(model, rows, [neuron] * len(rows), watch=watch)
    heads = [HeadId(k, i) for k, i in np.argwhere(model.eligible_heads(neuron.layer)).tolist()]
    looked_up = sources(model, rows, [neuron] * len(rows), heads, watch=watch)
    betas = None
    if neuron.layer in workspace.layers and workspace.index_at_hand() is not None:
        betas = {neuron: baselines(model, workspace.random_rows, [neuron], watch=watch).beta[0]}
    return attribution_records(model, rows, attribution, heads=heads, sources=looked_up, betas=betas)
