"""headtorch ablate: what becomes of a token and a neuron without some heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.replacement_kinds import REPLACEMENT_HELP, REPLACEMENTS, Replacement
from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, spread

if TYPE_CHECKING:
    from headtorch.core.causes import (
        Ablation,
        AblationGroup,
        Mediation,
        SelfRepair,
    )


@spread
def ablate(
    head: Annotated[
        list[str], typer.Option("--head", help="A head, as L2.H4; several are replaced jointly, the first is tested.")
    ],
    neuron: options.Neuron,
    prompt: options.Prompt = None,
    token: options.Target = None,
    replacement: Annotated[
        Replacement | None, typer.Option(help=f"{REPLACEMENT_HELP}. By default resample, at all positions mean.")
    ] = None,
    position: options.Position = "last",
    mediation: Annotated[
        bool, typer.Option("--mediation", help="Also say how much goes through the neuron, and how much around it.")
    ] = False,
    self_repair: Annotated[
        bool, typer.Option("--self-repair", help="Also say how much later parts make up for it.")
    ] = False,
    neuron_ablation: Annotated[
        bool, typer.Option("--neuron-ablation", help="Also set the neuron itself to 0 at the firing position.")
    ] = False,
    top: options.Top = 20,
    *,
    index: IndexOptions,
    json: options.Json = False,
) -> None:
    """Take heads away and see what becomes of the token and the neuron; all changes are after − before.

    \b
    Examples:
      headtorch ablate --head L2.H4 --neuron L3.N412
      headtorch ablate --head L2.H4 --neuron L3.N412 --prompt "of the United" --replacement zero
      headtorch ablate --head L2.H4 --head L1.H0 --neuron L3.N412 --mediation --self-repair --json
    """
    from headtorch.core.engine.head_ablation import More, ablate_on_corpus, ablate_on_text
    from headtorch.core.records import HeadId
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.workspaces import text_row

    first, *together = (HeadId.parse(one) for one in head)
    kind: Replacement = replacement or ("resample" if position == "last" else "mean")
    more = More(tuple(together), mediation=mediation, self_repair=self_repair, neuron_ablation=neuron_ablation)
    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, top)
        token_id = workspace.target_token(address, token)
        if prompt is not None:
            row = text_row(workspace, prompt)
            found = ablate_on_text(workspace, row, address, first, token_id, kind, position, more)
        else:
            found = ablate_on_corpus(workspace, address, first, token_id, top, kind, position, more)
    if json:
        print_json(found)
    else:
        _print(found, workspace.model.token_text(token_id))


def _print(found: Ablation, token: str) -> None:
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_table

    heads = " and ".join(map(str, (found.head, *found.together)))
    where = "at the last position" if found.position == "last" else "at every position"
    columns = ["n", "Δ log p", "Δ p", "Δ logit", "Δ rank", "Δ activation"]
    rows = [
        _row("head active", found.active),
        _row("head inactive", found.inactive),
    ]
    if found.silenced is not None:
        rows += [
            _row("neuron at 0, head active", found.silenced.active),
            _row("neuron at 0, head inactive", found.silenced.inactive),
        ]
    print_table(
        [("prompts", "left"), *((name, "right") for name in columns)],
        rows,
        title=f"{heads} replaced by {REPLACEMENTS[found.replacement].label} {where} for {found.neuron}, "
        f"token {visible_token(token)}",
    )
    print_note("Δ: after − before, mean over the prompts, of the token's log probability, probability, logit and rank")
    _print_tests(found)
    _print_mediation(found)
    _print_repair(found)


def _row(name: str, group: AblationGroup) -> tuple[object, ...]:
    numbers = (group.delta_log_p, group.delta_p, group.delta_logit, group.delta_rank, group.delta_activation)
    return (name, group.n, *numbers)


def _print_tests(found: Ablation) -> None:
    from headtorch.tui.cli.output import print_note, print_table

    if found.p is not None:
        print_note(
            f"Δ log p, active against inactive: p = {found.p:.2g} (labels permuted, clusters of documents as one)"
        )
    if found.ks is not None:
        print_note(f"Kolmogorov-Smirnov distance of Δ log p, active to inactive: {found.ks:.3f} (p = {found.ks_p:.1e})")
    if found.controls:
        print_table(
            [("control heads", "left"), ("‖o‖", "right"), ("Δ log p active", "right"), ("inactive", "right")],
            [(" ".join(map(str, one.heads)), one.norm, one.active, one.inactive) for one in found.controls],
            title=f"Heads with outputs as long as {found.norm:.3f}, replaced in the same way",
        )
        if found.controlled_p is not None:
            print_note(f"Beyond the mean of the control heads: p = {found.controlled_p:.2g}")


def _print_mediation(found: Ablation) -> None:
    from headtorch.tui.cli.output import print_note, print_table

    groups = (("head active", found.mediation_active), ("head inactive", found.mediation_inactive))
    rows = [_mediation_row(name, group) for name, group in groups if group is not None]
    if rows:
        names = ["n", "total", "through", "around", "interaction", "share through"]
        print_table([("prompts", "left"), *((name, "right") for name in names)], rows, title=f"Through {found.neuron}?")
        print_note(
            "Δ log p: total = through + around + interaction; around: the neuron held at its clean value; "
            "through: the heads clean, the neuron as it is without them; share: through / total"
        )


def _mediation_row(name: str, group: Mediation) -> tuple[object, ...]:
    from headtorch.tui.cli.output import with_interval

    share = with_interval(group.share, group.share_interval)
    return (name, group.n, group.total, group.through, group.around, group.interaction, share)


def _print_repair(found: Ablation) -> None:
    from headtorch.tui.cli.output import print_note, print_table

    groups = (("head active", found.repair_active), ("head inactive", found.repair_inactive))
    rows = [row for name, group in groups if group is not None for row in _repair_rows(name, group)]
    if rows:
        names = ["n", "total", "direct", "gap", "repaired"]
        columns = [("prompts", "left"), ("Δ", "left"), *((name, "right") for name in names)]
        print_table(columns, rows, title="Do later parts make up for it?")
        print_note(
            "direct: with all that comes later frozen, the final norm's scale too; gap: |direct| − |total|; "
            "repaired: share of prompts where it is positive"
        )


def _repair_rows(name: str, group: SelfRepair) -> list[tuple[object, ...]]:
    return [
        (name, "logit", group.n, group.total_logit, group.direct_logit, group.gap_logit, group.repaired_logit),
        (name, "log p", group.n, group.total_log_p, group.direct_log_p, group.gap_log_p, group.repaired_log_p),
    ]
