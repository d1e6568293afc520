"""The inspection face: everything that reaches one layer's MLP at the last position of each row.

Served by TransformerBridge over a copy of the modules that shares the parameters: the bridge rewires the modules it
is given and switches their config to eager attention, which must not happen to the model that scans.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.model.anatomy import Anatomy, centred
from headtorch.core.model.products import fast_products
from headtorch.core.model.quiet import quiet
from headtorch.core.model.weights import Weights
from headtorch.core.records import ModelFacts

BATCH_TOKENS = 4096  # positions a forward pass of the bridge; eager attention holds [row, head, position, position]


@dataclass(frozen=True)
class Trace:
    """Everything that reaches the MLP of `layer` at each row's last position p, in fp32.

    The layer axis of heads, attention_bias, patterns and values runs over the layers whose attention feeds the MLP:
    0..layer for sequential blocks, 0..layer − 1 for parallel ones. With W_O = head_outputs(k):

        residual = embed + position + Σ_k [Σ_h o_kh + attention_bias_k] + Σ_k mlps_k
        o_kh = heads_kh W_O[h], or post_gain_k ⊙ (heads_kh W_O[h]) / post_scale_k where a norm follows attention
        heads_kh = Σ_s patterns_kh[s] · values_ksh
        pre_activation = ⟨read_directions, residual⟩ / scale + read_biases

    Heads and values leave out the value bias and what the bias of the norm before attention adds through W_V: these
    are the same at every source, and count in attention_bias.
    """

    layer: int
    lengths: Int[Tensor, "row"]
    embed: Float[Tensor, "row d_model"]
    position: Float[Tensor, "row d_model"] | None  # None: the model has no position embedding
    heads: Float[Tensor, "row layer head d_head"]
    attention_bias: Float[Tensor, "row layer d_model"]  # b_O and value biases, through the post-norm
    mlps: Float[Tensor, "row mlp_layer d_model"]  # MLPs 0..layer − 1, after their post-norm
    residual: Float[Tensor, "row d_model"]  # what the norm of the MLP (or the MLP) reads
    scale: Float[Tensor, "row"]  # σ of that norm; 1 where there is none
    post_scale: Float[Tensor, "row layer"] | None
    post_gain: Float[Tensor, "layer d_model"] | None
    patterns: Float[Tensor, "row layer head position"]  # of p; 0 where padded
    values: Float[Tensor, "row layer position head d_head"]  # KV heads repeated for their heads; 0 where padded
    pre_activation: Float[Tensor, "row read d_mlp"]  # as observed in the model
    activation: Float[Tensor, "row d_mlp"]  # as observed in the model


class _Enough(Exception):
    """Raised inside the forward pass when the layer has been seen."""


class Inspector:
    """Traces a model through TransformerBridge."""

    def __init__(self, hf: PreTrainedModel, anatomy: Anatomy, weights: Weights, facts: ModelFacts) -> None:
        self._anatomy, self._weights, self._facts = anatomy, weights, facts
        self._hf, self._device = hf, hf.device
        self._constants: dict[int, Tensor] = {}
        self.bridge = open_bridge(hf)

    @torch.no_grad()
    def trace(self, rows: Sequence[Sequence[int]], layer: int, *, sources: bool = True) -> Trace:
        """Trace every row's last position. `sources=False` leaves the position axis of patterns and values empty."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        width = max(map(len, rows)) if sources else 0
        pieces = [self._batch([rows[i] for i in batch], layer, width) for batch in _batches(order, rows)]
        back = torch.argsort(torch.tensor(order, device=self._device))
        return Trace(**{f.name: _joined([getattr(piece, f.name) for piece in pieces], f.name, back)
                        for f in fields(Trace)})  # fmt: skip

    @torch.no_grad()
    def patterns(self, row: Sequence[int]) -> Float[Tensor, "layer head query key"]:
        """The attention patterns of one row."""
        seen: list[Tensor] = []
        hooks = [
            (f"blocks.{k}.attn.hook_pattern", lambda x, hook: seen.append(x[0].float()))
            for k in range(self._facts.n_layers)
        ]
        with self.bridge.hooks(fwd_hooks=hooks):
            self.bridge(torch.tensor([list(row)], device=self._device))
        return torch.stack(seen)

    def _batch(self, rows: Sequence[Sequence[int]], layer: int, width: int) -> Trace:
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long, device=self._device)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = torch.tensor(row, device=self._device)
        seen = self._run(padded, lengths, layer, width)
        n_attention = layer if self._facts.parallel else layer + 1
        residual, z = seen["residual"], _stack(seen, "z", n_attention, padded, self._z_shape)
        blocks = self._anatomy.blocks
        constants = [self.value_constants(k) for k in range(n_attention)]  # each [head, d_head]
        heads = z - torch.stack(constants) if constants else z
        post_scale, post_gain = self._post_norm(seen, n_attention)
        norm = blocks[layer].mlp_norm
        return Trace(
            layer=layer,
            lengths=lengths,
            embed=seen["start"] - seen["position"] if "position" in seen else seen["start"],
            position=seen.get("position"),
            heads=heads,
            attention_bias=self._attention_bias(constants, post_scale, post_gain, len(rows)),
            mlps=_stack(seen, "mlp", layer, padded, (self._facts.d_model,)),
            residual=residual,
            scale=norm.scale(residual) if norm else torch.ones_like(residual[:, 0]),
            post_scale=post_scale,
            post_gain=post_gain,
            patterns=_stack(seen, "pattern", n_attention, padded, (self._facts.n_heads, width)),
            values=_stack(seen, "value", n_attention, padded, (width, *self._z_shape)),
            pre_activation=torch.stack([seen[f"pre {i}"] for i in range(2 if self._facts.gated else 1)], dim=1),
            activation=seen["activation"],
        )

    @property
    def _z_shape(self) -> tuple[int, int]:
        return self._facts.n_heads, self._facts.d_head

    def value_constants(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V + W_V β: the part of every value vector that does not depend on the token, for each head."""
        if layer not in self._constants:
            self._constants[layer] = self._value_constants(layer)
        return self._constants[layer]

    def _value_constants(self, layer: int) -> Float[Tensor, "head d_head"]:
        linear = cast(nn.Linear, self.bridge.blocks[layer].attn.v.original_component)
        weight = linear.weight.float()  # [kv_head * d_head, d_model]
        norm = self._anatomy.blocks[layer].attention_norm
        constant = weight.new_zeros(len(weight)) if norm is None or norm.bias is None else weight @ norm.bias
        if linear.bias is not None:
            constant = constant + linear.bias.float()
        return self._for_heads(constant.reshape(-1, self._facts.d_head))

    def value_weights(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_V of each head, with the gain (and centring) of the norm before attention folded in."""
        linear = cast(nn.Linear, self.bridge.blocks[layer].attn.v.original_component)
        weight = linear.weight.float()  # [kv_head * d_head, d_model]
        norm = self._anatomy.blocks[layer].attention_norm
        if norm is not None:
            weight = centred(weight * norm.gain) if norm.kind == "layer" else weight * norm.gain
        by_head = weight.T.reshape(weight.shape[1], -1, self._facts.d_head)  # [d_model, kv_head, d_head]
        return self._for_heads(by_head).movedim(1, 0)

    def _for_heads(self, x: Float[Tensor, "... kv_head d_head"]) -> Float[Tensor, "... head d_head"]:
        return x.repeat_interleave(self._facts.n_heads // x.shape[-2], dim=-2)

    def _attention_bias(
        self, constants: list[Tensor], post_scale: Tensor | None, post_gain: Tensor | None, n_rows: int
    ) -> Float[Tensor, "row layer d_model"]:
        biases = torch.zeros(len(constants), self._facts.d_model, device=self._device)  # [layer, d_model]
        for k, constant in enumerate(constants):
            biases[k] = torch.einsum("he,hed->d", constant, self._weights.head_outputs(k))
            output_bias = self._weights.output_bias(k)
            if output_bias is not None:
                biases[k] += output_bias
        if post_scale is None or post_gain is None:
            return biases.expand(n_rows, -1, -1)
        return post_gain * biases / post_scale[:, :, None]

    def _post_norm(self, seen: dict[str, Tensor], n_attention: int) -> tuple[Tensor | None, Tensor | None]:
        norms = [block.attention_post_norm for block in self._anatomy.blocks[:n_attention]]
        if self._anatomy.layout.attention_post_norm is None:
            return None, None
        rows = len(seen["residual"])
        scales = [norm.scale(seen[f"attention {k}"]) for k, norm in enumerate(norms) if norm]
        gains = [norm.gain for norm in norms if norm]
        if not scales:
            empty = seen["residual"].new_zeros
            return empty(rows, 0), empty(0, self._facts.d_model)
        return torch.stack(scales, dim=1), torch.stack(gains)

    def _run(self, padded: Tensor, lengths: Tensor, layer: int, width: int) -> dict[str, Tensor]:
        """One forward pass up to the activation of `layer`; what it saw at the last positions, in fp32."""
        seen: dict[str, Tensor] = {}
        rows = torch.arange(len(padded), device=self._device)
        last = lengths - 1
        real = torch.arange(padded.shape[1], device=self._device) < lengths[:, None]  # [row, position]

        def at_last(name: str) -> Callable[[Tensor], None]:
            def keep(x: Tensor) -> None:
                x = (
                    x.reshape(*padded.shape, *x.shape[2:])
                    if x.shape[:2] == padded.shape
                    else x.expand(len(rows), -1, -1)
                )
                seen[name] = x[rows, last].float()

            return keep

        def pattern(name: str) -> Callable[[Tensor], None]:
            def keep(x: Tensor) -> None:  # [row, head, position, position]
                row = x[rows, :, last].float() * real[:, None]
                seen[name] = nn.functional.pad(row, (0, width - row.shape[-1]))

            return keep

        def value(name: str, k: int) -> Callable[[Tensor], None]:
            def keep(x: Tensor) -> None:  # [row, position, kv_head, d_head]
                heads = (self._for_heads(x.float()) - self.value_constants(k)) * real[..., None, None]
                seen[name] = nn.functional.pad(heads, (0, 0, 0, 0, 0, width - heads.shape[1]))

            return keep

        def stop(x: Tensor) -> None:
            at_last("activation")(x)
            raise _Enough

        wanted: dict[str, Callable[[Tensor], None]] = {"blocks.0.hook_in": at_last("start")}
        if "hook_pos_embed" in self.bridge.hook_dict:
            wanted["hook_pos_embed"] = at_last("position")
        for k in range(layer if self._facts.parallel else layer + 1):
            wanted[f"blocks.{k}.attn.o.hook_in"] = at_last(f"z {k}")
            if self._facts.post_norm:
                wanted[f"blocks.{k}.attn.hook_out"] = at_last(f"attention {k}")
            if width:
                wanted[f"blocks.{k}.attn.hook_pattern"] = pattern(f"pattern {k}")
                wanted[f"blocks.{k}.attn.v.hook_out"] = value(f"value {k}", k)
        for k in range(layer):
            wanted[f"blocks.{k}.hook_mlp_out"] = at_last(f"mlp {k}")
        wanted[f"blocks.{layer}.{self._mlp_reads_at()}.hook_in"] = at_last("residual")
        for i, name in enumerate(("mlp.gate", "mlp.in") if self._facts.gated else ("mlp.in",)):
            wanted[f"blocks.{layer}.{name}.hook_out"] = at_last(f"pre {i}")
        wanted[f"blocks.{layer}.mlp.out.hook_in"] = stop
        hooks = [(name, lambda x, hook, keep=keep: keep(x)) for name, keep in wanted.items()]
        try:
            with self.bridge.hooks(fwd_hooks=hooks), fast_products(self._hf):
                self.bridge(padded)
        except _Enough:
            pass
        return seen

    def _mlp_reads_at(self) -> str:
        layout = self._anatomy.layout
        if layout.mlp_norm is None:
            return "mlp"
        return "ln1" if layout.mlp_norm == layout.attention_norm else "ln2"


def open_bridge(hf: PreTrainedModel) -> Any:
    """A TransformerBridge over a copy of `hf` that shares its parameters and buffers but neither modules nor config."""
    # Here and not above: importing TransformerLens takes seconds, and scanning never needs it.
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    shared = {id(tensor): tensor for tensor in (*hf.parameters(), *hf.buffers())}
    twin = copy.deepcopy(hf, cast(dict[int, Any], shared))
    with quiet():
        twin.set_attn_implementation("eager")
        return build_bridge_from_module(twin, type(hf).__name__, hf_config=twin.config)


def _batches(order: Sequence[int], rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows in the order of length, cut where a padded batch would exceed BATCH_TOKENS positions."""
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * len(rows[i]) <= BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _stack(seen: dict[str, Tensor], name: str, n: int, padded: Tensor, shape: tuple[int, ...]) -> Tensor:
    found = [seen.pop(f"{name} {k}") for k in range(n) if f"{name} {k}" in seen]
    return torch.stack(found, dim=1) if found else torch.zeros(len(padded), n, *shape, device=padded.device)


def _joined(pieces: list[Any], name: str, back: Tensor) -> Any:
    """Batches put together again, in the order that the rows came in."""
    if name in ("layer", "post_gain") or pieces[0] is None:
        return pieces[0]
    return torch.cat(pieces)[back]
