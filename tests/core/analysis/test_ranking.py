"""The strongest places of neurons in reduced precision, against a model in fp32 that reads one row at a time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from fake_model import FakeCorpus
from tiny_models import FAMILIES, ragged_rows, tiny_hf, tiny_tokenizer

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.places import HALVES
from headtorch.core.analysis.ranking import Ranking
from headtorch.core.analysis.scan import scan
from headtorch.core.errors import Interrupted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.precision import in_float32
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch

LENGTHS = [100, 3, 40, 31, 64, 1, 250, 33, 17, 90, 120, 75]
K, LAYER = 6, 2
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def model_in(dtype: str, family: str = "llama") -> LanguageModel:
    return LanguageModel.from_hf(tiny_hf(family).to(DTYPES[dtype]), tiny_tokenizer(), name=f"tiny {family}")


@cache
def scanned(dtype: str) -> tuple[LanguageModel, FakeCorpus, ActivationIndex]:
    model = model_in(dtype)
    corpus = FakeCorpus(LENGTHS, first_token=model.facts.first_token)
    return model, corpus, scan(model, corpus, [LAYER], top_k=K)


@cache
def exact() -> LanguageModel:
    """The half-precision weights, in a model that computes in fp32 throughout."""
    return LanguageModel.from_hf(tiny_hf("llama").to(torch.bfloat16).float(), tiny_tokenizer(), name="exact")


def naive(index: ActivationIndex, corpus: FakeCorpus, neuron: NeuronId, half: str, sign: int) -> list[tuple]:
    """The kept candidates by (activation in fp32, lower document, lower position)."""
    candidates = index.top(neuron, half, sign, k=2 * K)
    found = []
    for document, position, number in zip(candidates.document, candidates.position, candidates.window, strict=True):
        window = corpus.windows[number]
        row = torch.tensor([window.ids[: position - window.start + 2].tolist()])
        value = float(exact().mlp_activations(row, [LAYER])[LAYER][0, -1, neuron.index])
        found.append((-sign * value, int(document), int(position), int(number)))
    return sorted(found)[:K]


@pytest.mark.parametrize("sign", [1, -1])
def test_in_bfloat16_the_candidates_are_ranked_by_fp32_activations(sign: int) -> None:
    model, corpus, index = scanned("bfloat16")
    ranking = Ranking(model, corpus, index)
    neurons = [NeuronId(LAYER, j) for j in range(model.facts.d_mlp)]
    ranking.prepare((neuron, sign) for neuron in neurons)
    moved = 0
    for neuron in neurons:
        for half in HALVES:
            found, expected = ranking.top(neuron, half, sign), naive(index, corpus, neuron, half, sign)
            assert len(found) == len(expected) == K
            assert list(zip(found.document, found.position, found.window, strict=True)) == [one[1:] for one in expected]
            np.testing.assert_allclose(-sign * found.activation, [one[0] for one in expected], rtol=1e-4, atol=1e-6)
            moved += list(found.window) != list(index.top(neuron, half, sign).window)
    assert moved > 0  # bfloat16 did get some of them wrong


def test_a_neuron_asked_for_alone_is_ranked_the_same_and_only_once() -> None:
    model, corpus, index = scanned("bfloat16")
    together, alone = Ranking(model, corpus, index), Ranking(model, corpus, index)
    together.prepare([(NeuronId(LAYER, j), 1) for j in range(5)])
    for j in range(5):
        found, expected = alone.top(NeuronId(LAYER, j), "score"), together.top(NeuronId(LAYER, j), "score")
        np.testing.assert_array_equal(found.window, expected.window)
        assert len(alone.top(NeuronId(LAYER, j), "score", k=2)) == 2

    class Stop(Watch):
        def checkpoint(self) -> None:
            raise Interrupted("stopped")

    together.prepare([(NeuronId(LAYER, j), 1) for j in range(5)], Stop())
    with pytest.raises(Interrupted):
        together.prepare([(NeuronId(LAYER, 9), 1)], Stop())


def test_in_float32_the_index_stands_as_it_is() -> None:
    model, corpus, index = scanned("float32")
    for k in (None, 3):
        found, expected = (
            one.top(NeuronId(LAYER, 4), "explain", -1, k) for one in (Ranking(model, corpus, index), index)
        )
        np.testing.assert_array_equal(found.activation, expected.activation)
        np.testing.assert_array_equal(found.position, expected.position)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_reduced_model_computes_in_fp32_where_it_is_asked_to_and_stays_as_it_was(family: str, dtype: str) -> None:
    model = model_in(dtype, family)
    wide = LanguageModel.from_hf(tiny_hf(family).to(DTYPES[dtype]).float(), tiny_tokenizer(), name="wide")
    before = {name: (value.dtype, value.clone()) for name, value in model.hf.state_dict().items()}
    rows = torch.tensor([ragged_rows(model, 1, seed=3)[0] * 4])
    last = model.facts.n_layers - 1
    with in_float32(model.hf):
        found = model.mlp_activations(rows, [0, last])
    expected = wide.mlp_activations(rows, [0, last])
    for layer in (0, last):
        assert found[layer].dtype == torch.float32
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-5)
    assert model.mlp_activations(rows, [last])[last].dtype == DTYPES[dtype]
    for name, value in model.hf.state_dict().items():
        assert value.dtype == before[name][0] and torch.equal(value, before[name][1])
