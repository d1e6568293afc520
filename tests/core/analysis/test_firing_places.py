"""Which places a neuron's claims are learned and tested on, of surveys made by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from headtorch.core.analysis.firing_places import PER_CLUSTER, SPACING, FiringPlaces, firing_places
from headtorch.core.analysis.survey import Survey
from headtorch.core.records import NeuronId

Activation = NDArray[np.float64]


def made_survey(
    documents: list[list[int]], clusters: list[int] | None = None, held_out: list[bool] | None = None
) -> Survey:
    """Each document one row behind the first token 0, the later half of them held out."""
    n = len(documents)
    lengths = [len(ids) for ids in documents]
    document = np.repeat(np.arange(n), lengths)
    position = np.concatenate([np.arange(length) for length in lengths])
    halves = np.array([d >= n / 2 for d in range(n)] if held_out is None else held_out)
    return Survey(
        neurons=[NeuronId(0, 0)],
        windows=list(range(n)),
        rows=[np.array([0, *ids], np.int32) for ids in documents],
        row=document,
        offset=position + 1,
        document=document,
        position=position,
        cluster=(np.arange(n) if clusters is None else np.array(clusters))[document],
        held_out=halves[document],
        token=np.concatenate([np.array(ids) for ids in documents]),
        activation=np.zeros((1, len(document)), np.float32),
    )


def random_survey(seed: int = 0, documents: int = 40, length: int = 200, tokens: int = 12) -> tuple[Survey, Activation]:
    """Clusters of two documents; activations that come in bursts, so that firing places stand close to each other."""
    rng = np.random.default_rng(seed)
    survey = made_survey(
        [rng.integers(1, tokens, length).tolist() for _ in range(documents)], [d // 2 for d in range(documents)]
    )
    bursts = np.convolve(rng.normal(size=len(survey)), np.ones(3), mode="same")
    return survey, bursts + rng.normal(size=len(survey)) * (survey.document % 5)


def choose(survey: Survey, activation: Activation, sign: int = 1, count: int = 60, pairs: int = 1000) -> FiringPlaces:
    return firing_places(survey, activation, sign=sign, train=count, held_out=count, pairs=pairs)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_neuron_fires_above_its_97th_percentile_and_is_off_below_its_70th(sign: int) -> None:
    survey, activation = random_survey()
    places, strength = choose(survey, activation, sign), sign * activation
    assert places.threshold == np.quantile(strength, 0.975)
    assert places.off_below == np.quantile(strength, 0.7)
    for firing in (places.train, places.held_out):
        assert len(firing) > 20 and strength[firing].min() > places.threshold
    off = [place for _, place in [*places.pairs_train, *places.pairs_held_out]]
    assert len(off) > 20 and strength[off].max() <= places.off_below


def test_a_neuron_that_is_mostly_silent_fires_wherever_it_is_active() -> None:
    survey, _ = random_survey()
    activation = np.zeros(len(survey))
    activation[::400] = 2.0
    places = choose(survey, activation)
    assert (places.threshold, places.off_below) == (0.0, 0.0)
    assert sorted([*places.train, *places.held_out]) == list(range(0, len(survey), 400))
    assert not len(choose(survey, np.zeros(len(survey))).train)


def test_splits_and_clusters_do_not_mix_and_no_cluster_crowds_out_the_others() -> None:
    survey, activation = random_survey()
    activation[survey.cluster == 3] += 10.0
    places = choose(survey, activation)
    assert not survey.held_out[places.train].any() and survey.held_out[places.held_out].all()
    for firing in (places.train, places.held_out):
        assert len(set(firing.tolist())) == len(firing) <= 60
        assert max(Counter(survey.cluster[firing].tolist()).values()) <= PER_CLUSTER
    assert Counter(survey.cluster[places.train].tolist())[3] == PER_CLUSTER


def test_places_of_a_document_keep_their_distance() -> None:
    survey, activation = random_survey()
    places = choose(survey, activation)
    for document in range(40):
        for firing in (places.train, places.held_out):
            positions = np.sort(survey.position[firing[survey.document[firing] == document]])
            assert (np.diff(positions) >= SPACING).all()


def test_half_are_the_strongest_that_there_is_room_for_and_the_others_come_from_all_over() -> None:
    survey, activation = random_survey(documents=80)
    places = choose(survey, activation, count=40)
    fires = np.flatnonzero((activation > places.threshold) & ~survey.held_out)
    strongest: list[int] = []
    for place in sorted(fires.tolist(), key=lambda i: -activation[i]):
        close = [o for o in strongest if survey.document[o] == survey.document[place]]
        if all(abs(survey.position[o] - survey.position[place]) >= 32 for o in close) and len(strongest) < 20:
            strongest.append(place)
    assert set(strongest) <= set(places.train.tolist())
    others = np.array(sorted(set(places.train.tolist()) - set(strongest)))
    remaining = np.sort(activation[np.setdiff1d(fires, strongest)])
    ranks = np.searchsorted(remaining, activation[others]) / len(remaining)
    assert len(others) == 20
    assert np.histogram(ranks, 4, (0, 1))[0].min() >= 2  # of each quarter of the other firing places
    assert places.train.tolist() == sorted(places.train.tolist(), key=lambda i: -activation[i])


def test_a_matched_place_has_the_same_token_and_split_and_serves_once() -> None:
    survey, activation = random_survey()
    places = choose(survey, activation)
    for firing, pairs, held_out in (
        (places.train, places.pairs_train, False),
        (places.held_out, places.pairs_held_out, True),
    ):
        on = firing[[number for number, _ in pairs]]
        off = np.array([place for _, place in pairs])
        assert len(set(on.tolist())) == len(set(off.tolist())) == len(pairs) == len(firing)
        assert (survey.token[on] == survey.token[off]).all()
        assert (survey.held_out[off] == held_out).all()
        assert (survey.document[on] != survey.document[off]).all()


def test_it_stands_at_the_most_similar_offset_of_another_document_where_there_is_one() -> None:
    documents = [[9] * 50 for _ in range(6)]
    documents[0][20] = documents[0][22] = documents[1][30] = documents[2][18] = 5
    survey = made_survey(documents, held_out=[False] * 3 + [True] * 3)
    activation = np.zeros(len(survey))
    activation[20] = 1.0
    assert choose(survey, activation).pairs_train == [(0, 2 * 50 + 18)]
    documents[1][30] = documents[2][18] = 9
    assert choose(made_survey(documents, held_out=[False] * 3 + [True] * 3), activation).pairs_train == [(0, 22)]


def test_pairs_are_limited_without_a_preference_for_the_strongest() -> None:
    survey, activation = random_survey()
    places = choose(survey, activation, pairs=20)
    numbers = [number for number, _ in places.pairs_train]
    assert len(numbers) == 20 and numbers == sorted(numbers)
    assert len(places.train) / 4 < np.mean(numbers) < len(places.train) * 3 / 4  # places are sorted by strength


def test_firing_places_whose_token_is_never_off_are_counted() -> None:
    survey, activation = random_survey()
    always = survey.token == 4
    activation[always] = 50.0 + np.arange(always.sum()) / 1e4
    survey.token[np.flatnonzero(always)[::7]] = 1  # which is also off elsewhere
    places = choose(survey, activation)
    firing = np.concatenate([places.train, places.held_out])
    assert places.token_suffices == int((survey.token[firing] == 4).sum()) > 10
    matched = [
        *places.train[[n for n, _ in places.pairs_train]],
        *places.held_out[[n for n, _ in places.pairs_held_out]],
    ]
    assert 4 not in survey.token[matched]


def test_held_out_places_that_repeat_a_training_place_are_dropped() -> None:
    rng = np.random.default_rng(1)
    documents = [rng.integers(1, 5000, 120).tolist() for _ in range(8)]
    documents[5][15:105] = documents[1][15:105]
    survey = made_survey(documents)
    activation = np.zeros(len(survey))
    for document in (1, 2, 5, 6):
        activation[document * 120 + 60] = 1.0
    places = choose(survey, activation)
    assert places.near_copies == 1
    assert places.train.tolist() == [1 * 120 + 60, 2 * 120 + 60] and places.held_out.tolist() == [6 * 120 + 60]


def test_pairs_whose_matched_place_repeats_one_of_the_training_split_are_dropped() -> None:
    rng = np.random.default_rng(1)
    documents = [rng.integers(10, 5000, 120).tolist() for _ in range(8)]
    for document in (1, 5):
        documents[document][60] = 7  # fires
    for document in (2, 6):
        documents[document][60] = 7  # off
    documents[6][15:105] = documents[2][15:105]
    activation = np.zeros(8 * 120)
    activation[[1 * 120 + 60, 5 * 120 + 60]] = 1.0
    places = choose(made_survey(documents), activation)
    assert places.pairs_train == [(0, 2 * 120 + 60)] and places.held_out.tolist() == [5 * 120 + 60]
    assert places.pairs_held_out == [] and places.near_copies == 1
    documents[6][15:60] = rng.integers(10, 5000, 45).tolist()
    documents[6][61:105] = rng.integers(10, 5000, 44).tolist()
    assert choose(made_survey(documents), activation).pairs_held_out == [(0, 6 * 120 + 60)]


def test_the_choice_is_always_the_same() -> None:
    survey, activation = random_survey()
    one, other = choose(survey, activation, pairs=20), choose(survey, activation, pairs=20)
    assert one.train.tolist() == other.train.tolist() and one.held_out.tolist() == other.held_out.tolist()
    assert (one.pairs_train, one.pairs_held_out) == (other.pairs_train, other.pairs_held_out)
