"""Which heads can feed a neuron, and why another one cannot."""

from __future__ import annotations

from headtorch.core.records import HeadId, ModelFacts, NeuronId


def feeds(facts: ModelFacts, head: HeadId, neuron: NeuronId) -> bool:
    """Whether the head's output reaches the neuron: its layer is before, or the same where attention comes first."""
    return head.layer <= neuron.layer - facts.parallel


def why_not(facts: ModelFacts, head: HeadId, neuron: NeuronId) -> str:
    """A sentence on a head that cannot feed the neuron; empty for one that can."""
    if feeds(facts, head, neuron):
        return ""
    if head.layer == neuron.layer:
        return f"{head} cannot feed {neuron}: attention and MLP of a layer run side by side in this model."
    return f"{head} cannot feed {neuron}: it comes after it."
