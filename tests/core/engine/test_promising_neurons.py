"""Neurons worth a study: what follows on their training places, their context share, tokens by their neurons."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.engine import promising_neurons as promising
from headtorch.core.engine.promising_neurons import PromisingNeuron, promising_neurons, promising_tokens
from headtorch.core.engine.workspace import Workspace
from headtorch.core.records import NeuronId, NextTokenNeuron
from headtorch.core.settings import Settings


def test_they_predict_their_token_on_training_places_and_come_by_context_share(
    tiny_settings: Settings, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promising, "LEAST_Z", 1.5)
    monkeypatch.setattr(promising, "LEAST_SHARE", 0.2)
    monkeypatch.setattr(promising, "PLACES", 8)
    workspace = Workspace(tiny_settings)
    found = promising_neurons(workspace)
    assert found and found == sorted(found, key=lambda one: -one.context_share)
    for one in found:
        top = workspace.index.top(one.row.neuron, "explain", one.row.sign, k=8)
        places = [(d, p) for d, p, a in zip(top.document, top.position, top.activation, strict=True) if a > 0]
        assert {workspace.corpus.half(int(d)) for d, _ in places} == {"explain"} and one.places == len(places)
        texts = [workspace.corpus.document_ids(int(d)) for d, _ in places]
        following = [ids[p + 1] for ids, (_, p) in zip(texts, places, strict=True) if p + 1 < len(ids)]
        assert one.next_share == sum(t == one.row.token_id for t in following) / len(following) >= 0.2
    assert promising_neurons(workspace, limit=1) == found[:1]


def _neuron(index: int, token_id: int, share: float) -> PromisingNeuron:
    row = NextTokenNeuron(
        neuron=NeuronId(1, index),
        token_id=token_id,
        token=f"t{token_id}",
        congruence=1.0,
        cosine=0.1,
        z=5.0,
        rank=0,
        kind="prediction",
    )
    return PromisingNeuron(row=row, next_share=0.9, context_share=share, places=40)


def test_tokens_come_by_how_many_of_their_neurons_heads_drive() -> None:
    found = promising_tokens([_neuron(1, 7, 0.9), _neuron(2, 8, 0.6), _neuron(3, 8, 0.4), _neuron(4, 8, 0.1)])
    assert [(row.token, row.valid, row.driven) for row in found] == [("t8", 3, 2), ("t7", 1, 1)]
    assert found[0].context_share == pytest.approx(0.5) and found[0].neurons == [NeuronId(1, i) for i in (2, 3, 4)]
