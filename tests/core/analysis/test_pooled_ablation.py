"""Pairs pooled into one result, against the same numbers put together by hand."""

from __future__ import annotations

import msgspec
import pytest
from scipy import stats

from headtorch.core.analysis.pooled_ablation import pooled_ablation
from headtorch.core.causes import Ablation, AblationGroup, Where
from headtorch.core.records import HeadId, NeuronId


def group(delta_p: float | None, n: int = 4) -> AblationGroup:
    return AblationGroup(n=n, delta_log_p=-1.0, delta_p=delta_p, delta_logit=0.0, delta_activation=0.0)


def pair(head: int, active: float | None, inactive: float | None, position: Where = "all") -> Ablation:
    return Ablation(
        neuron=NeuronId(3, 1),
        head=HeadId(1, head),
        token_id=5,
        replacement="zero-values",
        position=position,
        active=group(active),
        inactive=group(inactive),
        ks=None,
        ks_p=None,
    )


def test_every_pair_counts_once_in_a_class_whatever_its_number_of_prompts() -> None:
    pairs = [pair(0, -0.4, 0.1), pair(1, -0.2, 0.0), pair(2, None, -0.1), pair(3, -0.3, None)]
    pairs[0] = msgspec.structs.replace(pairs[0], active=group(-0.4, n=200))
    found = pooled_ablation(pairs)
    assert found is not None
    assert (found.replacement, found.position, found.pairs) == ("zero-values", "all", 4)
    assert (found.active, found.inactive) == ([-0.4, -0.2, -0.3], [0.1, 0.0, -0.1])
    test = stats.ks_2samp([-0.4, -0.2, -0.3], [0.1, 0.0, -0.1])
    assert (found.ks, found.ks_p) == (test.statistic, test.pvalue)


def test_a_class_that_no_pair_has_prompts_of_leaves_no_test() -> None:
    found = pooled_ablation([pair(0, -0.4, None), pair(1, -0.2, None)])
    assert found is not None and found.inactive == [] and found.ks is None and found.ks_p is None
    assert pooled_ablation([]) is None


def test_different_ablations_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="not pooled"):
        pooled_ablation([pair(0, -0.4, 0.1), pair(1, -0.4, 0.1, position="last")])
