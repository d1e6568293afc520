"""What was chosen last, in a file of its own; a loss of it is no loss, so whatever is wrong with it is passed over."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from headtorch.core.errors import HeadtorchError
from headtorch.core.files import make_folder
from headtorch.core.study.files import write_atomic
from headtorch.core.study.places import home

FILE = "state.json"
KEPT = 8  # recent models and corpora


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the pick screen."""

    model: str
    corpus: str
    tokens: tuple[str, ...]
    layers: str
    preset: str
    device: str
    explainer: str = "rules"


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The last choices, and models and corpora studied before, the newest first."""

    last: Choices | None = None
    models: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()


def remembered() -> Remembered:
    """What the file holds; nothing where it is missing or damaged."""
    try:
        return msgspec.json.decode(_path().read_bytes(), type=Remembered)
    except (OSError, ValueError):
        return Remembered()


def remember(choices: Choices) -> None:
    """Keep the choices for the next time; where nothing can be written, nothing is kept."""
    before = remembered()
    now = Remembered(
        last=choices,
        models=_first(choices.model, before.models),
        corpora=_first(choices.corpus, before.corpora),
    )
    with suppress(OSError, HeadtorchError):
        make_folder(_path().parent)
        write_atomic(_path(), msgspec.json.encode(now))


def _first(name: str, others: tuple[str, ...]) -> tuple[str, ...]:
    return (name, *(other for other in others if other != name))[:KEPT]


def _path() -> Path:
    return home() / FILE
