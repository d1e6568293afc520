"""What the commands on a corpus share: their settings, the index that covers a neuron, the prompts to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.errors import InputError

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId
    from headtorch.core.settings import ClusterAccess, Settings
    from headtorch.core.watch import Watch


def anchored(name: str) -> str:
    """A relative path that exists made absolute, so that it means the same from another folder; names stay."""
    if name in {"", "demo", "sotu"}:
        return name
    try:
        path = Path(name).expanduser()
        return str(path.resolve()) if ("/" in name or path.is_dir()) and path.exists() else name
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no such home: what opens it says so
        return name


def cluster_access(ray: str | None, shards: int | None, workers: int | None) -> ClusterAccess | None:
    """What --ray, --shards and --workers ask for; raises InputError for the latter two alone."""
    from headtorch.core.settings import ClusterAccess

    if ray is None:
        given = {"HEADTORCH_RAY_SHARDS": shards, "HEADTORCH_RAY_WORKERS": workers}
        if any(value is not None and name not in os.environ for name, value in given.items()):
            raise InputError("--shards and --workers say how a Ray cluster scans; add --ray.")
        return None
    return ClusterAccess(address=ray, shards=shards, workers=workers)


def workspace_for(
    neuron: str, settings: Settings, device: str, watch: Watch, *, choose_layers: bool
) -> tuple[Workspace, NeuronId]:
    """A workspace whose index covers the neuron, and the neuron's address.

    `choose_layers`: nobody asked for layers; a neuron outside those of the settings gets an index of its own layer.
    """
    import msgspec

    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId

    address = NeuronId.parse(neuron)
    workspace = Workspace(settings, device=device, watch=watch)
    workspace.model.check_neuron(address)
    if choose_layers and address.layer not in workspace.layers:
        own = msgspec.structs.replace(settings, layers=str(address.layer))
        return Workspace(own, device=device, watch=watch, model=workspace.model), address
    workspace.neurons([neuron])
    return workspace, address


def text_row(workspace: Workspace, text: str) -> list[int]:
    """The row of a text; raises InputError where it is empty or longer than the model's context."""
    row = workspace.model.row(text)
    if len(row) < 2:
        raise InputError("The prompt has too few tokens: the first position is never read; give a longer text.")
    if len(row) > workspace.model.facts.context:
        raise InputError(
            f"The prompt has {len(row)} tokens and {workspace.model.facts.name} reads {workspace.model.facts.context}; "
            "give a shorter text."
        )
    return row
