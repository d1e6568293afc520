"""Settings and workspaces for the commands that look at a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headtorch.core.settings import Settings


def anchored(name: str) -> str:
    """A relative path that exists made absolute, so that it means the same from another folder; names stay."""
    path = Path(name).expanduser()
    return str(path.resolve()) if ("/" in name or path.is_dir()) and path.exists() else name


def corpus_settings(
    *,
    model: str,
    revision: str | None,
    dtype: str,
    corpus: str,
    text_field: str,
    docs: int | None,
    tokens: int | None,
    layers: str,
    context: int,
    top_k: int,
    seed: int,
) -> Settings:
    """The settings that decide an activation index."""
    from headtorch.core.settings import Settings

    return Settings(
        model=anchored(model),
        revision=revision,
        dtype=dtype,
        corpus=anchored(corpus),
        text_field=text_field,
        docs=docs,
        tokens=tokens,
        layers=layers,
        context=context,
        top_k=top_k,
        seed=seed,
    )
