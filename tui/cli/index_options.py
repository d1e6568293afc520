"""The options that decide an activation index, written once and spread over the commands that read one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from headtorch.core.engine.presets import DEFAULT_LAYERS
from headtorch.tui.cli import options
from headtorch.tui.cli.workspaces import anchored, workspace_for

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.records import NeuronId
    from headtorch.core.settings import Settings
    from headtorch.core.watch import Watch


@dataclass(frozen=True)
class IndexOptions:
    """What is read, by which model, and how much of it the index keeps."""

    layers: options.IndexLayers = None
    context: options.Context = 256
    top_k: options.TopK = 128
    model: options.Model = "demo"
    revision: options.Revision = None
    device: options.Device = "auto"
    dtype: options.Dtype = "auto"
    corpus: options.Corpus = "sotu"
    text_field: options.TextField = "text"
    docs: options.Docs = None
    tokens: options.Tokens = None
    seed: options.Seed = 0

    def settings(self, top: int = 0) -> Settings:
        """The settings of the index, which keeps at least the `top` strongest places."""
        from headtorch.core.settings import Settings

        return Settings(
            model=anchored(self.model),
            revision=self.revision,
            dtype=self.dtype,
            corpus=anchored(self.corpus),
            text_field=self.text_field,
            docs=self.docs,
            tokens=self.tokens,
            layers=DEFAULT_LAYERS if self.layers is None else self.layers,
            context=self.context,
            top_k=max(self.top_k, top),
            seed=self.seed,
        )

    def workspace(self, neuron: str, watch: Watch, top: int = 0) -> tuple[Workspace, NeuronId]:
        """A workspace whose index covers the neuron, and the neuron's address."""
        return workspace_for(neuron, self.settings(top), self.device, watch, choose_layers=self.layers is None)


@dataclass(frozen=True)
class ScanOptions(IndexOptions):
    """The same for a command that is not about one neuron."""

    layers: options.Layers = DEFAULT_LAYERS
    shipped_index: options.ShippedIndex = True


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter that is a dataclass of options taken apart into an option for each field."""
    parameters = inspect.signature(command, eval_str=True).parameters
    bundles: dict[str, Any] = {name: one.annotation for name, one in parameters.items() if is_dataclass(one.annotation)}

    @wraps(command)
    def taking_options(**given: Any) -> None:
        bundled = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in bundles.items()
        }
        command(**bundled, **given)

    listed = [option for name, one in parameters.items() for option in _options(one, bundles.get(name))]
    in_order = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in listed]
    taking_options.__signature__ = inspect.Signature(in_order)  # type: ignore[attr-defined]
    return taking_options


def _options(parameter: inspect.Parameter, bundle: Any) -> list[inspect.Parameter]:
    """The parameter itself, or one for each field of the dataclass that it is."""
    return [parameter] if bundle is None else list(inspect.signature(bundle, eval_str=True).parameters.values())
