"""What the pick screen asks of the disk and the system, each in a thread of its own; the slow imports are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.errors import HeadtorchError
from headtorch.core.model.preview import ModelPreview, preview_model
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.study.study import StudySummary, list_studies
from headtorch.tui.picking import machine
from headtorch.tui.picking.estimate import Measured, characters_of, measured

if TYPE_CHECKING:
    from headtorch.core.corpus.listing import CorpusEntry
    from headtorch.core.model.catalog import ModelAtHand

_tokens: dict[str, TokensAtHand] = {}  # by folder: read once


@dataclass(frozen=True)
class Facts:
    """What can be told of a model and a corpus before they are opened."""

    preview: ModelPreview | HeadtorchError | None  # None: the model would be downloaded
    tokens: TokensAtHand | HeadtorchError | None = None
    measured: Measured = field(default_factory=lambda: Measured({}, {}))
    characters: int | None = None


def models() -> list[ModelAtHand]:
    """The models at hand."""
    from headtorch.core.model.catalog import models_at_hand

    return models_at_hand()


def corpora() -> list[CorpusEntry]:
    """The corpora at hand."""
    from headtorch.core.corpus.listing import catalog

    return catalog()


def studies() -> list[StudySummary]:
    """The studies, the newest first."""
    return list_studies()


def devices() -> list[machine.Device]:
    """The devices of this machine."""
    return machine.devices()


def facts(model: str, corpus: str) -> Facts:
    """Everything about this model and this corpus. Raises ModelError where there is no such model."""
    preview = preview_model(model)
    if preview is None:
        return Facts(None)
    return Facts(preview, _tokens_of(preview), measured(model, list_studies()), characters_of(corpus))


def _tokens_of(preview: ModelPreview) -> TokensAtHand | HeadtorchError:
    try:
        if preview.folder not in _tokens:
            _tokens[preview.folder] = TokensAtHand.open(Path(preview.folder))
        return _tokens[preview.folder]
    except HeadtorchError as error:
        return error
