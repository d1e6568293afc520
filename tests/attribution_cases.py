"""Attributions of the tiny models to test against Hugging Face, and the pre-activation that its hooks observe."""

from __future__ import annotations

from functools import cache

import hf_reference as reference
import torch
from tiny_models import FAMILIES, ragged_rows, tiny_model
from transformers import PreTrainedModel

from headtorch.core.analysis.attribution import Attribution, attribute
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import NeuronId

SUPPORTED = [family for family in FAMILIES if family not in ("falcon_new", "falcon_sequential")]


@cache
def model_of(family: str) -> LanguageModel:
    return tiny_model(family)


@cache
def pairs_of(family: str) -> tuple[list[list[int]], list[NeuronId], Attribution]:
    """Six rows of different lengths, each with a neuron of its own, over all layers."""
    model = model_of(family)
    rows = ragged_rows(model, 6)
    neurons = [NeuronId(i % model.facts.n_layers, 5 * i + 1) for i in range(len(rows))]
    return rows, neurons, attribute(model, rows, neurons)


def observed_pre_activations(hf: PreTrainedModel, row: list[int], neuron: NeuronId) -> list[float]:
    """Straight from the output of the MLP's input projections."""
    layout = LAYOUTS[hf.config.model_type]
    block = hf.get_submodule(layout.blocks)[neuron.layer]
    places = {path: (block.get_submodule(path), "out") for path in layout.mlp_reads}
    with reference.recording(places) as seen, torch.no_grad():
        hf(torch.tensor([row]), use_cache=False)
    ends = [seen[path].reshape(len(row), -1)[-1] for path in layout.mlp_reads]
    reads = ends[0].chunk(2) if layout.fused_gate_up else ends
    return [float(read[neuron.index]) for read in reads]
