"""The options that decide how a study trims, attributes and labels, and on how many prompts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.settings import Settings


@dataclass(frozen=True)
class MethodOptions:
    """Settings of the method, under their own names; the defaults are those of `Settings`."""

    survey_tokens: Annotated[
        int, typer.Option(min=1000, help="Tokens of the corpus, sampled by window, that firing places are drawn from.")
    ] = 120_000
    train_places: Annotated[int, typer.Option(min=40, help="Firing places of a neuron to learn claims on.")] = 320
    held_out_places: Annotated[int, typer.Option(min=40, help="Firing places, and matched pairs, to test them on.")] = (
        300
    )
    claim_heads: Annotated[int, typer.Option(min=1, help="Heads of a neuron to make claims about, by effect.")] = 5
    explain_n: Annotated[
        int, typer.Option(min=1, help="Examples to explain a head from (paper preset, language models).")
    ] = 20
    score_n: Annotated[
        int, typer.Option(min=1, help="Held-out examples to score on, of each class (paper preset, language models).")
    ] = 40
    per_layer: Annotated[
        int | None, typer.Option(min=1, help="Next-token neurons of each layer at most, before --neurons.")
    ] = None
    trim: options.Trim = "doubling"
    prompt_limit: Annotated[
        int | None, typer.Option(min=2, help="Drop trimmed prompts of this many tokens or more.")
    ] = None
    attribution: Annotated[
        Literal["direct", "dot"],
        typer.Option(help="What heads are judged by. direct: ⟨o_h, w_in⟩/σ (gated MLPs: removal); dot: ⟨o_h, w_in⟩."),
    ] = "direct"
    attribute_on: Annotated[
        Literal["full", "trimmed"], typer.Option(help="Attribute heads in full contexts, or on the trimmed prompts.")
    ] = "full"
    activity: Annotated[
        Literal["baseline", "paper", "top-k", "share"],
        typer.Option(
            help="When a head is active on a prompt. baseline: 2 sd above its own mean on random text; paper: 2 sd "
            "above the mean of the prompt's heads; top-k: one of the 3 largest; share: of those that hold half."
        ),
    ] = "baseline"
    own_layer: Annotated[
        Literal["yes", "no"], typer.Option(help="Judge heads of the neuron's own layer too, where they feed it.")
    ] = "yes"

    def applied(self, settings: Settings) -> Settings:
        """The settings with these options in them."""
        import msgspec

        return msgspec.structs.replace(settings, **asdict(self) | {"own_layer": self.own_layer == "yes"})
