"""Effects by brute force: plain Hugging Face hooks, one whole forward pass for each head, prompt and replacement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import NeuronId

Change = Callable[[Tensor], None]  # of z [position, head·d_head], in place


def modules_of(hf: PreTrainedModel, which: str) -> list[nn.Module]:
    """The module that the family's layout calls `which`, block by block."""
    layout = LAYOUTS[hf.config.model_type]
    path = getattr(layout, which)
    return [block.get_submodule(path[0] if which == "mlp_reads" else path) for block in hf.get_submodule(layout.blocks)]


def neuron_at_end(
    hf: PreTrainedModel, row: list[int], neuron: NeuronId, changes: dict[int, Change]
) -> tuple[float, float]:
    """(activation, pre-activation) of the neuron at the end of the row, z of layers changed."""
    seen: dict[str, Tensor] = {}
    d_mlp = modules_of(hf, "mlp_output")[neuron.layer].weight.numel() // hf.get_input_embeddings().weight.shape[1]

    def change(layer: int) -> Callable[..., Any]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            z = inputs[0].clone()
            changes[layer](z.view(len(row), -1))
            return (z, *inputs[1:])

        return hook

    def keep_pre(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen["pre"] = output.reshape(len(row), -1)[-1, :d_mlp][neuron.index]

    def keep_activation(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen["activation"] = inputs[0].reshape(len(row), -1)[-1, neuron.index]

    with ExitStack() as hooks, torch.no_grad():
        for layer in changes:
            output = modules_of(hf, "attention_output")[layer]
            hooks.callback(output.register_forward_pre_hook(change(layer)).remove)
        reads, activation = modules_of(hf, "mlp_reads")[neuron.layer], modules_of(hf, "mlp_output")[neuron.layer]
        hooks.callback(reads.register_forward_hook(keep_pre).remove)
        hooks.callback(activation.register_forward_pre_hook(keep_activation).remove)
        hf(torch.tensor([row]), use_cache=False)
    return float(seen["activation"]), float(seen["pre"])


def head_outputs_at_end(hf: PreTrainedModel, row: list[int]) -> list[Tensor]:
    """z [head·d_head] of every layer at the end of the row."""
    seen: list[Tensor] = []
    with ExitStack() as hooks, torch.no_grad():
        for module in modules_of(hf, "attention_output"):
            keep = module.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].reshape(len(row), -1)[-1]))
            hooks.callback(keep.remove)
        hf(torch.tensor([row]), use_cache=False)
    return seen
