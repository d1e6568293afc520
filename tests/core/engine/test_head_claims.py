"""Labels for controls."""

from __future__ import annotations

import numpy as np
import pytest

from headtorch.core.engine.head_claims import shuffled_labels


@pytest.mark.parametrize(("n", "active"), [(320, 160), (320, 17), (31, 15), (40, 0), (40, 40)])
def test_shuffled_labels_are_as_many_and_say_nothing_of_the_true_ones(n: int, active: int) -> None:
    labels = np.random.default_rng(n).permutation(np.arange(n) < active)
    shuffled = [shuffled_labels(labels, np.random.default_rng(seed)) for seed in range(4)]
    for one in shuffled:
        assert abs(int(one.sum()) - active) <= 1
        for members in (labels, ~labels):
            assert abs(float(one[members].sum()) - members.sum() * active / n) <= 0.5
    if 0 < active < n:
        assert any((one != shuffled[0]).any() for one in shuffled[1:])
