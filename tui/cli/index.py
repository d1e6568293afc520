"""headtorch scan, prompts: the activation index and what it says of a neuron."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from headtorch.tui.cli import options

TITLE_WIDTH = 24


def scan(
    layers: options.Layers = "last:2",
    context: options.Context = 256,
    top_k: options.TopK = 128,
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
    """Build the activation index of every neuron of the layers, or resume it where it stopped.

    \b
    Examples:
      headtorch scan
      headtorch scan --model gpt2 --layers last:5 --corpus texts/ --context 1024
    """
    from headtorch.core.engine.workspace import Workspace, index_folder
    from headtorch.tui.cli.output import print_json, print_text
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.workspaces import corpus_settings

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
        top_k=top_k,
        seed=seed,
    )
    with progress_bars() as watch:
        workspace = Workspace(settings, device=device, watch=watch)
        index = workspace.index
    found = {
        "key": index.key,
        "layers": list(index.layers),
        "neurons": len(index.layers) * index.d_mlp,
        "top_k": index.top_k,
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


def prompts(
    neuron: Annotated[str, typer.Option("--neuron", help="The neuron, as L3.N412.")],
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Prompts of each half, before near-copies go.")] = 20,
    trim: Annotated[
        Literal["doubling", "exact", "paper"], typer.Option(help="How the shortest context is found.")
    ] = "doubling",
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
    from headtorch.tui.cli.workspaces import corpus_settings, workspace_for

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
        top_k=max(top_k, top),
        seed=seed,
    )
    with progress_bars() as watch:
        workspace, address = workspace_for(neuron, settings, device, watch, choose_layers=layers is None)
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
