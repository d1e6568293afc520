"""Layers, neurons and heads by address."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headtorch.core.errors import AddressError, InputError
from headtorch.core.model.addresses import parse_layers
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("last:2", [4, 5]),
        ("last:99", [0, 1, 2, 3, 4, 5]),
        ("0-3", [0, 1, 2, 3]),
        ("5,2", [2, 5]),
        (" 0-1, 1, 4 ", [0, 1, 4]),
    ],
)
def test_layer_specifications(spec: str, layers: list[int]) -> None:
    assert parse_layers(spec, 6) == layers


@pytest.mark.parametrize("spec", ["", "6", "0-6", "3-1", "last:0", "last:", "-1", "one", "1;2", "1,,2"])
def test_what_names_no_layers_is_refused_in_one_sentence(spec: str) -> None:
    with pytest.raises(AddressError) as refusal:
        parse_layers(spec, 6)
    assert "\n" not in str(refusal.value)


def test_addresses_out_of_range_are_refused_with_the_range(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("gpt2")
    model.check_neuron(NeuronId(2, 47))
    model.check_head(HeadId(2, 3))
    for neuron in (NeuronId(3, 0), NeuronId(0, 48)):
        with pytest.raises(AddressError, match=r"0-2 .*0-47"):
            model.check_neuron(neuron)
    for head in (HeadId(3, 0), HeadId(0, 4)):
        with pytest.raises(AddressError, match=r"0-2 .*0-3"):
            model.check_head(head)


def test_prompts_that_the_model_cannot_read_are_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("gpt2")
    with pytest.raises(InputError, match="no text"):
        model.trace([], 0)
    with pytest.raises(InputError, match="no text"):
        model.trace([[1], []], 0)
    with pytest.raises(InputError, match="65 tokens; tiny gpt2 reads at most 64"):
        model.trace([[1] * 65], 0)
    assert model.trace([[1] * 64], 0).patterns.shape[-1] == 64
