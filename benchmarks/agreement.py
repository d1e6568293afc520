"""How well dot products, attributions and the gradient tell what heads really do to next-token neurons.

    python -m benchmarks.agreement [MODEL] [TOKEN] [PROMPTS]

The neurons are those that `headtorch run` studies by default: the best for the token in the last two layers; each on
its PROMPTS strongest places of either half of the annual messages, in full context. Every replacement is measured at
the last position and compared with every estimate, over all neurons.
"""

from __future__ import annotations

import sys
from typing import get_args

from headtorch.core.analysis.congruence import token_neurons
from headtorch.core.analysis.gradient import estimate_error
from headtorch.core.causes import Agreement, Replacement
from headtorch.core.engine.head_effects import attributed, compare, measure_effects
from headtorch.core.engine.presets import DEFAULT_LAYERS, DEFAULT_NEURONS, DEFAULT_TOKEN
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings

HEADING = f"{'':14}{'estimate':10}{'of':16}{'Spearman':>9}{'top 5':>7}{'Pearson':>9}{'prompts':>9}{'pairs':>8}"


def main(name: str = "demo", token: str = DEFAULT_TOKEN, prompts: str = "10") -> None:
    workspace = Workspace(Settings(model=name, token_texts=(token,), layers=DEFAULT_LAYERS))
    model = workspace.model
    [token_id] = workspace.tokens([token])
    neurons = [row.neuron for row in token_neurons(model, workspace.layers, token_id, limit=DEFAULT_NEURONS)]
    places = [place for neuron in neurons for place in workspace.strongest_places(neuron, int(prompts))]
    rows, readers = [workspace.row(p.document, p.position) for p in places], [place.neuron for place in places]
    attribution = attributed(workspace, rows, readers)
    sys.stdout.write(f"{name}, {token!r}: {', '.join(map(str, neurons))}; {len(rows)} prompts\n{HEADING}\n")
    for replacement in get_args(Replacement):
        measured = measure_effects(workspace, rows, readers, replacement=replacement, estimate=True)
        assert measured.estimate is not None
        for one in compare(workspace, measured, attribution):
            if one.neuron is None:
                sys.stdout.write(_line(replacement, one))
        error = estimate_error(measured.estimate.pre_activation, measured.exact.pre_activation)
        sys.stdout.write(
            f"{replacement:14}the gradient's estimates for the pre-activation are off by {error.rms_relative or 0:.1%} "
            f"of the effects' size (RMS), at most by {error.max or 0:.3f}\n"
        )


def _line(replacement: str, one: Agreement) -> str:
    numbers = (_number(one.spearman, 9), _number(one.top, 7), _number(one.pearson, 9))
    counted = f"{one.n_spearman:9}{one.pairs:8}"
    return f"{replacement:14}{one.estimate:10}{one.quantity:16}{''.join(numbers)}{counted}\n"


def _number(value: float | None, width: int) -> str:
    return f"{'·' if value is None else f'{value:.3f}':>{width}}"


if __name__ == "__main__":
    main(*sys.argv[1:])
