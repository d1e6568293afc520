"""Congruence against plain tensor algebra on the models' own weights, in fp64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from planted import NEURON, TARGET, planted_hf, planted_tokenizer
from scipy import stats
from tiny_models import tiny_hf, tiny_model, tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from headtorch.core.analysis import congruence
from headtorch.core.analysis.congruence import (
    LayerCongruence,
    Unembedding,
    best_token,
    best_token_neurons,
    is_spaced,
    layer_congruence,
    random_neurons,
    token_neurons,
)
from headtorch.core.errors import Interrupted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId, NextTokenNeuron
from headtorch.core.watch import Watch

FAMILIES = ("gpt2", "gpt_neox", "llama", "gemma2")  # LayerNorm tied and not; gated; gated with a norm after the MLP
LAYERS = [0, 1, 2]


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


@cache
def planted_model() -> LanguageModel:
    return LanguageModel.from_hf(planted_hf(), planted_tokenizer(), name="planted")


@dataclass(frozen=True)
class Plain:
    """c(n, t) of one layer by the textbook, and what cosines divide by."""

    c: np.ndarray  # neuron token
    norms: np.ndarray  # neuron
    lengths: np.ndarray  # token

    @property
    def z(self) -> np.ndarray:
        return (self.c - self.c.mean(1, keepdims=True)) / self.c.std(1, keepdims=True)

    @property
    def cosine(self) -> np.ndarray:
        return self.c / self.norms[:, None] / self.lengths


def final_weights(hf: PreTrainedModel, layer: int) -> tuple[Tensor, Tensor, bool]:
    """(write directions [neuron, d_model], W_U·gain [token, d_model], whether the norm takes the mean away)."""
    with torch.no_grad():
        if hf.config.model_type == "gpt2":
            return hf.transformer.h[layer].mlp.c_proj.weight, hf.lm_head.weight * hf.transformer.ln_f.weight, True
        if hf.config.model_type == "gpt_neox":
            write = hf.gpt_neox.layers[layer].mlp.dense_4h_to_h.weight.T
            return write, hf.get_output_embeddings().weight * hf.gpt_neox.final_layer_norm.weight, True
        block = hf.model.layers[layer]
        if hf.config.model_type == "llama":
            return block.mlp.down_proj.weight.T, hf.lm_head.weight * hf.model.norm.weight, False
        write = block.mlp.down_proj.weight.T * (1 + block.post_feedforward_layernorm.weight)
        return write, hf.lm_head.weight * (1 + hf.model.norm.weight), False


@cache
def plain(family: str, layer: int) -> Plain:
    write, unembedding, layer_norm = final_weights(model_of(family).hf, layer)
    w, u = write.double(), unembedding[: len(tiny_tokenizer())].double()
    if layer_norm:
        w, u = w - w.mean(1, keepdim=True), u - u.mean(1, keepdim=True)
    u = u - u.mean(0)
    return Plain((w @ u.T).numpy(), w.norm(dim=1).numpy(), u.norm(dim=1).numpy())


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_and_extremes_of_a_layer(family: str) -> None:
    model, expected = model_of(family), plain(family, 1)
    found = layer_congruence(model, Unembedding(model), 1, k=5)
    np.testing.assert_allclose(found.deviation, expected.c.std(1), rtol=1e-4)
    np.testing.assert_allclose(found.skewness, stats.skew(expected.c, axis=1), atol=1e-3)
    np.testing.assert_allclose(found.kurtosis, stats.kurtosis(expected.c, axis=1), atol=1e-3)
    np.testing.assert_allclose(found.norm, expected.norms, rtol=1e-4)
    order = np.argsort(expected.c, axis=1)
    np.testing.assert_array_equal(found.top_tokens, order[:, ::-1][:, :5])
    np.testing.assert_array_equal(found.bottom_tokens, order[:, :5])
    np.testing.assert_allclose(found.top, np.take_along_axis(expected.c, order[:, ::-1][:, :5], 1), rtol=1e-4)
    np.testing.assert_allclose(found.bottom, np.take_along_axis(expected.c, order[:, :5], 1), rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_neuron_is_found_with_its_best_token_and_all_are_ordered_by_z(family: str) -> None:
    model = model_of(family)
    found = best_token_neurons(model, LAYERS)
    assert sorted(row.neuron for row in found) == [NeuronId(k, j) for k in LAYERS for j in range(model.facts.d_mlp)]
    assert [row.z for row in found] == sorted((row.z for row in found), reverse=True)
    for row in found:
        expected = plain(family, row.neuron.layer)
        z = expected.z[row.neuron.index]
        best = np.abs(z).argmax() if model.facts.gated else z.argmax()
        assert (row.token_id, row.token, row.rank) == (best, model.token_text(int(best)), 0)
        assert row.sign == (-1 if model.facts.gated and z[best] < 0 else 1)
        place = (row.neuron.index, row.token_id)
        assert row.z == pytest.approx(row.sign * expected.z[place], rel=1e-3)
        assert row.congruence == pytest.approx(row.sign * expected.c[place], rel=1e-3)
        assert row.cosine == pytest.approx(row.sign * expected.cosine[place], rel=1e-3)
        assert not row.random
    assert {row.sign for row in found} == ({1, -1} if model.facts.gated else {1})


@pytest.mark.parametrize("by", ["z", "congruence"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_neurons_of_a_token_each_with_the_rank_of_the_token(family: str, by: str) -> None:
    model = model_of(family)
    token = model.single_token(" States")
    tables = [plain(family, layer) for layer in LAYERS]
    strength = np.stack([(table.z if by == "z" else table.c)[:, token] for table in tables])  # layer neuron
    signs = np.where(strength < 0, -1, 1) if model.facts.gated else np.ones_like(strength)
    order = np.argsort(-(signs * strength), axis=None)[:12]
    expected = [NeuronId(int(i) // model.facts.d_mlp, int(i) % model.facts.d_mlp) for i in order]
    found = token_neurons(model, LAYERS, token, limit=12, by=by)
    assert [row.neuron for row in found] == expected
    for row in found:
        table, j = tables[row.neuron.layer], row.neuron.index
        assert row.sign == signs[row.neuron.layer, j] and row.token == " States"
        assert row.rank == (row.sign * table.c[j] > row.sign * table.c[j, token]).sum()
        assert row.congruence == pytest.approx(row.sign * table.c[j, token], rel=1e-3)
        assert row.z == pytest.approx(row.sign * table.z[j, token], rel=1e-3)
        assert row.cosine == pytest.approx(row.sign * table.cosine[j, token], rel=1e-3)


@pytest.mark.parametrize("entries", [1, 48 * 7, 48 * 100])
def test_the_size_of_vocabulary_chunks_changes_nothing(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    token = model.single_token(" the")
    whole = layer_congruence(model, Unembedding(model), 1), token_neurons(model, LAYERS, token)
    monkeypatch.setattr(congruence, "_CHUNK_ENTRIES", entries)
    chunked = layer_congruence(model, Unembedding(model), 1), token_neurons(model, LAYERS, token)
    for name in ("top_tokens", "bottom_tokens"):
        assert torch.equal(getattr(whole[0], name), getattr(chunked[0], name))
    for name in ("deviation", "skewness", "kurtosis", "top", "bottom"):
        torch.testing.assert_close(getattr(whole[0], name), getattr(chunked[0], name), rtol=1e-4, atol=1e-5)
    assert [(row.neuron, row.rank, row.sign) for row in whole[1]] == [(r.neuron, r.rank, r.sign) for r in chunked[1]]


def test_the_planted_neuron_is_found_first_with_and_without_its_token() -> None:
    model = planted_model()
    for found in (best_token_neurons(model, LAYERS), token_neurons(model, LAYERS, model.single_token(TARGET))):
        assert (found[0].neuron, found[0].token, found[0].rank) == (NEURON, TARGET, 0)
        assert found[0].kind == "prediction" and not found[0].glitch
        assert found[0].z > 3 * found[1].z and found[0].cosine == pytest.approx(1, abs=0.05)


def test_large_weights_raise_the_congruence_and_not_z() -> None:
    hf = tiny_hf("gpt2")
    with torch.no_grad():
        hf.transformer.h[1].mlp.c_proj.weight[7] *= 50
    model = LanguageModel.from_hf(hf, tiny_tokenizer(), name="loud")
    [loud], [before] = (
        [row for row in best_token_neurons(one, [1]) if row.neuron.index == 7] for one in (model, model_of("gpt2"))
    )
    assert loud.congruence == pytest.approx(50 * before.congruence, rel=1e-3)
    assert loud.z == pytest.approx(before.z, rel=1e-3)
    assert best_token_neurons(model, [1], by="congruence")[0].neuron == NeuronId(1, 7)
    assert best_token_neurons(model, [1])[0].neuron == best_token_neurons(model_of("gpt2"), [1])[0].neuron


def test_a_neuron_that_writes_nothing_has_no_congruence() -> None:
    hf = tiny_hf("gpt2")
    with torch.no_grad():
        hf.transformer.h[1].mlp.c_proj.weight[7] = 0
    model = LanguageModel.from_hf(hf, tiny_tokenizer(), name="silent")
    silent = best_token_neurons(model, [1])[-1]
    assert silent.neuron == NeuronId(1, 7)
    assert (silent.congruence, silent.z, silent.cosine) == (0, 0, 0)


def layer_of(**columns: list[float]) -> LayerCongruence:
    tensors = {name: torch.tensor(values) for name, values in columns.items()}
    top, bottom = tensors.pop("top")[:, None], tensors.pop("bottom")[:, None]
    tokens = torch.zeros_like(top, dtype=torch.long)
    return LayerCongruence(layer=0, top=top, top_tokens=tokens, bottom=bottom, bottom_tokens=tokens, **tensors)


def test_kinds() -> None:
    n = 40  # two of them are among the largest 5 %
    ordinary = {"deviation": 1.0, "skewness": 0.1, "kurtosis": 0.2, "norm": 1.0, "top": 3.0, "bottom": -3.0}
    columns = {name: [value] * n for name, value in ordinary.items()}

    def change(neuron: int, **values: float) -> None:
        for name, value in values.items():
            columns[name][neuron] = value

    change(0, kurtosis=5.0, skewness=2.0, top=12.0)
    change(1, kurtosis=5.0, skewness=-2.0, bottom=-12.0)
    change(2, norm=10.0)  # large, and moves no logit
    change(3, norm=10.0, kurtosis=60.0, skewness=6.0, top=90.0)  # large, and moves one logit alone
    change(4, kurtosis=0.9, skewness=2.0)
    assert layer_of(**columns).kinds() == ["prediction", "suppression", "entropy", "prediction"] + ["ordinary"] * 36


def test_tokens_with_an_outlying_unembedding_are_flagged_and_no_others() -> None:
    hf = tiny_hf("llama")
    tiny, huge = 11, 222
    with torch.no_grad():
        hf.lm_head.weight[huge] *= 30
        hf.lm_head.weight[tiny] *= 0
    model = LanguageModel.from_hf(hf, tiny_tokenizer(), name="glitch")
    assert np.flatnonzero(Unembedding(model).glitch_tokens()).tolist() == [tiny, huge]
    assert all(row.glitch == (row.token_id in (tiny, huge)) for row in best_token_neurons(model, LAYERS))
    assert all(row.glitch for row in token_neurons(model, LAYERS, huge))
    assert not Unembedding(model_of("llama")).glitch_tokens().any()


def test_rejected_neurons_and_tokens_are_not_found() -> None:
    model = model_of("gpt2")
    every = best_token_neurons(model, LAYERS)
    neurons, tokens = [row.neuron for row in every[:3]], [every[4].token_id]
    left = best_token_neurons(model, LAYERS, reject_neurons=neurons, reject_tokens=tokens)
    assert left == [row for row in every if row.neuron not in neurons and row.token_id not in tokens]
    of_token = token_neurons(model, LAYERS, 5, limit=10)
    kept = token_neurons(model, LAYERS, 5, limit=7, reject_neurons=[row.neuron for row in of_token[:3]])
    assert kept == of_token[3:]


def test_limits_take_the_best_of_each_layer_and_of_all() -> None:
    model = model_of("gpt2")
    every = best_token_neurons(model, LAYERS)
    assert best_token_neurons(model, LAYERS, limit=5) == every[:5]
    two_each = best_token_neurons(model, LAYERS, per_layer=2)
    for layer in LAYERS:
        of_layer = [row for row in every if row.neuron.layer == layer]
        assert [row for row in two_each if row.neuron.layer == layer] == of_layer[:2]


def test_the_papers_filter_keeps_a_space_and_two_characters_or_more_letters_or_not() -> None:
    tokens = (" States", "States", " a", " an", " 12", " x.", " don't", "", " ", "  ", "   ", "\n\n\n", "<0x20><0xE2>")
    assert [token for token in tokens if is_spaced(token)] == [" States", " an", " 12", " x.", " don't", "   "]
    model = planted_model()
    found = best_token_neurons(model, LAYERS, spaced_only=True)
    assert 0 < len(found) < 3 * model.facts.d_mlp
    assert found == [row for row in best_token_neurons(model, LAYERS) if is_spaced(row.token)]


def test_the_best_token_of_one_neuron_is_that_of_the_search() -> None:
    for family in ("gpt2", "llama"):
        model = model_of(family)
        found = best_token_neurons(model, [1])
        assert {row.sign for row in found} == ({1, -1} if model.facts.gated else {1})
        for row in found:
            assert best_token(model, row.neuron) == (row.token_id, row.sign)


def test_the_random_baseline_follows_the_seed_and_leaves_out_what_was_found() -> None:
    model = model_of("llama")
    best = {row.neuron: row for row in best_token_neurons(model, [1, 2])}
    excluded = list(best)[:90]  # of 96
    drawn = random_neurons(model, [1, 2], 4, seed=3, exclude=excluded)
    assert drawn == random_neurons(model, [1, 2], 4, seed=3, exclude=excluded)
    assert len({row.neuron for row in drawn}) == 4 and not {row.neuron for row in drawn} & set(excluded)
    assert all(row.random for row in drawn)
    assert [described(row) for row in drawn] == [described(best[row.neuron]) for row in drawn]
    others = [{row.neuron for row in random_neurons(model, LAYERS, 20, seed=seed)} for seed in range(3)]
    assert others[0] != others[1] != others[2] != others[0]
    assert len(random_neurons(model, [1, 2], 50, exclude=excluded)) == 6
    assert random_neurons(model, [1, 2], 5, exclude=list(best)) == []


def described(row: NextTokenNeuron) -> tuple[NeuronId, int, int, float]:
    return row.neuron, row.token_id, row.sign, row.z


def test_the_search_can_be_stopped_between_layers() -> None:
    class Stop(Watch):
        def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
            assert (stage, done, total, unit) == ("discover", 1, 3, "layers")
            self.checkpoint = self.stop  # type: ignore[method-assign]

        def stop(self) -> None:
            raise Interrupted("stopped")

    for search in (best_token_neurons, lambda m, k, watch: token_neurons(m, k, 5, watch=watch)):
        with pytest.raises(Interrupted):
            search(model_of("gpt2"), LAYERS, watch=Stop())
