"""Studies side by side: settings, scores, and the neurons that two studies of one model share."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy import stats

from headtorch.core.errors import StudyError
from headtorch.core.events import (
    AnyEvent,
    CorpusOpened,
    HeadActivityFound,
    HeadsAttributed,
    ModelOpened,
    NeuronVisited,
)
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study
from headtorch.core.study.side_by_side import compare_studies

NEURON = NeuronId(3, 412)
HEADS = [HeadId(layer, head) for layer in range(3) for head in range(4)]


def made(name: str, settings: Settings, events: list[AnyEvent], **other: AnyEvent) -> Study:
    with Study.create(name, settings) as study:
        for event in events:
            study.append(other.get(type(event).__name__, event))
    return Study.open(name)


def attributed(events: list[AnyEvent], seed: int) -> HeadsAttributed:
    event = next(event for event in events if isinstance(event, HeadsAttributed))
    rng = np.random.default_rng(seed)
    heads = [
        msgspec.structs.replace(
            event.heads[0], head=head, mean_direct=float(rng.normal()), beta=None if i == 5 else float(rng.normal())
        )
        for i, head in enumerate(HEADS)
    ]
    return msgspec.structs.replace(event, heads=heads, top_heads=HEADS)


def active(events: list[AnyEvent], *heads: tuple[HeadId, int, int, int]) -> HeadActivityFound:
    """Heads by how many of how many strongest prompts they are active on, and prompts from lower bins."""
    event = next(event for event in events if isinstance(event, HeadActivityFound))
    found = [
        msgspec.structs.replace(
            event.heads[0], head=head, active=[i < k for i in range(n)] + [True] * lower, lower=lower
        )
        for head, k, n, lower in heads
    ]
    return msgspec.structs.replace(event, heads=found)


@pytest.fixture
def two(asked: Settings, events: list[AnyEvent]) -> list[Study]:
    """One model on two corpora."""
    corpus = next(event for event in events if isinstance(event, CorpusOpened))
    other = msgspec.structs.replace(asked, corpus="news", token_texts=())
    return [
        made(
            "first",
            asked,
            events,
            HeadsAttributed=attributed(events, 1),
            HeadActivityFound=active(events, (HEADS[1], 8, 20, 0), (HEADS[9], 5, 20, 4), (HEADS[2], 6, 20, 0)),
        ),
        made(
            "second",
            other,
            events,
            CorpusOpened=msgspec.structs.replace(corpus, fingerprint="news"),
            HeadsAttributed=attributed(events, 2),
            HeadActivityFound=active(events, (HEADS[9], 9, 10, 0), (HEADS[1], 1, 10, 0)),
        ),
    ]


def test_settings_that_differ_are_named_with_every_value(two: list[Study]) -> None:
    found = compare_studies(two)
    assert {row.name: row.values for row in found.settings} == {
        "corpus": ["sotu", "news"],
        "token_texts": ["' States'", "none"],
    }
    assert [(side.study, side.neurons, side.random) for side in found.studies] == [("first", 1, 1), ("second", 1, 1)]


def test_a_shared_neuron_has_scipys_rank_agreement_over_its_heads(two: list[Study], events: list[AnyEvent]) -> None:
    (pair,) = compare_studies(two).pairs
    (shared,) = pair.neurons
    one, other = (attributed(events, seed).heads for seed in (1, 2))
    direct = stats.spearmanr([row.mean_direct for row in one], [row.mean_direct for row in other]).statistic
    kept = [i for i in range(12) if i != 5]
    beta = stats.spearmanr([one[i].beta for i in kept], [other[i].beta for i in kept]).statistic
    assert (shared.mean_direct.n, shared.mean_direct.spearman) == (12, pytest.approx(direct))
    assert (shared.beta.n, shared.beta.spearman) == (11, pytest.approx(beta))
    assert (pair.same_model, pair.same_corpus) == (True, False)


def test_rates_are_of_the_strongest_prompts_of_heads_worth_explaining_in_both(two: list[Study]) -> None:
    (shared,) = compare_studies(two).pairs[0].neurons
    assert [head.head for head in shared.heads] == [HEADS[1], HEADS[9]]
    assert (shared.only_first, shared.only_second) == (1, 0)
    rates = [(head.activity.first, head.activity.n_first, head.activity.second) for head in shared.heads]
    assert rates == [(0.4, 20, 0.1), (0.25, 20, 0.9)]
    assert all(head.activity.interval is not None for head in shared.heads)


def test_scores_of_the_explainers_that_both_have_stand_side_by_side(two: list[Study]) -> None:
    found = compare_studies(two)
    assert {(group.study, group.group) for group in found.groups} == {
        (study, group) for study in ("first", "second") for group in ("next-token", "random")
    }
    assert found.pairs[0].explainer == "rules"
    e = {head.head: head.e for head in found.pairs[0].neurons[0].heads}
    assert e[HeadId(2, 1)] == (0.7, 0.7)


def test_neurons_of_other_models_are_not_shared(two: list[Study], asked: Settings, events: list[AnyEvent]) -> None:
    facts = next(event.facts for event in events if isinstance(event, ModelOpened))
    model = ModelOpened(facts=msgspec.structs.replace(facts, fingerprint="other"))
    third = made("third", asked, events, ModelOpened=model)
    pairs = {(pair.first, pair.second): pair for pair in compare_studies([*two, third]).pairs}
    assert set(pairs) == {("first", "second"), ("first", "third"), ("second", "third")}
    assert pairs["first", "third"].neurons == [] and not pairs["first", "third"].same_model
    assert len(pairs["first", "second"].neurons) == 1


def test_a_neuron_that_was_only_visited_is_compared_too(asked: Settings, events: list[AnyEvent]) -> None:
    found = next(event for event in events if type(event).__name__ == "NeuronsFound")
    none = msgspec.structs.replace(found, neurons=[])  # type: ignore[type-var]
    visited = made("visited", asked, [*events, NeuronVisited(neuron=found.neurons[0])], NeuronsFound=none)  # type: ignore
    whole = made("whole", asked, events)
    (shared,) = compare_studies([whole, visited]).pairs[0].neurons
    assert (shared.neuron, shared.token) == (NEURON, " States")


def test_an_empty_study_compares_and_what_comes_out_is_json(two: list[Study], asked: Settings) -> None:
    Study.create("empty", asked).close()
    found = compare_studies([two[0], Study.open("empty")])
    assert found.pairs[0].neurons == [] and found.comparisons == []
    assert msgspec.json.decode(msgspec.json.encode(compare_studies(two)))["format"] == 1


def test_a_study_is_not_compared_with_itself(two: list[Study]) -> None:
    for studies in ([two[0]], [], [two[0], two[0]], [two[0], Study.open(two[0].folder)]):
        with pytest.raises(StudyError, match="two or more"):
            compare_studies(studies)
