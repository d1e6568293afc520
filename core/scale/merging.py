"""Merging on a cluster, as tasks. Apart from the workers' module, so that a process that merges loads no model code."""

from __future__ import annotations

import numpy as np

from headtorch.core.analysis.index import ActivationIndex, merge
from headtorch.core.scale.job import Noted, Refused

# the two travel apart: the index never through the driver
Outcome = tuple[Noted | Refused | None, ActivationIndex | None]


def alike(left: ActivationIndex, right: ActivationIndex) -> bool:
    """Whether the two have the same bins, to the last bit: they were made by processors of one kind."""
    return np.array_equal(left.low, right.low) and np.array_equal(left.width, right.width)


def merged(left: ActivationIndex, right: ActivationIndex) -> Outcome:
    """One index of two shards, or of two such."""
    if not alike(left, right):
        message = (
            "Two workers computed different activations for the same tokens: machines with unlike processors cannot "
            "make one index; use machines of one kind."
        )
        return Refused(kind="ClusterError", message=message), None
    return None, merge(left, right)
