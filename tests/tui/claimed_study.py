"""The made-up study with claims as a folder that the workbench can open: heads attributed on its prompts too."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from claims_study import BEST, HEADS, HEADS_OF, LAYERS, claims_events
from fake_engine import FakeEngine

from headtorch.core.events import AnyEvent, HeadsAttributed, PromptsFound
from headtorch.core.records import HeadId, HeadSummary, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.artefacts import Arrays
from headtorch.core.study.study import Study
from headtorch.tui.session import Session

SETTINGS = Settings(token_texts=(" of",), layers="12-23")


def claimed_folder(tmp_path: Path) -> Path:
    """The finished study on the disk."""
    folder = tmp_path / "claimed"
    with Study.create(folder, SETTINGS) as study:
        prompts: dict[NeuronId, int] = {}
        for event in claims_events(study):
            if isinstance(event, PromptsFound):
                prompts[event.neuron] = len(event.prompts)
            elif isinstance(event, HeadsAttributed):
                event = _attributed(study, event, prompts[event.neuron])
            study.append(event)
    return folder


def _attributed(study: Study, event: HeadsAttributed, prompts: int) -> AnyEvent:
    arrays = head_arrays(event.neuron, prompts)
    means = arrays["headline"].mean(axis=0)
    heads = [HeadId(layer, head) for layer in range(event.neuron.layer + 1) for head in range(HEADS)]
    summaries = [HeadSummary(head=head, mean_direct=float(means[head.layer, head.index]), beta=0.1) for head in heads]
    return msgspec.structs.replace(event, artefact=study.save_arrays(arrays), heads=summaries)


def head_arrays(neuron: NeuronId, prompts: int) -> Arrays:
    """Attribution per prompt: the heads that claims are about are the strongest."""
    random = np.random.default_rng(neuron.index)
    direct = random.normal(0.0, 0.02, (prompts, LAYERS, HEADS))
    for rank, head in enumerate(HEADS_OF.get(neuron, ())):
        direct[:, head.layer, head.index] += 2.0 - 0.5 * rank
    direct[:, neuron.layer + 1 :] = np.nan
    none, one = np.zeros((prompts, 1, LAYERS)), np.full((prompts, 1), 0.1)
    total = np.nansum(direct, axis=(1, 2))[:, None] + 3 * one
    return {
        "headline": direct,
        "heads": direct[:, None],
        "removal": -direct,
        "mlps": none,
        "attention_bias": none,
        "embed": one,
        "position": one,
        "bias": one,
        "pre_activation": total,
        "activation": np.maximum(total[:, 0], 0.0),
    }


def claimed_session(folder: Path, neuron: NeuronId = BEST) -> Session:
    """A session over the study in `folder` that looks at a neuron and its strongest head."""
    session = Session(FakeEngine(lambda message: None, lambda end: None))
    session.replay(folder)
    session.select_neuron(neuron)
    return session
