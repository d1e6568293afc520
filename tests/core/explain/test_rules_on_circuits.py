"""The rules explainer on circuits planted by hand, through a whole study: what a head does is said and holds unseen."""

from __future__ import annotations

import numpy as np
import pytest
from circuits import CIRCUITS, Circuit
from numpy.typing import NDArray

from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.explain.protocol import Example
from headtorch.core.explain.rule import Rule
from headtorch.core.explain.rules import rule_accuracy, rule_of_examples
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.study import Study

pytestmark = pytest.mark.slow
RANDOM_NEURONS = 4


@pytest.fixture(scope="module", params=CIRCUITS, ids=lambda circuit: circuit.name)
def circuit(request: pytest.FixtureRequest) -> Circuit:
    found: Circuit = request.param
    return found


@pytest.fixture(scope="module")
def study(circuit: Circuit, tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp(circuit.name.replace(" ", "-"))
    settings = circuit.settings(home / "texts", random_neurons=RANDOM_NEURONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        with Study.create("circuit", settings) as made:
            for _ in run_study(made, Workspace(settings, model=circuit.open())):
                pass
            return made


def split_at_the_median(study: Study, neuron: NeuronId, head: HeadId) -> tuple[list[Example], list[Example]]:
    """Examples and unseen examples for a head that no rule calls active or inactive: labels from its own median."""
    prompts = study.state.prompts[neuron]
    given: NDArray[np.float32] = study.load_arrays(study.state.attributed[neuron].artefact)["headline"]
    given = given[:, head.layer, head.index]
    halves: tuple[list[Example], list[Example]] = ([], [])
    for prompt, active in zip(prompts, given > np.median(given), strict=True):
        halves[prompt.half == "score"].append(Example(tuple(prompt.document_tokens), bool(active)))
    return halves


def test_the_explanation_of_the_planted_head_is_right_on_every_unseen_prompt(study: Study, circuit: Circuit) -> None:
    score = study.state.scores[circuit.neuron, circuit.head, "rules"]
    assert score.e == 1.0
    assert min(score.n_active, score.n_inactive) >= 20
    assert score.interval is not None and score.interval.low > 0.9
    assert score.q is not None and score.q < 1e-9


def test_it_says_what_the_head_does(study: Study, circuit: Circuit) -> None:
    said = study.state.explanations[circuit.neuron, circuit.head, "rules"].rule
    assert said is not None
    assert Rule.loads(said).judges(circuit.active) and not Rule.loads(said).judges(circuit.inactive)


def test_what_should_do_no_better_than_chance_does_not(study: Study, circuit: Circuit) -> None:
    controls = {one.name: one.e for one in study.state.scores[circuit.neuron, circuit.head, "rules"].controls}
    assert controls["empty"] == 0.5
    assert controls["shuffled"] == pytest.approx(0.5, abs=0.1)
    assert controls["other head"] is not None and controls["other head"] <= 0.5


def test_a_random_head_is_not_active_and_no_rule_tells_its_strong_from_its_weak_prompts(
    study: Study, circuit: Circuit
) -> None:
    known = {circuit.head, *circuit.others}
    facts = study.state.model
    assert facts is not None
    for head in [HeadId(layer, head) for layer in range(circuit.neuron.layer + 1) for head in range(facts.n_heads)]:
        if head in known:
            continue
        assert (circuit.neuron, head, "rules") not in study.state.scores
        examples, unseen = split_at_the_median(study, circuit.neuron, head)
        accuracy = rule_accuracy(rule_of_examples(examples), unseen)
        assert accuracy is not None and accuracy < 0.8


def test_for_random_neurons_no_random_head_is_active_and_the_planted_one_is_not_always_told(
    study: Study, circuit: Circuit
) -> None:
    # What the previous-token head writes reaches every neuron, and a random one may well read a few words of it.
    random = {neuron for neuron, row in study.state.neurons.items() if row.random}
    assert len(random) == RANDOM_NEURONS
    scores = [score for score in study.state.scores.values() if score.neuron in random and score.e is not None]
    assert {score.head for score in scores} <= {circuit.head, *circuit.others}
    assert all(score.e < 1.0 for score in scores if score.head == circuit.head and score.e is not None)
