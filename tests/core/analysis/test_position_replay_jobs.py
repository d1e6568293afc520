"""Many edits of many neurons in one pass over the rows, and single positions at reduced precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from naive_effects import head_outputs_at_end, neuron_at_end
from tiny_models import tiny_hf, tiny_model, tiny_tokenizer

from headtorch.core.analysis.position_replay import (
    EditJob,
    HeadEdits,
    Observed,
    Queries,
    edited_activations,
    joined,
    observe,
    observed_and_edited,
    replay,
    takes_masks,
)
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId

ROWS = [[5, 9, 3, 7, 11, 2, 40, 8, 21, 6], [4, 4, 9, 30, 2, 7, 8], [12, 3, 5, 6, 7, 22, 90, 1, 2, 17, 14, 60]]
PLACES = [(0, 9), (0, 4), (1, 6), (2, 11), (2, 11), (2, 3)]


def queries(neuron: NeuronId, places: list[tuple[int, int]]) -> Queries:
    rows, offsets = (np.array(one) for one in zip(*places, strict=True))
    return Queries.of(neuron, rows, offsets)


def jobs_for(model: LanguageModel) -> list[EditJob]:
    """Two neurons of different layers, banks of different depth, several edits, sources that differ by place."""
    facts = model.facts
    generator = torch.Generator().manual_seed(0)
    banks = [torch.randn(n, layers, facts.n_heads, facts.d_head, generator=generator) for n, layers in ((1, 3), (4, 2))]
    masks = np.random.default_rng(0).random((2, 3, facts.n_layers, facts.n_heads)) < 0.3
    masks[1, :, 2:] = False
    late, early = queries(NeuronId(2, 5), PLACES), queries(NeuronId(1, 7), PLACES[1:5])
    return [
        EditJob(late, masks[0], banks[0], np.zeros(len(late), np.int64)),
        EditJob(early, masks[1][:2], banks[1], np.array([3, 0, 2, 1])),
    ]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neo"])
def test_observed_and_edited_in_one_pass_are_those_of_a_pass_each(family: str) -> None:
    model = tiny_model(family)
    jobs = jobs_for(model)
    seen, edited = observed_and_edited(model, ROWS, jobs)
    for job, of_job, after in zip(jobs, seen, edited, strict=True):
        alone = observe(model, ROWS, job.queries)
        layers = alone.heads.shape[1]
        for name in ("activation", "pre_activation", "scale"):
            np.testing.assert_allclose(getattr(of_job, name), getattr(alone, name), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(of_job.heads[:, :layers], alone.heads, rtol=1e-4, atol=1e-5)
        if alone.post_scale is not None:
            assert of_job.post_scale is not None
            np.testing.assert_allclose(of_job.post_scale[:, :layers], alone.post_scale, rtol=1e-4)
        for mask, row in zip(job.heads, after, strict=True):
            every = np.broadcast_to(mask, (len(job.queries), *mask.shape))
            expected = replay(model, ROWS, job.queries, HeadEdits(every, job.bank, job.source)).activation
            np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(edited, edited_activations(model, ROWS, jobs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert observed_and_edited(model, ROWS, []) == ([], []) and edited_activations(model, ROWS, []) == []


def test_joined_queries_keep_their_order() -> None:
    both = joined([queries(NeuronId(2, 5), PLACES), queries(NeuronId(1, 7), PLACES[:2])])
    assert both.layer.tolist() == [2] * 6 + [1] * 2 and both.index.tolist() == [5] * 6 + [7] * 2
    assert list(zip(both.row.tolist(), both.offset.tolist(), strict=True)) == [*PLACES, *PLACES[:2]]


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gemma2"])
def test_at_reduced_precision_single_positions_agree_with_whole_passes_of_that_precision(family: str) -> None:
    hf = tiny_hf(family).to(torch.bfloat16)
    model = LanguageModel.from_hf(tiny_hf(family).to(torch.bfloat16), tiny_tokenizer(), name="reduced")
    neuron, donor = NeuronId(2, 5), ROWS[1]
    places = queries(neuron, PLACES)
    bank = torch.stack([z.float() for z in head_outputs_at_end(hf, donor)])
    bank = bank.view(1, model.facts.n_layers, model.facts.n_heads, -1)
    masks = np.zeros((len(places), model.facts.n_layers, model.facts.n_heads), bool)
    masks[:, 0, 1] = masks[:, 1, 2] = True
    seen: Observed = observe(model, ROWS, places)
    after = replay(model, ROWS, places, HeadEdits(masks, bank, np.zeros(len(places), np.int64))).activation
    columns = {
        layer: slice(head * model.facts.d_head, (head + 1) * model.facts.d_head) for layer, head in ((0, 1), (1, 2))
    }

    def put_in(layer: int, z: torch.Tensor) -> None:
        z[-1, columns[layer]] = bank[0, layer].flatten()[columns[layer]].to(z)

    changes = {layer: lambda z, layer=layer: put_in(layer, z) for layer in columns}
    clean = [neuron_at_end(hf, ROWS[r][: p + 1], neuron, {})[0] for r, p in PLACES]
    edited = [neuron_at_end(hf, ROWS[r][: p + 1], neuron, changes)[0] for r, p in PLACES]
    size = np.abs([*clean, *edited]).max()
    np.testing.assert_allclose(seen.activation, clean, atol=0.03 * size)
    np.testing.assert_allclose(after, edited, atol=0.03 * size)
    assert np.abs(np.subtract(clean, edited)).max() > 0.1 * size
    assert takes_masks(model)


@pytest.mark.parametrize("family", ["gpt_neo", "bloom"])
def test_reduced_precision_does_not_hide_that_a_family_takes_no_masks(family: str) -> None:
    hf = tiny_hf(family).to(torch.bfloat16)
    assert not takes_masks(LanguageModel.from_hf(hf, tiny_tokenizer(), name="reduced"))
