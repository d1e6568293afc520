"""How prompts light up as the study recorded it: shown until the engine says more, and where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.engine.protocol import Shading
from headtorch.core.records import HeadId, NeuronId, Prompt
from headtorch.core.study.artefacts import Arrays
from headtorch.core.study.shading import from_arrays
from headtorch.tui.requests import UNNUMBERED


def recorded_shading(neuron: NeuronId, head: HeadId | None, prompts: Sequence[Prompt], arrays: Arrays) -> Shading:
    """The neuron's activations on its strongest prompts, and each token's share of what the head took, without sign.

    Rows of prompts that were not recorded are empty. What is not recorded at all: attention and probabilities.
    """
    shaded, name = from_arrays(arrays), str(head)
    rows = [(prompt, shaded.get(index)) for index, prompt in enumerate(prompts)]
    known = any(name in row.shares for row in shaded.values())
    given = [_row(prompt, row.first[name], row.shares[name]) if row else [] for prompt, row in rows] if known else []
    return Shading(
        request=UNNUMBERED,
        neuron=neuron,
        head=head if known else None,
        full=False,
        tokens=[prompt.tokens for prompt in prompts],
        activation=[_row(prompt, 0.0, row.activation) if row else [] for prompt, row in rows],
        sources=given,
        elsewhere=[],
        attention=[],
        probability=[],
    )


def _row(prompt: Prompt, first: float, values: list[float]) -> list[float]:
    """A value for each token of the prompt: `first` for the model's own, where it has one."""
    return [*[first] * (len(prompt.tokens) - len(values)), *values]
