"""The family over which p values of ablated heads are adjusted."""

from __future__ import annotations

import made_up
import msgspec
import pytest

from headtorch.core.causes import Ablation, AblationGroup, Replacement
from headtorch.core.events import AnyEvent, HeadAblated, StudyOpened
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import StudyState, fold
from headtorch.core.study.ablation_tests import with_adjusted_p

GROUP = AblationGroup(n=4, delta_log_p=-1.0, delta_p=-0.1, delta_logit=-1.0, delta_activation=-0.5)
FIRST, SECOND = NeuronId(3, 1), NeuronId(3, 2)


@pytest.fixture
def state(asked: Settings, events: list[AnyEvent]) -> StudyState:
    return fold([StudyOpened(settings=asked, version="0"), *events])


def ablated(neuron: NeuronId, head: int, p: float | None, replacement: Replacement = "resample") -> Ablation:
    done = made_up.ablation(neuron, HeadId(0, head), GROUP, GROUP, replacement=replacement)
    return msgspec.structs.replace(done, p=p)


def test_q_is_over_the_heads_of_the_study_that_were_ablated_alone_and_alike() -> None:
    joint = msgspec.structs.replace(ablated(FIRST, 3, 0.5), together=[HeadId(1, 0)])
    done = [
        ablated(FIRST, 0, 0.01),
        ablated(FIRST, 1, None),
        ablated(SECOND, 0, 0.04),
        ablated(FIRST, 0, 0.03, "mean"),
        ablated(NeuronId(9, 9), 0, 0.9),  # only looked at
        joint,
    ]
    adjusted = with_adjusted_p(done, {FIRST, SECOND})
    assert [one.q for one in adjusted] == [pytest.approx(0.02), None, 0.04, 0.03, None, None]
    assert [msgspec.structs.replace(one, q=None) for one in adjusted] == done


def test_a_state_gives_its_ablations_with_q(state: StudyState) -> None:
    neuron = next(iter(state.neurons))
    for head, p in enumerate((0.01, 0.2)):
        state.apply(HeadAblated(ablation=ablated(neuron, head, p)))
    assert [one.q for one in state.ablations_of(neuron, HeadId(0, 0)) if one.p] == [0.02]
