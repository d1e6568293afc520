"""The planted circuit: L0.H2 looks up " treaty" and fires L1.N5, which predicts " States"; the analysis must say so."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from planted import (
    FLAGS,
    HEAD,
    LOOKED_UP,
    NEURON,
    SECOND_HEAD,
    TARGET,
    TRIGGER,
    PlantedDocument,
    expected_pre_activation,
    planted_corpus,
    planted_hf,
    planted_tokenizer,
    trigger_row,
)

from headtorch.core.analysis.ablation import ablate_head, ablate_heads, ablate_neuron
from headtorch.core.analysis.activity import choose_heads, head_activities
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import Baselines, baselines
from headtorch.core.analysis.interventions import mean_head_outputs
from headtorch.core.analysis.lookup import sources
from headtorch.core.causes import Replacement, Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId


@cache
def planted_model(noise: float = 1.0) -> LanguageModel:
    return LanguageModel.from_hf(planted_hf(noise), planted_tokenizer(), name="planted")


@cache
def documents() -> list[PlantedDocument]:
    return planted_corpus(80)


def rows_ending_at_the_trigger(*kinds: str) -> tuple[list[list[int]], list[PlantedDocument]]:
    chosen = [document for document in documents() if document.kind in kinds]
    return [trigger_row(planted_tokenizer(), document) for document in chosen], chosen


@cache
def random_rows() -> list[list[int]]:
    """Every document up to a random position."""
    rng = np.random.default_rng(0)
    model = planted_model()
    encoded = [model.row(document.text) for document in planted_corpus(400, seed=9)]
    return [row[: int(rng.integers(2, len(row) + 1))] for row in encoded]


@cache
def planted_baselines() -> Baselines:
    return baselines(planted_model(), random_rows(), [NEURON])


def test_the_tokenizer_keeps_leading_spaces_and_gives_the_text_back() -> None:
    model = planted_model()
    for token in (TRIGGER, LOOKED_UP, TARGET, *FLAGS):
        assert model.token_text(model.single_token(token)) == token
    for document in documents():
        ids = model.encode(document.text)
        assert model.tokenizer.decode(ids) == document.text
        assert model.tokenizer.unk_token_id not in ids
        assert len(model.with_first_token(ids)) <= model.facts.context


def test_a_document_holds_the_target_only_behind_a_looked_up_word() -> None:
    model = planted_model()
    for document in documents():
        tokens = model.token_texts(model.encode(document.text))
        before = tokens[: tokens.index(TRIGGER)]
        assert tokens.count(TRIGGER) == 1
        assert (LOOKED_UP in before) == (document.kind in ("treaty", "both"))
        assert any(flag in before for flag in FLAGS) == (document.kind in ("flag", "both"))
        assert (TARGET in tokens) == (tokens[len(before) + 1] == TARGET) == (document.kind != "neither")


def test_without_noise_pre_activation_and_attribution_have_the_closed_form() -> None:
    model = planted_model(0.0)
    rows, _ = rows_ending_at_the_trigger("treaty", "flag", "both", "neither")
    found = attribute(model, rows, [NEURON] * len(rows))
    expected = np.array([expected_pre_activation(model.token_texts(row)) for row in rows])
    np.testing.assert_allclose(found.pre_activation[:, 0], expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(found.heads[:, 0, HEAD.layer, HEAD.index], expected[:, 1], atol=1e-4)
    others = np.delete(found.heads[:, 0].reshape(len(rows), -1), [HEAD.index, SECOND_HEAD.index], axis=1)
    np.testing.assert_allclose(np.nan_to_num(others), 0, atol=1e-6)


def test_the_neuron_fires_only_at_the_trigger_behind_a_looked_up_word() -> None:
    model = planted_model()
    for document in documents()[:20]:
        row = model.row(document.text)
        activation = model.mlp_activations(torch.tensor([row]), [NEURON.layer])[NEURON.layer][0, :, NEURON.index]
        firing = [model.token_text(row[i]) for i in torch.nonzero(activation).flatten().tolist()]
        assert firing == ([] if document.kind == "neither" else [TRIGGER])


def test_the_planted_neuron_writes_the_target_more_than_any_other_neuron_or_token() -> None:
    model = planted_model()
    congruence = torch.stack([model.write_directions(layer) @ model.unembedding() for layer in range(3)])
    target = model.single_token(TARGET)
    assert int(congruence[..., target].argmax()) == NEURON.layer * model.facts.d_mlp + NEURON.index
    assert int(congruence[NEURON.layer, NEURON.index].argmax()) == target


def test_the_planted_head_is_named_and_the_others_are_not() -> None:
    rows, chosen = rows_ending_at_the_trigger("treaty")
    found = attribute(planted_model(), rows, [NEURON] * len(rows))
    assert found.relative_error.max() <= 1e-4
    strongest = np.nanargmax(found.headline.reshape(len(chosen), -1), axis=1)
    assert set(strongest) == {HEAD.layer * 4 + HEAD.index}


def test_the_planted_head_looked_up_the_looked_up_token() -> None:
    rows, _ = rows_ending_at_the_trigger("treaty", "both")
    model = planted_model()
    given = sources(model, rows, [NEURON] * len(rows), [HEAD])[:, 0, 0]  # prompt position
    for row, of_row in zip(rows, given, strict=True):
        assert model.token_text(row[int(of_row.argmax())]) == LOOKED_UP
        assert of_row.max() / np.abs(of_row).sum() > 0.95


def test_the_head_is_active_exactly_where_the_token_is_in_the_context() -> None:
    rows, chosen = rows_ending_at_the_trigger("treaty", "flag", "both")
    found = attribute(planted_model(), rows, [NEURON] * len(rows))
    base = planted_baselines()
    activities = head_activities(
        NEURON, found.headline, ["explain"] * len(rows), base.mean[0], base.sd[0], rule="baseline"
    )
    [planted] = [one for one in choose_heads(activities).explained if one.head == HEAD and not one.suppressing]
    assert planted.active == [document.kind != "flag" for document in chosen]
    assert 0.25 <= planted.explain_share <= 0.75


def test_the_planted_head_has_a_larger_share_of_the_neurons_variation_than_any_noise_head() -> None:
    base = planted_baselines()
    assert base.beta_total == pytest.approx(1, abs=1e-4)
    noise = base.beta[0].copy()
    noise[HEAD.layer, [HEAD.index, SECOND_HEAD.index]] = np.nan
    assert base.beta[0, HEAD.layer, HEAD.index] > 5 * np.nanmax(np.abs(noise))


@pytest.mark.parametrize("replacement", ["zero", "mean"])
@pytest.mark.parametrize("where", ["last", "all"])
def test_taking_the_planted_head_away_removes_the_prediction_where_it_is_active(
    replacement: Replacement, where: Where
) -> None:
    model = planted_model()
    rows, chosen = rows_ending_at_the_trigger("treaty", "flag")
    active = [document.kind == "treaty" for document in chosen]
    means = mean_head_outputs(model, random_rows())
    target = model.single_token(TARGET)
    record = ablate_head(model, rows, NEURON, HEAD, target, active, replacement=replacement, where=where, means=means)
    assert record.active.delta_log_p is not None and record.inactive.delta_log_p is not None
    assert record.active.delta_log_p < -5
    assert record.active.delta_p is not None and record.active.delta_p < -0.7
    assert abs(record.inactive.delta_log_p) < 0.1
    assert record.ks == 1.0 and record.ks_p is not None and record.ks_p < 1e-9
    [change] = ablate_heads(model, rows, NEURON, target, [HEAD], replacement=replacement, where=where, means=means)
    np.testing.assert_array_equal(change.after.activation[active], 0)
    assert (change.before.rank == 0).all() and (change.after.rank[active] > 0).all()


def test_taking_other_heads_away_leaves_the_prediction() -> None:
    model = planted_model()
    rows, _ = rows_ending_at_the_trigger("treaty")
    others = [HeadId(layer, head) for layer in range(2) for head in range(4) if HeadId(layer, head) != HEAD]
    for change in ablate_heads(model, rows, NEURON, model.single_token(TARGET), others):
        assert change.delta_log_p.min() > -0.3


def test_either_pathway_is_enough_and_both_together_are_needed_to_silence_the_neuron() -> None:
    model = planted_model()
    rows, _ = rows_ending_at_the_trigger("both")
    target = model.single_token(TARGET)
    one, other, joint = ablate_heads(model, rows, NEURON, target, [HEAD, SECOND_HEAD, (HEAD, SECOND_HEAD)])
    assert one.delta_log_p.min() > -0.5 and other.delta_log_p.min() > -0.5
    assert joint.delta_log_p.max() < -5
    np.testing.assert_array_equal(joint.after.activation, 0)


def test_silencing_the_neuron_removes_the_prediction() -> None:
    model = planted_model()
    rows, _ = rows_ending_at_the_trigger("treaty", "flag", "both")
    change = ablate_neuron(model, rows, NEURON, model.single_token(TARGET))
    assert change.delta_log_p.max() < -5
