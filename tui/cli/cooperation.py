"""headtorch cooperation: do a neuron's heads cooperate?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.tui.cli import options
from headtorch.tui.cli.index_options import IndexOptions, spread

if TYPE_CHECKING:
    from headtorch.core.causes import (
        Cooperation,
        PairSynergy,
        Quantity,
        Synergy,
    )

NAMES: dict[Quantity, str] = {"pre_activation": "pre-activation", "activation": "activation", "log_p": "log p"}


@spread
def cooperation(
    neuron: options.Neuron,
    head: options.Heads = None,
    heads: Annotated[int, typer.Option("--heads", "-k", min=2, help="How many of the strongest heads.")] = 4,
    token: options.Target = None,
    replacement: Annotated[
        Literal["resample", "mean", "zero"],
        typer.Option(help="resample: by the head's output on other texts; mean: over random positions; zero."),
    ] = "resample",
    top: options.Top = 20,
    *,
    index: IndexOptions,
    json: options.Json = False,
) -> None:
    """Take a neuron's strongest heads away one by one and together: is the whole more than the sum, or less?

    I(A, B) = e(A) + e(B) − e(A and B), e clean − replaced. Where heads cooperate, either alone takes away what both do;
    where they are redundant, either makes up for the other. The strongest heads are chosen on one half of the prompts
    and measured on the other.

    \b
    Examples:
      headtorch cooperation --neuron L3.N412
      headtorch cooperation --neuron L3.N412 --head L2.H4 --head L1.H0 --token " States" --json
    """
    from headtorch.core.engine.mechanism import cooperation_on_corpus
    from headtorch.core.records import HeadId
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.progress import progress_bars

    named = [HeadId.parse(one) for one in head or []]
    with progress_bars() as watch:
        workspace, address = index.workspace(neuron, watch, top)
        token_id = workspace.target_token(address, token)
        found = cooperation_on_corpus(
            workspace, address, token_id, named, count=heads, top=top, replacement=replacement
        )
    if json:
        print_json(found)
    else:
        _print(found, workspace.model.token_text(token_id))


def _print(found: Cooperation, token: str) -> None:
    from headtorch.core.text import visible_token
    from headtorch.tui.cli.output import print_note, print_text

    print_note(f"{found.neuron}, token {visible_token(token)}, on {found.n} prompts; effects are clean − replaced")
    for synergy in found.synergies:
        print_text()
        _print_synergy(synergy)
    print_text()
    print_note(
        "I = e(A) + e(B) − e(A and B): of the sign of e(A and B) where both are needed (cooperation), against it where "
        "either will do (redundancy); p: against random pairs of heads with the same effects; untested: too few of them"
    )
    if found.variety is not None:
        one = found.variety
        print_note(
            f"Different heads on different prompts: variety {one.variety:.3f} among the top {one.top} of {one.n} "
            f"random positions; independent heads, selected in the same way, have {one.null_mean:.3f} "
            f"[{one.null.low:.3f}, {one.null.high:.3f}] (p = {one.p:.2g})"
        )


def _print_synergy(synergy: Synergy) -> None:
    from headtorch.tui.cli.output import print_table, with_interval

    print_table(
        [("head", "left"), ("effect", "right"), ("with all above", "right")],
        [
            (str(one.head), with_interval(one.effect, one.interval), joint)
            for one, joint in zip(synergy.heads, synergy.joint, strict=True)
        ],
        title=f"On the {NAMES[synergy.quantity]}: {synergy.joint[-1]:.3f} together, {synergy.sum:.3f} in sum",
    )
    columns = [
        ("pair", "left"),
        ("I", "right"),
        ("together", "right"),
        ("p", "right"),
        ("pairs", "right"),
        ("", "left"),
    ]
    print_table(columns, [_pair_row(pair) for pair in synergy.pairs])


def _pair_row(pair: PairSynergy) -> tuple[object, ...]:
    from headtorch.tui.cli.output import with_interval

    synergy = with_interval(pair.synergy, pair.interval)
    return (f"{pair.first} {pair.second}", synergy, pair.joint, pair.p, pair.matched, pair.reading)
