"""Scores computed again and compared, from the log alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import mean

import msgspec
import pytest
from calls import Call, Places, data, refusal, write_corpus

from headtorch.core.events import HeadScored
from headtorch.core.records import NeuronId
from headtorch.core.study.study import Study


@pytest.fixture(scope="module")
def done(places: Places) -> dict[str, bool]:
    return {}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough text for heads to be active at some held-out places and inactive at others."""
    return write_corpus(tmp_path_factory.mktemp("letters") / "texts", documents=40, words=120)


@pytest.fixture
def ruled(studied: Call, cli: Call, letters: Path, done: dict[str, bool]) -> str:
    """A finished study with a second explainer, whose model and corpus are gone."""
    if not done:
        named = ("--study", "scored", "-n", 4, "--random-neurons", 4)
        assert studied("run", *named, "--corpus", letters).code == 0
        assert cli("explain", "scored", "--explainer", "me", "--explanation", "re:State").code == 0
        done["yes"] = True
    return "scored"


def test_every_score_comes_out_as_stored(ruled: str, cli: Call, places: Places) -> None:
    hidden = Path(f"{places.model}-away")
    shutil.move(places.model, hidden)
    try:
        found = data(cli("score", "--study", ruled, "--json"))
    finally:
        shutil.move(hidden, places.model)
    stored = Study.open(ruled).state
    assert found["rescored"] == {"scored": {"computed": len(stored.scores), "differing": [], "kept": 0}}
    groups = {(one["explainer"], one["group"]): one for one in found["groups"]}
    assert groups.keys() == {(name, group) for name in ("rules", "me") for group in ("next-token", "random")}
    for name, event in stored.baseline.items():
        for group, seen in (("next-token", event.next_token), ("random", event.random)):
            one = groups[name, group]["scores"]
            assert (one["mean"], one["n_heads"], one["n_neurons"]) == (seen.mean, seen.heads, seen.neurons)
            assert (one["interval"], one["above_chance"]) == (None, seen.above_chance)  # fewer than 8 neurons
    [pair] = [one for one in found["comparisons"] if one["comparison"]["paired"]]
    assert pair["first"] == "me" and pair["second"].startswith("rules")
    gains: dict[NeuronId, list[float]] = {}
    for (neuron, head, name), score in stored.scores.items():
        if name == "me" and score.e is not None and not stored.neurons[neuron].random and not score.lower:
            gains.setdefault(neuron, []).append(score.e - (stored.scores[neuron, head, "rules"].e or 0))
    assert pair["comparison"]["difference"] == pytest.approx(mean(mean(of_neuron) for of_neuron in gains.values()))


def test_the_table_and_the_bars_say_the_same_in_words(ruled: str, cli: Call) -> None:
    left = cli("score", "--study", ruled)
    assert left.code == 0 and left.err == ""
    assert "all as stored" in left.out and "Cliff's delta" in left.out and "chance" in left.out
    assert all(len(line) < 400 for line in left.out.splitlines())


def test_a_score_that_was_tampered_with_is_named(ruled: str, cli: Call, places: Places) -> None:
    folder = places.home / "studies" / "tampered"
    shutil.copytree(places.home / "studies" / ruled, folder, dirs_exist_ok=True)
    with Study.open(folder, write=True) as study:
        key, score = next((key, one) for key, one in study.state.scores.items() if one.e is not None)
        study.append(HeadScored(score=msgspec.structs.replace(score, e=0.987, f1=0.5)))
    found = data(cli("score", "--study", "tampered", "--json"))
    assert found["rescored"]["tampered"]["differing"] == [f"{key[0]} {key[1]} {key[2]}: e, f1"]
    assert "e, f1" in cli("score", "--study", "tampered").out


def test_studies_are_compared_by_the_explainers_that_they_share(ruled: str, cli: Call, places: Places) -> None:
    folder = places.home / "studies" / "twin"
    shutil.copytree(places.home / "studies" / ruled, folder, dirs_exist_ok=True)
    found = data(cli("score", "--study", ruled, "--study", "twin", "--json"))
    between = [one for one in found["comparisons"] if one["second"] == "twin"]
    assert {one["first"] for one in between} == {"rules: scored", "me: scored"}
    assert all(one["comparison"]["difference"] == one["comparison"]["delta"] == 0 for one in between)


def test_what_cannot_be_compared_is_refused(ruled: str, cli: Call) -> None:
    assert "There is no study" in refusal(cli("score", "--study", "nowhere"))
    assert "itself" in refusal(cli("score", "--study", ruled, "--study", ruled))
