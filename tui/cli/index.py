"""headtorch scan, prompts: the activation index and what it says of a neuron."""

from __future__ import annotations

from typing import Annotated

import typer

from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, ScanOptions, spread

TITLE_WIDTH = 24


@spread
def scan(
    index: ScanOptions,
    ray: options.Ray = None,
    shards: options.Shards = None,
    workers: options.Workers = None,
    profile: options.Profile = False,
    json: options.Json = False,
) -> None:
    """Build the activation index of every neuron of the layers, or resume it where it stopped.

    \b
    Examples:
      headtorch scan
      headtorch scan --model gpt2 --layers last:5 --corpus texts/ --context 1024
      headtorch scan --model gpt2 --corpus hf:NeelNanda/pile-10k --ray 10.0.0.7:6379 --shards 64
    """
    from headtorch.core.engine.workspace import Workspace, index_folder
    from headtorch.tui.cli.output import print_json, print_text
    from headtorch.tui.cli.profiling import profiling
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.workspaces import cluster_access

    cluster = cluster_access(ray, shards, workers)
    with profiling(profile) as measured, progress_bars() as watch:
        workspace = Workspace(index.settings(), device=index.device, watch=measured(watch))
        workspace.shipped_index = index.shipped_index
        workspace.cluster = cluster
        built = workspace.index
    found = {
        "key": built.key,
        "layers": list(built.layers),
        "neurons": len(built.layers) * built.d_mlp,
        "top_k": built.top_k,
        "windows": len(workspace.corpus.windows),
        "tokens": workspace.corpus.n_tokens,
        "folder": str(index_folder()),
    }
    if json:
        print_json(found)
    else:
        for name, value in found.items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            print_text(f"{name:<8} {text}")


@spread
def prompts(
    neuron: options.Neuron,
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Prompts of each half, before near-copies go.")] = 20,
    trim: options.Trim = "doubling",
    *,
    index: IndexOptions,
    json: options.Json = False,
) -> None:
    """Print the prompts that fire a neuron most, trimmed to the shortest context that keeps 80 % of the activation.

    \b
    Examples:
      headtorch prompts --neuron L3.N412
      headtorch prompts --neuron L3.N412 --trim exact --top 50 --json
    """
    from headtorch.core.analysis.trim import collapse
    from headtorch.core.analysis.trim import trim as trimmed
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_json, print_table, print_text
    from headtorch.tui.cli.progress import progress_bars

    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, top)
        places = workspace.strongest_places(address, top)
        rows = trimmed(workspace.model, workspace.corpus, places, method=trim, watch=watch)
        kept, dropped = collapse(rows, workspace.corpus)
    if json:
        print_json(
            [{("doc" if name == "document" else name): getattr(p, name) for name in p.__struct_fields__} for p in kept]
        )
        return
    print_table(
        [("activation", "right"), ("kept", "right"), ("half", "left"), ("document", "left"), ("prompt → next", "text")],
        [
            (
                p.activation,
                f"{p.kept_ratio:.0%}",
                p.half,
                p.title if len(p.title) <= TITLE_WIDTH else p.title[: TITLE_WIDTH - 1] + "…",
                "".join(p.tokens[workspace.model.facts.first_token is not None :])
                + f" → {visible_token(p.next_token) if p.next_token is not None else 'end'}",
            )
            for p in kept
        ],
        title=f"{address}: {len(kept)} prompts, {dropped} near-copies left out",
    )
    print_text("kept: share of the activation in full context that the shown tokens keep")
