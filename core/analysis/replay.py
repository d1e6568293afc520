"""The end of each row once more, from one layer on: what a neuron does when heads of that layer are replaced.

A head that is replaced at position p alone leaves the keys and values of the positions before p as they were, and the
residual stream that its own block reads. So the positions before p are run once; p alone is run again, from the head's
block to the neuron's, under all replacements of a layer together, by the model's own modules against the clean keys and
values. Keys and values of p itself are made anew in every block after the head's, for its residual stream has changed.
Replaced at all positions, all positions are run again from the head's block on.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from headtorch.core.analysis.batching import pass_tokens
from headtorch.core.causes import Where
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.model.stand_in import instead

CACHE_BYTES = 256 * 2**20  # of keys and values of all replacements of one pass


class _Enough(Exception):
    """Raised inside the forward pass when the neurons have been seen."""


@dataclass(frozen=True)
class Reading:
    """Neurons of one layer at the last position, in fp32."""

    activation: Float[Tensor, "row neuron"]
    pre_activation: Float[Tensor, "row neuron"]  # gated: of the gate


class Replay:
    """Rows of one length, run up to the MLP of `layer`, to be run again with heads replaced.

    `where`: heads will be replaced at the last position, or at all of them.
    """

    def __init__(
        self,
        model: LanguageModel,
        ids: Int[Tensor, "row position"],
        layer: int,
        neurons: Sequence[int],
        where: Where = "last",
    ) -> None:
        self._model, self._layer = model, layer
        self._neurons = torch.tensor(list(neurons), device=ids.device)
        n_before = ids.shape[1] - 1 if where == "last" else 0
        self._past = self._prefix(ids[:, :n_before]) if n_before else None
        self._length, self._ids = ids.shape[1], ids[:, n_before:]
        self._residuals: list[Tensor] = []  # entering each block, [row, position run, d_model]
        self._tails: list[tuple[Any, ...] | None] = []  # what a block returns beside the residual stream
        heads: list[Tensor] = []
        self.clean = self._first_pass(heads)
        self.heads: Float[Tensor, "row layer head d_head"] = torch.stack(heads, dim=1)  # z at the last position

    def rows_at_once(self, layer: int) -> int:
        """How many rows `replaced` should be given for heads of `layer`."""
        facts = self._model.facts
        per_token = 2 * facts.n_kv_heads * facts.d_head * self._model.hf.dtype.itemsize
        held = per_token * self._length * (self._layer - layer + 1)
        return max(1, min(pass_tokens(self._model.device) // self._ids.shape[1], CACHE_BYTES // held))

    @torch.no_grad()
    def replaced(
        self, layer: int, rows: Int[Tensor, "n"], heads: Int[Tensor, "n"], vectors: Float[Tensor, "n d_head"]
    ) -> Reading:
        """Row rows[i] with the z of head heads[i] of `layer` replaced by vectors[i], for every i."""
        blocks = self._model.block_modules
        every = torch.arange(len(rows), device=rows.device)

        def start(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (self._residuals[layer][rows], *inputs[1:])

        def replace(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            z = self._by_head(inputs[0], len(rows)).clone()
            z[every, :, heads] = vectors[:, None].to(z)
            return (z.reshape(inputs[0].shape), *inputs[1:])

        with ExitStack() as hooks:
            for block, tail in zip(blocks[:layer], self._tails, strict=False):
                hooks.enter_context(skipped(block, tail))
            hooks.callback(blocks[layer].register_forward_pre_hook(start).remove)
            output = self._model.attention_output_modules[layer]
            hooks.callback(output.register_forward_pre_hook(replace).remove)
            return self._run(self._ids[rows], self._past_of(rows, layer))

    @torch.no_grad()
    def _prefix(self, ids: Int[Tensor, "row position"]) -> DynamicCache:
        """Keys and values of the positions before the last one, up to the neurons' layer."""
        past = DynamicCache(config=self._model.hf.config)
        self._run(ids, past)
        return past

    def _past_of(self, rows: Int[Tensor, "n"], layer: int) -> DynamicCache | None:
        """The clean keys and values for these rows; blocks before `layer` are skipped and keep what they have."""
        if self._past is None:
            return None
        past = copy.copy(self._past)
        past.layers = [copy.copy(one) for one in self._past.layers]  # a block puts new tensors there, changing none
        for one in past.layers[layer : self._layer + 1]:
            cast(Any, one).batch_select_indices(rows)
        return past

    @torch.no_grad()
    def _first_pass(self, heads: list[Tensor]) -> Reading:
        every = torch.arange(len(self._ids), device=self._ids.device)

        def keep_residual(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._residuals.append(inputs[0])

        def keep_tail(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._tails.append(output[1:] if isinstance(output, tuple) else None)

        def keep_heads(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            heads.append(self._by_head(inputs[0], len(self._ids))[:, -1].float())

        with ExitStack() as hooks:
            for block in self._model.block_modules[: self._layer + 1]:
                hooks.callback(block.register_forward_pre_hook(keep_residual).remove)
                hooks.callback(block.register_forward_hook(keep_tail).remove)
            for output in self._model.attention_output_modules[: self._layer + 1]:
                hooks.callback(output.register_forward_pre_hook(keep_heads).remove)
            return self._run(self._ids, self._past_of(every, 0))

    def _by_head(self, z: Tensor, n_rows: int) -> Float[Tensor, "row position head d_head"]:
        return z.reshape(n_rows, -1, self._model.facts.n_heads, self._model.facts.d_head)

    def _run(self, ids: Int[Tensor, "row position"], past: DynamicCache | None) -> Reading:
        with fast_products(self._model.hf):
            pre, activation = run_until(self._model, self._layer, ids, past)
        return Reading(activation[:, -1, self._neurons].float(), pre[:, -1, self._neurons].float())


def run_until(
    model: LanguageModel, layer: int, ids: Int[Tensor, "row position"], past: DynamicCache | None = None
) -> tuple[Float[Tensor, "row position d_mlp"], Float[Tensor, "row position d_mlp"]]:
    """Pre-activations (gated: of the gate) and activations of `layer`; the forward pass ends there."""
    seen: list[Tensor] = []

    def keep_pre(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(output.reshape(*ids.shape, -1)[..., : model.facts.d_mlp])  # OPT flattens positions

    def keep_activation(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].reshape(*ids.shape, -1))
        raise _Enough

    first = model.mlp_input_modules[layer].register_forward_hook(keep_pre)
    last = model.mlp_output_modules[layer].register_forward_pre_hook(keep_activation)
    try:
        model.hf.base_model(input_ids=ids, past_key_values=past, use_cache=past is not None)
    except _Enough:
        pass
    finally:
        first.remove()
        last.remove()
    pre, activation = seen
    return pre, activation


def skipped(block: nn.Module, tail: tuple[Any, ...] | None) -> AbstractContextManager[None]:
    """While this holds `block` hands on the residual stream that it is given, with what it returns beside it."""

    def hand_on(residual: Tensor, *_args: Any, **_kwargs: Any) -> Any:
        return residual if tail is None else (residual, *tail)

    return instead(block, hand_on)
