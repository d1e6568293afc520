"""Likely tokens are those of the model's own next-token distribution, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import ragged_rows, tiny_model

from headtorch.core.analysis.likely_tokens import LEAST_PROBABILITY, TOP, LikelyTokens


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_they_are_the_models_next_tokens(family: str) -> None:
    model = tiny_model(family)
    rows = ragged_rows(model, n=6)
    likely = LikelyTokens(model, rows)
    likely.prepare(range(6))
    special = {*model.tokenizer.all_special_ids}
    for number, row in enumerate(rows):
        with torch.no_grad():
            logits = model.hf(torch.tensor([row])).logits[0, :, : model.facts.d_vocab].double()
        logits[:, list(special)] = -torch.inf
        expected = logits.softmax(-1).numpy()  # [place − 1, token]
        for index in range(1, len(row)):
            ids, probabilities = likely.at(number, index)
            assert not special & {*ids.tolist()}
            assert probabilities == pytest.approx(expected[index - 1, ids], rel=1e-3)
            assert (np.diff(probabilities) <= 0).all()
            assert len(ids) == min(TOP, int((expected[index - 1] >= LEAST_PROBABILITY).sum()))


def test_a_row_runs_once_and_places_out_of_reach_have_none() -> None:
    model = tiny_model("gpt2")
    rows = ragged_rows(model, n=4)
    likely = LikelyTokens(model, rows, reach=4)
    likely.prepare([1, 2])
    runs = []
    logits = model.logits
    model.logits = lambda ids: runs.append(len(ids)) or logits(ids)  # type: ignore[method-assign,func-returns-value]
    likely.prepare([1, 2])
    assert not runs
    likely.prepare([1, 2, 3])
    assert runs == [1]
    last = len(rows[2]) - 1
    assert len(likely.at(2, last)[0]) and len(likely.at(2, last - 3)[0])
    assert not len(likely.at(2, last - 4)[0]) and not len(likely.at(2, 0)[0])
