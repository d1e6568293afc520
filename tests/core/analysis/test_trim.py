"""Trimming against brute force over all suffixes, with activations that are no monotone function of the length."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import msgspec
import numpy as np
import pytest
import torch
from fake_model import FakeCorpus, FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.trim import Place, collapse, trim
from headtorch.core.errors import Interrupted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId, Prompt
from headtorch.core.watch import Watch

METHODS = ("doubling", "exact", "paper")


def make(salt: int, first_token: int | None, length: int = 60) -> tuple[FakeModel, FakeCorpus]:
    model = FakeModel(salt=salt, gated=True, first_token=first_token)
    return model, FakeCorpus([length, 20], first_token=first_token, context=40, seed=salt)


def all_places(model: FakeModel, corpus: FakeCorpus, every: int = 1) -> list[Place]:
    places = []
    for number, window in enumerate(corpus.windows):
        for i, layer in product(range(1, len(window.ids), every), (0, 2)):
            neuron = NeuronId(layer, (i + number) % model.facts.d_mlp)
            full = model.activation(layer, neuron.index, window.ids[: i + 1].tolist())
            places.append(Place(neuron, window.document, window.start + i - 1, number, full))
    return places


def row_of(corpus: FakeCorpus, place: Place, length: int, first_token: int | None) -> list[int]:
    ids = corpus.document_ids(place.document)[place.position - length + 1 : place.position + 1].tolist()
    return ids if first_token is None else [first_token, *ids]


def longest(corpus: FakeCorpus, place: Place, first_token: int | None) -> int:
    start = corpus.windows[place.window].start
    return place.position - start + (1 if first_token is not None else 2)


def succeeds(place: Place, activation: float, ratio: float) -> bool:
    sign = -1 if place.full_activation < 0 else 1
    return sign * activation >= ratio * sign * place.full_activation


@pytest.mark.parametrize("first_token", [99, None])
def test_exact_is_the_shortest_suffix_of_all(first_token: int | None) -> None:
    model, corpus = make(3, first_token)
    places = all_places(model, corpus, every=3)
    found = trim(model, corpus, places, method="exact")
    shorter_than_full = 0
    for place, prompt in zip(places, found, strict=True):
        lengths = range(1 if first_token is not None else 2, longest(corpus, place, first_token) + 1)
        rows = {n: row_of(corpus, place, n, first_token) for n in lengths}
        value = {n: model.activation(place.neuron.layer, place.neuron.index, rows[n]) for n in lengths}
        best = next(n for n in lengths if succeeds(place, value[n], 0.8))
        assert prompt.start == place.position - best + 1
        assert prompt.token_ids == rows[best]
        assert prompt.activation == value[best]
        shorter_than_full += best < lengths[-1]
    assert shorter_than_full > len(places) / 2


@settings(max_examples=25, deadline=None)
@given(
    salt=st.integers(0, 10_000),
    first_token=st.sampled_from([99, None]),
    ratio=st.sampled_from([0.3, 0.8, 1.0]),
    method=st.sampled_from(METHODS),
)
def test_no_method_returns_a_start_that_fails_the_ratio(
    salt: int, first_token: int | None, ratio: float, method
) -> None:
    model, corpus = make(salt, first_token)
    places = all_places(model, corpus, every=7)
    for place, prompt in zip(places, trim(model, corpus, places, ratio=ratio, method=method), strict=True):
        row = row_of(corpus, place, place.position - prompt.start + 1, first_token)
        assert prompt.token_ids == row
        assert prompt.activation == model.activation(place.neuron.layer, place.neuron.index, row)
        assert succeeds(place, prompt.activation, ratio)
        assert prompt.window_start <= prompt.start <= prompt.position


class Stepwise(FakeModel):
    """Fires 10 on rows of the first token and the lengths in `good`, else 0; counts the lengths it was asked."""

    def __init__(self, good: set[int]) -> None:
        super().__init__()
        self.good = good
        self.asked: list[int] = []

    def mlp_activations(self, rows, layers):
        values = torch.zeros(*rows.shape, self.facts.d_mlp)
        for i in range(1, rows.shape[1]):
            values[:, i] = 10.0 if i in self.good else 0.0
        self.asked += [int((row != 0).sum()) - 1 for row in rows]
        return dict.fromkeys(layers, values)


@pytest.mark.parametrize(
    ("method", "good", "kept", "asked"),
    [
        ("doubling", set(range(11, 31)), 11, [1, 2, 4, 8, 16, 12, 10, 11]),
        ("doubling", {5, 16, 30}, 16, [1, 2, 4, 8, 16, 12, 14, 15]),
        ("doubling", {30}, 30, [1, 2, 4, 8, 16, 30, 23, 26, 28, 29]),
        ("exact", {5, 16, 30}, 5, None),
        ("paper", {5, 16, 30}, 16, [30, 16, 9, 13, 15]),
        ("paper", set(range(11, 31)), 11, [30, 16, 9, 13, 11, 10]),
        ("paper", set(range(1, 31)), 2, [30, 16, 9, 5, 3, 2]),
    ],
)
def test_each_method_asks_for_its_lengths(method, good: set[int], kept: int, asked: list[int] | None) -> None:
    model, corpus = Stepwise(good), FakeCorpus([50], context=40)
    place = Place(NeuronId(1, 2), 0, 29, 0, 10.0)
    (prompt,) = trim(model, corpus, [place], method=method)
    assert prompt.position - prompt.start + 1 == kept
    assert prompt.activation == 10.0
    if asked is not None:
        assert model.asked == asked


def test_the_record_says_where_the_prompt_is_from() -> None:
    model, corpus = make(1, 99)
    places = [p for p in all_places(model, corpus) if (p.document, p.position) in {(0, 59), (0, 30), (1, 19)}]
    prompts = trim(model, corpus, places)
    assert [(p.neuron, p.document, p.position, p.full_activation) for p in prompts] == [
        (p.neuron, p.document, p.position, p.full_activation) for p in places
    ]
    for place, prompt in zip(places, prompts, strict=True):
        ids = corpus.document_ids(prompt.document)
        following = int(ids[prompt.position + 1]) if prompt.position + 1 < len(ids) else None
        assert prompt.next_token_id == following
        assert prompt.next_token == (None if following is None else f" t{following}")
        assert prompt.tokens == [f" t{i}" for i in prompt.token_ids]
        assert prompt.title == f"Speech {prompt.document}"
        assert (prompt.cluster, prompt.half) == (0, "explain")
        assert prompt.window_start == corpus.windows[place.window].start
        assert prompt.kept_ratio == prompt.activation / prompt.full_activation
    assert {p.next_token_id is None for p in prompts} == {True, False}


@pytest.mark.parametrize(("needed", "long"), [(100, False), (101, True)])
def test_more_than_100_tokens_are_kept_but_flagged(needed: int, long: bool) -> None:
    model, corpus = Stepwise(set(range(needed, 200))), FakeCorpus([200], context=160)
    (prompt,) = trim(model, corpus, [(NeuronId(0, 0), 0, 150, 0, 10.0)])
    assert (len(prompt.token_ids) - 1, prompt.long) == (needed, long)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_strongest_places_of_a_real_model_can_be_trimmed(
    tiny_model: Callable[..., LanguageModel], family: str
) -> None:
    model, corpus = tiny_model(family), FakeCorpus([200, 90, 300, 120], first_token=None)
    first = model.facts.first_token
    corpus = FakeCorpus([200, 90, 300, 120], first_token=first)
    index = scan(model, corpus, [1, 2], top_k=5)
    signs = (1, -1) if model.facts.gated else (1,)
    places = []
    for neuron, sign in product([NeuronId(1, 3), NeuronId(2, 0), NeuronId(2, 8)], signs):
        top = index.top(neuron, "explain", sign)
        columns = (top.document, top.position, top.window, top.activation)
        places += [Place(neuron, *values) for values in zip(*(c.tolist() for c in columns), strict=True)]
    for prompt, place in zip(trim(model, corpus, places), places, strict=True):
        row = torch.tensor([prompt.token_ids])
        alone = model.mlp_activations(row, [place.neuron.layer])[place.neuron.layer][0, -1, place.neuron.index]
        assert prompt.activation == pytest.approx(float(alone), rel=1e-4, abs=1e-6)
        assert prompt.kept_ratio >= 0.8


def test_a_place_outside_its_window_is_a_mistake_of_the_caller() -> None:
    model, corpus = make(0, 99)
    with pytest.raises(ValueError, match="not in window"):
        trim(model, corpus, [(NeuronId(0, 0), 0, 50, 0, 1.0)])
    assert trim(model, corpus, []) == []


def test_out_of_memory_halves_the_batch_of_suffixes() -> None:
    class SmallMemory(FakeModel):
        def mlp_activations(self, rows, layers):
            if len(rows) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().mlp_activations(rows, layers)

    model, corpus = make(5, 99)
    places = all_places(model, corpus, every=5)
    assert trim(SmallMemory(salt=5, gated=True), corpus, places) == trim(model, corpus, places)


def test_trimming_can_be_stopped() -> None:
    class Stop(Watch):
        def checkpoint(self) -> None:
            raise Interrupted("stopped")

    model, corpus = make(0, 99)
    with pytest.raises(Interrupted):
        trim(model, corpus, all_places(model, corpus), watch=Stop())


def prompt(document: int, position: int, activation: float, **changes) -> Prompt:
    blank = Prompt(
        neuron=NeuronId(0, 0), document=document, title="", position=position, start=position, window_start=0,
        token_ids=[], tokens=[], activation=activation, full_activation=activation, kept_ratio=1.0,
        cluster=document, half="explain", long=False, next_token_id=None, next_token=None,
    )  # fmt: skip
    return msgspec.structs.replace(blank, **changes)


def test_near_copies_collapse_to_the_best_one_per_neuron_and_half() -> None:
    corpus = FakeCorpus([30, 30, 30, 30])
    corpus.documents[1][9:21] = corpus.documents[0][8:20]  # twelve tokens, ending at 20 and at 19
    corpus.documents[2][10:21] = corpus.documents[0][9:20]  # eleven
    best, copy, other = prompt(1, 20, -5.0), prompt(0, 19, 4.0), prompt(2, 20, 3.0)
    same_cluster = prompt(3, 25, 2.0, cluster=1)
    kept, dropped = collapse([copy, other, best, same_cluster], corpus)
    assert (kept, dropped) == ([other, best], 2)
    elsewhere = [prompt(0, 19, 4.0, neuron=NeuronId(0, 1)), prompt(0, 19, 4.0, half="score")]
    assert collapse([best, *elsewhere], corpus) == ([best, *elsewhere], 0)


def test_of_equals_the_lower_place_stays() -> None:
    corpus = FakeCorpus([30, 30])
    later, earlier = prompt(1, 25, 2.0, cluster=7), prompt(0, 28, 2.0, cluster=7)
    assert collapse([later, earlier], corpus) == ([earlier], 1)


def test_sentences_that_share_only_their_last_words_are_no_copies() -> None:
    corpus = FakeCorpus([30, 30])
    corpus.documents[1][18:21] = corpus.documents[0][18:21]
    first, second = (prompt(d, 20, 2.0, token_ids=corpus.documents[d][19:21].tolist()) for d in (0, 1))
    assert np.array_equal(first.token_ids, second.token_ids)
    assert collapse([first, second], corpus) == ([first, second], 0)
