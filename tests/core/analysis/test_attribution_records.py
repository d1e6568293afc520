"""The record of an attribution: nothing of the numbers is lost on the way through JSON."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from attribution_cases import model_of, pairs_of

from headtorch.core.analysis.attribution_records import attribution_records
from headtorch.core.analysis.lookup import sources
from headtorch.core.records import GatedNumber, GatedSources, HeadId, PromptAttribution


def test_a_record_survives_json_and_holds_null_where_a_head_cannot_feed_the_neuron() -> None:
    rows, neurons, found = pairs_of("gpt2")
    beta = np.full((3, 4), 0.25)
    neuron_zero = next(i for i, neuron in enumerate(neurons) if neuron.layer == 0)
    heads = [HeadId(0, 1)]
    given = sources(model_of("gpt2"), rows, neurons, heads)
    records = attribution_records(
        model_of("gpt2"), rows, found, heads=heads, sources=given, betas={neurons[neuron_zero]: beta}
    )
    record = msgspec.json.decode(msgspec.json.encode(records[neuron_zero]), type=PromptAttribution)
    assert record == records[neuron_zero]
    assert record.parts is not None and record.reads is None
    assert record.parts.heads[1] == [None] * 4 and None not in record.parts.heads[0]
    assert record.removal[2] == [None] * 4
    assert record.tokens == model_of("gpt2").token_texts(rows[neuron_zero])
    everything = [record.parts.embed, record.parts.position, record.parts.bias]
    everything += record.parts.attention_bias + record.parts.mlps
    everything += [value for layer in record.parts.heads for value in layer if value is not None]
    assert isinstance(record.sum, float) and isinstance(record.pre_activation, float)
    assert sum(everything) == pytest.approx(record.sum, abs=1e-5)
    assert record.error == pytest.approx(record.sum - record.pre_activation, abs=1e-9)
    assert len(record.sources["L0.H1"]) == len(record.token_ids)
    assert sum(record.sources["L0.H1"]) == pytest.approx(record.parts.heads[0][1], abs=1e-5)
    assert record.beta == beta.tolist()
    assert records[neuron_zero + 1].beta is None


def test_a_gated_neurons_record_has_a_gate_and_an_up() -> None:
    rows, neurons, found = pairs_of("llama")
    heads = [HeadId(0, 1)]
    given = sources(model_of("llama"), rows, neurons, heads)
    record = attribution_records(model_of("llama"), rows, found, heads=heads, sources=given)[2]
    assert msgspec.json.decode(msgspec.json.encode(record), type=PromptAttribution) == record
    assert record.parts is None and record.reads is not None
    assert record.reads.gate.bias == pytest.approx(found.bias[2, 0])
    assert record.reads.up.bias == pytest.approx(found.bias[2, 1])
    assert record.pre_activation == GatedNumber(*map(float, found.pre_activation[2]))
    looked_up = record.sources["L0.H1"]
    assert isinstance(looked_up, GatedSources)
    assert sum(looked_up.up) == pytest.approx(record.reads.up.heads[0][1], abs=1e-5)
