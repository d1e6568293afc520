"""The numbers that the grid of heads can show beside attribution, and why some of its cells have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headtorch.core.events import EffectsMeasured
from headtorch.core.records import HeadId, HeadSummary, ModelFacts
from headtorch.tui.panes.figures import fixed
from headtorch.tui.selection import Measure

if TYPE_CHECKING:
    from headtorch.tui.session import Session

Grid = list[list[float | None]]  # [layer][head]; None: unknown, or the head cannot feed the neuron
NAMES: dict[Measure, str] = {
    "effect": "exact effect",
    "beta": "β",
    "removal": "removal",
    "prior": "weight-only prior",
}
SHORT = {"exact effect": "effect", "weight-only prior": "prior"}


@dataclass(frozen=True)
class Measured:
    """One number for each head. `gap`: why a head that can feed the neuron has none."""

    values: Grid
    scope: str
    gap: str = ""


def grid_of(facts: ModelFacts, values: Mapping[HeadId, float | None]) -> Grid:
    """The numbers by layer and head; heads that the model does not have are left out."""
    grid: Grid = [[None] * facts.n_heads for _ in range(facts.n_layers)]
    for head, value in values.items():
        if head.layer < facts.n_layers and head.index < facts.n_heads:
            grid[head.layer][head.index] = value
    return grid


def measured(
    session: Session, measure: Measure, facts: ModelFacts, summaries: dict[HeadId, HeadSummary], prompt: int | None
) -> Measured:
    """Another measure than attribution, over the prompts or, where it has one, on one of them."""
    if measure == "effect":
        return _effects(session, facts, prompt)
    if measure == "beta":
        values = {head: one.beta for head, one in summaries.items()}
        return Measured(grid_of(facts, values), "on random text", "β is not known: too few random positions.")
    if measure == "prior":
        gap = (
            "A norm follows attention in this model: weights alone do not say what a head writes."
            if facts.post_norm
            else "This study was made before the prior was kept; a new one has it."
        )
        return Measured(
            grid_of(facts, {head: one.prior for head, one in summaries.items()}), "from the weights alone", gap
        )
    if prompt is not None and (arrays := session.arrays()) is not None and "removal" in arrays:
        rows: list[list[float]] = arrays["removal"][prompt, : facts.n_layers, : facts.n_heads].tolist()
        return Measured(_finite(rows), f"prompt {prompt + 1}")
    return Measured(grid_of(facts, {head: one.mean_removal for head, one in summaries.items()}), "mean of the prompts")


def _effects(session: Session, facts: ModelFacts, prompt: int | None) -> Measured:
    neuron = session.selection.neuron
    event = session.state.effects.get(neuron) if neuron is not None else None
    none = grid_of(facts, {})
    if event is None:
        return Measured(
            none, "not measured", f"Exact effects are not measured yet: {session.key('workbench.effects')}."
        )
    over = f"mean of {len(event.prompts)} prompts"
    if prompt is None:
        return Measured(grid_of(facts, {one.head: _headline(one, facts) for one in event.heads}), over)
    arrays = session.loaded(event.artefact)
    if prompt not in event.prompts or arrays is None:
        return Measured(none, f"prompt {prompt + 1}", f"Effects were measured on {len(event.prompts)} other prompts.")
    name = "activation" if facts.gated else "pre_activation"
    rows: list[list[float]] = arrays[name][event.prompts.index(prompt), : facts.n_layers, : facts.n_heads].tolist()
    return Measured(_finite(rows), f"prompt {prompt + 1}")


def _headline(one: object, facts: ModelFacts) -> float:
    value: float = getattr(one, "activation" if facts.gated else "pre_activation")
    return value


def _finite(rows: list[list[float]]) -> Grid:
    return [[value if value == value else None for value in row] for row in rows]


def agreement_in_words(event: EffectsMeasured | None, facts: ModelFacts) -> list[str]:
    """How well direct attribution ranks a prompt's heads as their effects do; nothing where that is not known."""
    quantity = "activation" if facts.gated else "pre_activation"
    found = [one for one in (event.agreement if event else []) if one.quantity == quantity]
    direct = next((one for one in found if one.estimate == "direct" and one.spearman is not None), None)
    if direct is None:
        return []
    return [f"direct against exact effect: Spearman {fixed(direct.spearman)}, n {direct.n_spearman} prompts"]
