"""The test of a head's label, and control heads of like output."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from naive_effects import head_outputs_at_end
from tiny_models import ragged_rows

from headtorch.core.analysis.label_permutation import control_heads, label_p, output_norms
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId


def test_the_p_is_that_of_all_relabellings() -> None:
    values, active = np.array([-3.0, -2.5, -0.1, 0.2, -2.0, 0.3]), np.array([1, 1, 0, 0, 1, 0], dtype=bool)
    observed = abs(values[active].sum() - 3 * values.mean())
    every = [abs(values[list(chosen)].sum() - 3 * values.mean()) for chosen in combinations(range(6), 3)]
    exact = np.mean([one >= observed - 1e-12 for one in every])
    assert label_p(values, active) == pytest.approx(exact, abs=0.03)


def test_prompts_of_one_cluster_and_label_count_once() -> None:
    values, active = np.array([-3.0, -1.0, 0.0, 1.0]), np.array([1, 1, 0, 0], dtype=bool)
    repeated = np.repeat(values, 10), np.repeat(active, 10), np.repeat(np.arange(4), 10).tolist()
    assert label_p(*repeated) == label_p(values, active)
    careless = label_p(*repeated[:2])
    assert careless is not None and careless < 0.01 < 0.2 < (label_p(values, active) or 0)


def test_labels_are_permuted_within_neurons() -> None:
    """One neuron's changes are all larger: across neurons the label only says which neuron it is."""
    draw = np.random.default_rng(0)
    neurons = [0] * 20 + [1] * 20
    active = np.array([True] * 18 + [False] * 2 + [True] * 2 + [False] * 18)
    values = draw.normal(0, 1, 40) + np.where(np.array(neurons) == 0, 10.0, 0.0)
    pooled, within = label_p(values, active), label_p(values, active, neurons=neurons)
    assert pooled is not None and within is not None and pooled < 0.01 < 0.05 < within


def test_it_is_calibrated_where_prompts_of_a_cluster_are_alike() -> None:
    draw = np.random.default_rng(1)
    clusters = np.repeat(np.arange(12), 3)
    p = []
    for _ in range(200):
        of_cluster, labels = draw.normal(0, 1, 12), draw.permutation(12) < 6
        values = of_cluster[clusters] + draw.normal(0, 0.1, 36)
        p.append(label_p(values, labels[clusters], clusters.tolist()))
    assert np.mean([one is not None and one <= 0.05 for one in p]) <= 0.1


def test_one_label_only_has_no_p() -> None:
    assert label_p(np.zeros(3), np.ones(3, dtype=bool)) is None
    assert label_p(np.zeros(0), np.zeros(0, dtype=bool)) is None


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_norms_are_those_of_the_heads_outputs(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    rows = ragged_rows(model, 3)
    found = output_norms(model, rows)
    for i, row in enumerate(rows):
        for layer, z in enumerate(head_outputs_at_end(model.hf, row)):
            output = model.attention_output_modules[layer]
            for head in range(model.facts.n_heads):
                mine = slice(head * model.facts.d_head, (head + 1) * model.facts.d_head)
                alone = torch.zeros_like(z)
                alone[mine] = z[mine]
                with torch.no_grad():
                    written = output(alone[None]) - output(torch.zeros_like(alone)[None])
                assert found[i, layer, head] == pytest.approx(float(written.norm()), abs=1e-4)


def test_controls_are_the_nearest_in_norm_each_once_and_never_the_head_itself() -> None:
    norms = np.array([[[1.0, 2.0, 4.0], [8.0, 3.0, 2.1]]])
    eligible = np.array([[True, True, True], [True, False, True]])
    head = HeadId(0, 1)
    assert control_heads(norms, eligible, [head], count=2) == [[HeadId(1, 2)], [HeadId(0, 0)]]
    assert len(control_heads(norms, eligible, [head], count=9)) == 4
    pair = control_heads(norms, eligible, [head, HeadId(1, 0)], count=9)
    assert pair == [[HeadId(1, 2), HeadId(0, 2)]]  # one head is left, too few for another pair
