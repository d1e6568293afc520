"""Neurons that the study does not have: which have to be looked at by the engine first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import VisitNeuron
from headtorch.core.records import NeuronId
from headtorch.tui.requests import UNNUMBERED

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def needs_visit(session: Session, neuron: NeuronId) -> bool:
    """Whether the neuron is not the study's own and was not looked at to the end."""
    state = session.state
    if neuron in state.neurons or any(
        isinstance(sent, VisitNeuron) and sent.neuron == neuron for sent in session.requests.waiting.values()
    ):
        return False
    if neuron not in state.prompts:
        return True
    decided = neuron in state.activity or neuron in state.claim_heads or neuron in state.context_share
    return bool(state.prompts[neuron]) and not (neuron in state.attributed and decided)


def visit(session: Session, neuron: NeuronId) -> None:
    """Have the engine look at the neuron."""
    session.requests.ask(VisitNeuron(id=UNNUMBERED, neuron=neuron))
