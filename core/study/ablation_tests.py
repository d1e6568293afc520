"""The p values of ablated heads, adjusted over the heads that a study ablated."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from headtorch.core.analysis.statistics import benjamini_hochberg
from headtorch.core.causes import Ablation
from headtorch.core.records import NeuronId


def with_adjusted_p(ablations: Sequence[Ablation], neurons: Container[NeuronId]) -> list[Ablation]:
    """The ablations, with q where they have a p.

    A family is the heads of the study's own `neurons` that were ablated alone, by one replacement at one kind of
    position; by Benjamini and Hochberg, since the labels of a neuron's heads tend to agree.
    """
    families: dict[tuple[str, str], list[int]] = {}
    for i, done in enumerate(ablations):
        if done.p is not None and not done.together and done.neuron in neurons:
            families.setdefault((done.replacement, done.position), []).append(i)
    adjusted = list(ablations)
    for members in families.values():
        for i, q in zip(members, benjamini_hochberg([ablations[i].p for i in members]), strict=True):
            adjusted[i] = msgspec.structs.replace(ablations[i], q=q)
    return adjusted
