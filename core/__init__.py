"""headtorch as a library: open a study and read it as records and data frames, or run the analysis yourself.

    from headtorch.core import Study, scores_frame

    study = Study.open("demo-states-1a2b3c4d")
    study.state.scores  # records
    scores_frame(study.state)  # a pandas DataFrame

Names are loaded when first used, so that importing this package, or the records, loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headtorch.core.analysis.ablation import ablate_heads
    from headtorch.core.analysis.attribution import attribute
    from headtorch.core.analysis.baselines import baselines
    from headtorch.core.analysis.congruence import best_token_neurons, random_neurons, token_neurons
    from headtorch.core.analysis.lookup import sources
    from headtorch.core.analysis.scan import scan
    from headtorch.core.analysis.trim import collapse, trim
    from headtorch.core.corpus.corpus import open_corpus
    from headtorch.core.corpus.tokens import tokenize
    from headtorch.core.engine.pipeline import run_study
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.errors import HeadtorchError
    from headtorch.core.model.language_model import LanguageModel
    from headtorch.core.model.loading import open_model
    from headtorch.core.records import HeadId, NeuronId
    from headtorch.core.settings import Settings
    from headtorch.core.study.conclusions import conclusions
    from headtorch.core.study.frames import (
        ablations_frame,
        claim_places_frame,
        claims_frame,
        context_share_frame,
        heads_frame,
        matched_heads_frame,
        neurons_frame,
        prompts_frame,
        scores_frame,
    )
    from headtorch.core.study.report import write_report
    from headtorch.core.study.study import Study

_PLACES = {
    "HeadId": "records",
    "HeadtorchError": "errors",
    "LanguageModel": "model.language_model",
    "NeuronId": "records",
    "Settings": "settings",
    "Study": "study.study",
    "Workspace": "engine.workspace",
    "ablate_heads": "analysis.ablation",
    "ablations_frame": "study.frames",
    "attribute": "analysis.attribution",
    "baselines": "analysis.baselines",
    "best_token_neurons": "analysis.congruence",
    "claim_places_frame": "study.frames",
    "claims_frame": "study.frames",
    "collapse": "analysis.trim",
    "conclusions": "study.conclusions",
    "context_share_frame": "study.frames",
    "heads_frame": "study.frames",
    "matched_heads_frame": "study.frames",
    "neurons_frame": "study.frames",
    "open_corpus": "corpus.corpus",
    "open_model": "model.loading",
    "prompts_frame": "study.frames",
    "random_neurons": "analysis.congruence",
    "run_study": "engine.pipeline",
    "scan": "analysis.scan",
    "scores_frame": "study.frames",
    "sources": "analysis.lookup",
    "token_neurons": "analysis.congruence",
    "tokenize": "corpus.tokens",
    "trim": "analysis.trim",
    "write_report": "study.report",
}

__all__ = [
    "HeadId",
    "HeadtorchError",
    "LanguageModel",
    "NeuronId",
    "Settings",
    "Study",
    "Workspace",
    "ablate_heads",
    "ablations_frame",
    "attribute",
    "baselines",
    "best_token_neurons",
    "claim_places_frame",
    "claims_frame",
    "collapse",
    "conclusions",
    "context_share_frame",
    "heads_frame",
    "matched_heads_frame",
    "neurons_frame",
    "open_corpus",
    "open_model",
    "prompts_frame",
    "random_neurons",
    "run_study",
    "scan",
    "scores_frame",
    "sources",
    "token_neurons",
    "tokenize",
    "trim",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"headtorch.core.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
