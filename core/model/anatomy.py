"""The modules of a loaded model that the method reads, found by its family's layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from headtorch.core.model.layouts import Layout


@dataclass(frozen=True)
class Norm:
    """A LayerNorm or RMSNorm: y = (x − centre(x)) / σ(x) · gain + bias."""

    module: nn.Module
    gain_offset: float

    @property
    def kind(self) -> Literal["layer", "rms"]:
        """Whether the norm subtracts the mean."""
        return "layer" if isinstance(self.module, nn.LayerNorm) else "rms"

    @property
    def gain(self) -> Float[Tensor, "d_model"]:
        """What the normalised vector is multiplied by, in fp32."""
        return cast(Tensor, self.module.weight).float() + self.gain_offset

    @property
    def bias(self) -> Float[Tensor, "d_model"] | None:
        """What is added afterwards, in fp32; None for an RMSNorm."""
        bias = cast(Tensor | None, getattr(self.module, "bias", None))
        return None if bias is None else bias.float()

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        """σ(x): √(var + ε) of a LayerNorm, √(mean square + ε) of an RMSNorm."""
        eps = float(cast(float, getattr(self.module, "eps", None) or getattr(self.module, "variance_epsilon", 0.0)))
        x = x.float()
        if self.kind == "layer":
            x = x - x.mean(-1, keepdim=True)
        return torch.sqrt(x.square().mean(-1) + eps)

    def passed_on(
        self, change: Float[Tensor, "... d_model"], scale: Float[Tensor, "..."]
    ) -> Float[Tensor, "... d_model"]:
        """What a change of x adds behind the norm while σ stays `scale`: centre(change) / σ · gain."""
        change = centred(change) if self.kind == "layer" else change
        return change / scale[..., None] * self.gain

    def passed_back(self, direction: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What reading `direction` behind the norm reads before it, times σ: centre(gain ⊙ direction)."""
        scaled = direction * self.gain.to(direction)
        return centred(scaled) if self.kind == "layer" else scaled


@dataclass(frozen=True)
class Block:
    """The parts of one transformer block."""

    attention_norm: Norm | None
    attention_output: nn.Module
    attention_post_norm: Norm | None
    mlp_norm: Norm | None
    mlp_reads: tuple[nn.Module, ...]
    mlp_output: nn.Module
    mlp_post_norm: Norm | None
    activation: nn.Module


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model, block by block."""

    layout: Layout
    blocks: tuple[Block, ...]
    final_norm: Norm
    unembedding: nn.Module

    @classmethod
    def of(cls, hf: PreTrainedModel, layout: Layout) -> Anatomy:
        """Find the parts of `hf`."""

        def norm(block: nn.Module, path: str | None) -> Norm | None:
            return None if path is None else Norm(block.get_submodule(path), layout.gain_offset)

        blocks = tuple(
            Block(
                attention_norm=norm(block, layout.attention_norm),
                attention_output=block.get_submodule(layout.attention_output),
                attention_post_norm=norm(block, layout.attention_post_norm),
                mlp_norm=norm(block, layout.mlp_norm),
                mlp_reads=tuple(block.get_submodule(path) for path in layout.mlp_reads),
                mlp_output=block.get_submodule(layout.mlp_output),
                mlp_post_norm=norm(block, layout.mlp_post_norm),
                activation=block.get_submodule(layout.activation),
            )
            for block in cast(nn.ModuleList, hf.get_submodule(layout.blocks))
        )
        final_norm = Norm(hf.get_submodule(layout.final_norm), layout.gain_offset)
        unembedding = cast(nn.Module, hf.get_output_embeddings())  # type: ignore[no-untyped-call]
        return cls(layout, blocks, final_norm, unembedding)


def out_in(module: nn.Module) -> Float[Tensor, "out in"]:
    """A projection's weight as a view [output, input], whichever way round the module stores it."""
    weight = cast(Tensor, module.weight)
    return weight.T if isinstance(module, Conv1D) else weight


def bias_of(module: nn.Module) -> Float[Tensor, "out"] | None:
    """A projection's bias in fp32, or None."""
    bias = cast(Tensor | None, getattr(module, "bias", None))
    return None if bias is None else bias.float()


def centred(x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
    """x minus its mean over the residual stream."""
    return x - torch.mean(x, dim=-1, keepdim=True)
