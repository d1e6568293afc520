"""What was measured of cause, neuron by neuron, as the page shows it."""

from __future__ import annotations

from headtorch.core.causes import Cooperation, Spectrum
from headtorch.core.records import Record
from headtorch.core.study.report.cause import HEADS_SHOWN, Cause, EffectRow


class NeuronCause(Record, frozen=True):
    """Of one neuron: its heads of the largest effect, how heads work together, effects over all activations."""

    effects: list[EffectRow]
    cooperation: list[Cooperation]
    spectra: list[Spectrum]


def causes_by_neuron(cause: Cause) -> dict[str, NeuronCause]:
    """By address; without the neurons of which nothing was measured."""
    found: dict[str, NeuronCause] = {}

    def of(neuron: object) -> NeuronCause:
        return found.setdefault(str(neuron), NeuronCause([], [], []))

    for row in cause.effects:
        if len(of(row.neuron).effects) < HEADS_SHOWN:
            of(row.neuron).effects.append(row)
    for together in cause.cooperation:
        of(together.neuron).cooperation.append(together)
    for spectrum in cause.spectra:
        of(spectrum.neuron).spectra.append(spectrum)
    return found
