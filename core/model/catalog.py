"""The models at hand, without loading torch: the demo model, the Hugging Face cache and local folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import huggingface_hub

from headtorch.core.errors import ModelError
from headtorch.core.model.sources import (
    CONFIG,
    DEMO,
    DEMO_FOLDER,
    check_folder,
    missing_files,
    read_config,
    weight_files,
)
from headtorch.core.records import Record


class ModelAtHand(Record, frozen=True, kw_only=True):
    """A model that can be opened without a download, or why it cannot."""

    name: str  # what --model takes
    kind: Literal["demo", "hub", "folder"]
    path: str
    family: str | None  # Hugging Face model_type
    bytes: int  # of the weights
    problem: str | None  # None: ready to open


def models_at_hand(folders: Iterable[Path] | None = None) -> list[ModelAtHand]:
    """The demo model, then cached Hugging Face models, then model folders among `folders`.

    `folders` are looked at one level deep; without them it is the current folder.
    """
    found = [_describe(DEMO, "demo", DEMO_FOLDER)] if DEMO_FOLDER.is_dir() else []
    found += [_describe(name, "hub", folder) for name, folder in sorted(_cached_models())]
    for root in [Path.cwd()] if folders is None else folders:
        inside = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        found += [_describe(str(p), "folder", p) for p in [root, *inside] if (p / CONFIG).is_file()]
    return [model for model in found if model.family is not None or model.kind == "demo"]


def _cached_models() -> Iterator[tuple[str, Path]]:
    try:
        repos = huggingface_hub.scan_cache_dir().repos
    except huggingface_hub.errors.CacheNotFound:
        return
    for repo in repos:
        snapshots = sorted(repo.revisions, key=lambda r: ("main" in r.refs, r.last_modified))
        if repo.repo_type == "model" and snapshots and (snapshots[-1].snapshot_path / CONFIG).is_file():
            yield repo.repo_id, snapshots[-1].snapshot_path


def _describe(name: str, kind: Literal["demo", "hub", "folder"], folder: Path) -> ModelAtHand:
    family, size, problem = None, 0, None
    try:
        family = str(read_config(folder, name).get("model_type")) if (folder / CONFIG).is_file() else None
        files = set(weight_files(folder)) - set(missing_files(folder))
        size = sum((folder / file).stat().st_size for file in files)
        check_folder(folder, name)
    except ModelError as error:
        problem = str(error)
    return ModelAtHand(name=name, kind=kind, path=str(folder), family=family, bytes=size, problem=problem)
