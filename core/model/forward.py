"""The scan face: the plain Hugging Face module with fused attention, stopped after the last MLP that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.model.anatomy import Anatomy
from headtorch.core.model.products import fast_products


class _Enough(Exception):
    """Raised inside the forward pass when everything asked for has been seen."""


def mlp_activations(
    hf: PreTrainedModel, anatomy: Anatomy, rows: Int[Tensor, "row position"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "row position d_mlp"]]:
    """Post-nonlinearity activations (gated: act(gate) · up) of `layers`, in the model's dtype.

    Right-padded rows need no mask: a causal model's earlier positions do not see the padding.
    """
    if not layers:
        return {}
    seen: dict[int, Tensor] = {}
    last = max(layers)

    def keep(layer: int, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen[layer] = cast(Tensor, inputs[0]).reshape(*rows.shape, -1)  # OPT flattens positions
        if layer == last:
            raise _Enough

    with ExitStack() as hooks:
        for layer in sorted(set(layers)):
            module = anatomy.blocks[layer].mlp_output
            handle = module.register_forward_pre_hook(lambda m, i, layer=layer: keep(layer, m, i))
            hooks.callback(handle.remove)
        try:
            with torch.no_grad(), fast_products(hf):
                hf.base_model(input_ids=rows, use_cache=False)
        except _Enough:
            pass
    return seen


def logits(
    hf: PreTrainedModel, rows: Int[Tensor, "row position"], d_vocab: int
) -> Float[Tensor, "row position d_vocab"]:
    """Logits in fp32, without the rows of the unembedding that belong to no token."""
    with torch.no_grad(), fast_products(hf):
        return cast(Tensor, hf(input_ids=rows, use_cache=False).logits)[..., :d_vocab].float()
