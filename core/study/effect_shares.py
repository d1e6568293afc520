"""What a head accounts for at each place of its neuron's firing set, read from the artefact of the chosen heads."""

from __future__ import annotations

import numpy as np

from headtorch.core.records import HeadActivity
from headtorch.core.study.state import StudyState


def effect_shares(state: StudyState, activity: HeadActivity) -> list[float] | None:
    """e(h)/a at the places that `activity` labels; None where it labels none of a firing set, or nothing can be read.

    e is what the activation loses when the head's output at p is replaced by its mean; below 0 for a head that lowers
    the activation.
    """
    chosen = state.claim_heads.get(activity.neuron)
    if activity.places != "firing" or chosen is None or state.load is None:
        return None
    column = next((i for i, one in enumerate(chosen.heads) if one.head == activity.head), None)
    if column is None:
        return None
    effect = np.asarray(state.load(chosen.artefact)["effect"][:, column], np.float64)
    activation = np.array([prompt.full_activation for prompt in state.firing_prompts(activity.neuron)])
    shares: list[float] = (effect / activation).tolist()
    return shares
