"""Merging on a cluster, as tasks. Apart from the workers' module, so that a process that merges loads no model code."""

from __future__ import annotations

import numpy as np

from headtorch.core.analysis.index import ActivationIndex, merge
from headtorch.core.scale.job import Refused

Outcome = tuple[Refused | None, ActivationIndex | None]  # the two travel apart: the index never through the driver


def merged(left: ActivationIndex, right: ActivationIndex) -> Outcome:
    """One index of two shards, or of two such."""
    if not (np.array_equal(left.low, right.low) and np.array_equal(left.width, right.width)):
        message = (
            "Two workers computed different activations for the same tokens: machines with unlike processors cannot "
            "make one index; use machines of one kind."
        )
        return Refused(kind="ClusterError", message=message), None
    return None, merge(left, right)
