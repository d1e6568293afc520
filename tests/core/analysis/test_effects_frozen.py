"""Where effect and attribution must agree: everything held still but the one head that is scaled.

With patterns, norm scales, MLP outputs and all other heads' outputs frozen, scaling what head h writes at p (value bias
left as it is) by 1 + ε moves the pre-activation by ε times its direct attribution. This separates definition from bug.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from naive_effects import modules_of
from tiny_models import FAMILIES, ragged_rows, tiny_hf, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.analysis.attribution import attribute
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import NeuronId

SUPPORTED = [family for family in FAMILIES if family != "falcon_sequential"]  # attributed; the other is not
EPSILON = 0.5


class Frozen:
    """A model in fp64 that holds z, MLP outputs and the scales of norms as they are on one row.

    `pre_activations` takes what is added to z at p, layer by layer.
    """

    def __init__(self, hf: PreTrainedModel, row: list[int], neuron: NeuronId) -> None:
        self.hf, self.row, self.neuron = copy.deepcopy(hf).double(), row, neuron
        self.layout = LAYOUTS[hf.config.model_type].for_config(hf.config.to_dict())
        self.outputs = modules_of(self.hf, "attention_output")
        self.seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        with ExitStack() as hooks, torch.no_grad():
            for module in self._held():
                hooks.callback(module.register_forward_hook(self._keep).remove)
            self.hf(torch.tensor([row]), use_cache=False)

    def _held(self) -> list[nn.Module]:
        names = ["attention_output", "mlp_output", "mlp_norm", "attention_post_norm"]
        return [module for name in names if getattr(self.layout, name) for module in self._modules(name)]

    def _modules(self, which: str) -> list[nn.Module]:
        path = getattr(self.layout, which)
        return [block.get_submodule(path) for block in self.hf.get_submodule(self.layout.blocks)]

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.seen[module] = inputs[0].clone(), output.clone()

    def pre_activations(self, added: dict[int, Tensor]) -> np.ndarray:
        reads: list[Tensor] = []
        block = self.hf.get_submodule(self.layout.blocks)[self.neuron.layer]
        with ExitStack() as hooks, torch.no_grad():
            for layer, module in enumerate(self.outputs):
                hooks.callback(module.register_forward_pre_hook(self._frozen_z(added.get(layer))).remove)
            for module in self._modules("mlp_output"):
                hooks.callback(module.register_forward_hook(lambda m, _x, _y: self.seen[m][1].clone()).remove)
            for which in ("mlp_norm", "attention_post_norm"):
                for module in self._modules(which) if getattr(self.layout, which) else []:
                    hooks.callback(module.register_forward_hook(self._frozen_norm).remove)
            for path in self.layout.mlp_reads:
                keep = block.get_submodule(path).register_forward_hook(lambda _m, _x, y: reads.append(y))
                hooks.callback(keep.remove)
            self.hf(torch.tensor([self.row]), use_cache=False)
        ends = [read.reshape(len(self.row), -1)[-1] for read in reads]
        ends = list(ends[0].chunk(2)) if self.layout.fused_gate_up else ends
        return np.array([float(end[self.neuron.index]) for end in ends])

    def _frozen_z(self, added: Tensor | None) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            z = self.seen[module][0].clone()
            if added is not None:
                z.view(len(self.row), -1)[-1] += added
            return (z, *inputs[1:])

        return hook

    def _frozen_norm(self, module: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> Tensor:
        """What the norm gave, plus the change of what it reads over the scale that it had: by the textbook."""
        x, y = self.seen[module]
        change = inputs[0] - x
        if isinstance(module, nn.LayerNorm):
            change = change - change.mean(-1, keepdim=True)
            scale = (x.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
        else:
            eps = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
            scale = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        return y + change / scale * (module.weight + self.layout.gain_offset)


@pytest.mark.parametrize("family", SUPPORTED)
def test_scaling_a_head_with_all_else_frozen_moves_the_pre_activation_by_its_attribution(family: str) -> None:
    model, neuron = tiny_model(family), NeuronId(2, 11)
    [row] = ragged_rows(model, 1, seed=3)
    direct = attribute(model, [row], [neuron]).heads[0]  # read layer head
    frozen, trace = Frozen(tiny_hf(family), row, neuron), model.trace([row], neuron.layer, sources=False)
    before, d_head = frozen.pre_activations({}), model.facts.d_head
    for k, h in np.argwhere(model.eligible_heads(neuron.layer)).tolist():
        added = torch.zeros(model.facts.n_heads * d_head, dtype=torch.float64)
        added[h * d_head : (h + 1) * d_head] = EPSILON * trace.heads[0, k, h]  # z without its value bias
        moved = frozen.pre_activations({k: added}) - before
        np.testing.assert_allclose(moved, EPSILON * direct[:, k, h], atol=1e-4 * max(1, np.abs(moved).max()))
    assert np.nanmax(np.abs(direct)) > 0.1
