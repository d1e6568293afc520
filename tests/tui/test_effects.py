"""headtorch effects on a tiny model and a small corpus."""

from __future__ import annotations

import pytest
from calls import Call, Left, Places, data
from naive_effects import neuron_at_end
from tiny_models import tiny_hf, tiny_tokenizer

from headtorch.core.records import NeuronId

NEURON, TEXT, OTHER = "L2.N7", "the people of the United", "The State of the Union"


def refusal(left: Left) -> str:
    assert left.code == 2 and not left.out and "Traceback" not in left.err
    return left.err


def test_effects_of_texts_are_those_of_whole_forward_passes(studied: Call) -> None:
    rows = data(
        studied("effects", "--neuron", "L1.N3", "--prompt", TEXT, "--prompt", OTHER, "--replacement", "zero", "--json")
    )
    assert len(rows) == 2
    hf, tokenizer = tiny_hf("gpt2"), tiny_tokenizer()
    for text, row in zip((TEXT, OTHER), rows, strict=True):
        ids = [tokenizer.bos_token_id, *tokenizer.encode(text)]
        assert row["token_ids"] == ids
        clean = neuron_at_end(hf, ids, NeuronId(1, 3), {})
        assert (row["activation"], row["pre_activation"]) == pytest.approx(clean, abs=1e-4)
        without = neuron_at_end(hf, ids, NeuronId(1, 3), {0: lambda z: z[-1, 16:24].zero_()})  # L0.H2
        effects = row["effects"]["activation"], row["effects"]["pre_activation"]
        assert [grid[0][2] for grid in effects] == pytest.approx(
            [clean[0] - without[0], clean[1] - without[1]], abs=1e-4
        )
        for grid in effects:
            assert [len(layer) for layer in grid] == [4, 4, 4]
            assert all(value is None for value in grid[2]) and None not in grid[0] + grid[1]


def test_the_menu(studied: Call) -> None:
    found = {}
    for replacement, position in (("resample", "last"), ("mean", "last"), ("double", "last"), ("mean", "all")):
        options = ("--replacement", replacement, "--position", position)
        [row] = data(studied("effects", "--neuron", NEURON, "--prompt", TEXT, *options, "--json"))
        assert (row["replacement"], row["position"]) == (replacement, position)
        found[replacement, position] = row["effects"]["pre_activation"][1][2]
    assert len(set(found.values())) == 4
    [row] = data(studied("effects", "--neuron", NEURON, "--prompt", TEXT, "--json"))
    assert (row["replacement"], row["position"], row["donors"]) == ("resample", "last", 4)
    assert row["effects"]["pre_activation"][1][2] == found["resample", "last"]
    [row] = data(studied("effects", "--neuron", NEURON, "--prompt", TEXT, "--position", "all", "--json"))
    assert row["replacement"] == "mean"


def test_strongest_prompts_with_the_estimate_and_agreement(studied: Call) -> None:
    call = ("effects", "--neuron", NEURON, "--top", 2, "--estimate", "gradient", "--agreement")
    found = data(studied(*call, "--json"))
    assert len(found["prompts"]) == 4
    for row in found["prompts"]:
        assert row["estimate"].keys() == row["effects"].keys() == {"activation", "pre_activation"}
        assert row["estimate_error"]["activation"]["max"] >= 0
    assert {one["estimate"] for one in found["agreement"]} == {"dot", "direct", "removal", "beta", "gradient"}
    assert all(one["neuron"] == NEURON and one["n"] == 4 for one in found["agreement"])
    text = studied(*call).out
    assert "gradient" in text and "Spearman" in text and "everything behind it recomputed" in text


def test_a_gated_neuron(cli: Call, places: Places) -> None:
    call = ("effects", "--model", places.gated, "--corpus", places.corpus, "--neuron", NEURON, "--prompt", TEXT)
    [row] = data(cli(*call, "--replacement", "zero", "--json"))
    assert isinstance(row["pre_activation"], float)
    assert "L2.H" in cli(*call, "--replacement", "zero").out


def test_what_cannot_be_asked(studied: Call) -> None:
    assert "--top" in refusal(studied("effects", "--neuron", NEURON))
    assert "--top" in refusal(studied("effects", "--neuron", NEURON, "--prompt", TEXT, "--top", 3))
    everywhere = ("--prompt", TEXT, "--position", "all", "--replacement", "resample")
    assert "last position alone" in refusal(studied("effects", "--neuron", NEURON, *everywhere))
    assert "prompt" in refusal(studied("effects", "--neuron", NEURON, "--prompt", ""))
    assert "47" in refusal(studied("effects", "--neuron", "L2.N48", "--prompt", TEXT))
