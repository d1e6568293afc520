"""Is the inspection face the same model as the scan face, and do the parts make up the whole? Asked once per model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.errors import ModelError
from headtorch.core.model.trace import Trace

if TYPE_CHECKING:
    from headtorch.core.model.language_model import LanguageModel

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}  # of the largest number compared
ROW_TOKENS = 12


def head_contributions(model: LanguageModel, trace: Trace) -> Float[Tensor, "row layer head d_model"]:
    """o_h: what each head adds to the residual stream, without its value bias and after the post-norm."""
    outputs = [torch.einsum("rhe,hed->rhd", trace.heads[:, k], model.head_outputs(k)) for k in range(_layers(trace))]
    if not outputs:
        return trace.residual.new_zeros(len(trace.residual), 0, model.facts.n_heads, model.facts.d_model)
    heads = torch.stack(outputs, dim=1)
    if trace.post_scale is None or trace.post_gain is None:
        return heads
    return heads * trace.post_gain[:, None] / trace.post_scale[:, :, None, None]


def sum_of_parts(model: LanguageModel, trace: Trace) -> Float[Tensor, "row d_model"]:
    """Embedding, position, heads, attention biases and earlier MLPs together: equals `trace.residual`."""
    parts = trace.embed + head_contributions(model, trace).sum((1, 2))
    parts = parts + trace.attention_bias.sum(1) + trace.mlps.sum(1)
    return parts if trace.position is None else parts + trace.position


def check_faces(model: LanguageModel) -> None:
    """Compare both faces, and the parts with their sum, on one row at the last layer.

    Raises:
        ModelError: they differ; says by how much.
    """
    layer = model.facts.n_layers - 1
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.facts.d_vocab, (ROW_TOKENS,), generator=generator).tolist()
    row = model.with_first_token(ids)[: model.facts.context]
    trace = model.trace([row], layer, sources=False)
    scanned = model.mlp_activations(torch.tensor([row]), [layer])[layer][:, -1].float()
    for what, one, other in (
        ("its activations in the two forward passes", scanned, trace.activation),
        ("its residual stream and the sum of its parts", trace.residual, sum_of_parts(model, trace)),
    ):
        difference = float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))
        if not difference <= TOLERANCE.get(model.hf.dtype, 1e-4):
            raise ModelError(
                f"{model.facts.name} cannot be taken apart exactly: {what} differ by {difference:.1e} of their size."
            )


def _layers(trace: Trace) -> int:
    return trace.heads.shape[1]
