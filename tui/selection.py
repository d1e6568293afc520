"""Where the user is looking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headtorch.core.records import HeadId, NeuronId

ShadingMode = Literal["activation", "sources", "attention"]
Measure = Literal["attribution", "effect", "beta", "removal", "prior"]
MEASURES: tuple[Measure, ...] = ("attribution", "effect", "beta", "removal", "prior")
SHADING_MODES: tuple[ShadingMode, ...] = ("activation", "sources", "attention")


@dataclass
class Selection:
    """What is selected, and how it is shown."""

    neuron: NeuronId | None = None
    prompt: int = 0  # among the prompts of the neuron
    head: HeadId | None = None
    explainer: str | None = None  # whose words on the head are shown in full; None, or one who said nothing: the newest
    shading: ShadingMode = "activation"
    full: bool = False  # whole contexts instead of kept tokens
    measure: Measure = "attribution"  # what the grid of heads shows
    grid: bool = False  # every head as a cell, although claims give a list of some
    one_prompt: bool = False  # heads of the selected prompt instead of the mean over all
    deepest: int = 1  # the pane that Enter led to: 1 neurons, 2 prompts, 3 heads, 4 detail
