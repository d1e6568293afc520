"""The paper's attribution and ablation by TransformerLens, in which the paper's notebooks are written.

`benchmarks.paper_method` writes the procedure for the plain module, which is faster. TransformerLens keeps everything
that passes through the model, computes attention unfused, and gives the full outputs of all heads at all positions.
As in `paper_method` one text is read at a time, for each head in ablation; the notebooks read several as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.paper_method import Floats, PaperMethod, Text
from headtorch.core.model.trace import open_bridge
from headtorch.core.records import HeadId, NeuronId


class PaperNotebooks(PaperMethod):
    """The same questions, answered by TransformerLens."""

    def __init__(self, paper: PaperMethod) -> None:
        vars(self).update(vars(paper))
        self.bridge = open_bridge(self.hf)
        with torch.no_grad():
            constants = [torch.einsum("hd,hdm->hm", *pair) for pair in zip(self.constants, self.w_out, strict=True)]
        self.value_outputs = torch.stack(constants)  # layer head d_model

    @torch.no_grad()
    def attribution(self, text: Text, neuron: NeuronId, *, own_layer: bool = False) -> Floats:
        """⟨o_h, w_in⟩ at the end of a text, [layer, head], as `PaperMethod.attribution` gives it."""
        self.bridge.set_use_attn_result(True)
        _, cache = self.bridge.run_with_cache(self._tokens(text))
        n_layers = len(self.w_out)
        heads = cache.stack_head_results(n_layers).float()  # layer · head, text, position, d_model
        by_layer = heads[:, 0, -1].unflatten(0, (n_layers, self.n_heads)) - self.value_outputs
        dots = by_layer @ self.w_in[neuron.layer][neuron.index]  # layer head
        dots[neuron.layer + (own_layer and not self.is_parallel) :] = torch.nan
        return cast(Floats, dots.double().cpu().numpy())

    @torch.no_grad()
    def ablate(
        self,
        texts: Sequence[Text],
        neuron: NeuronId,
        token_id: int,
        heads: Sequence[HeadId],
        *,
        everywhere: bool = True,
    ) -> Floats:
        """What `PaperMethod.ablate` gives, for value vectors of 0 at all positions, value biases kept."""
        if not everywhere:
            raise ValueError("The notebooks ablate at all positions.")
        self.bridge.set_use_attn_result(False)
        seen: list[Tensor] = []

        def keep(activations: Tensor, hook: Any) -> None:
            seen.append(activations[0, -1, neuron.index].float())

        def predict(text: Text, hooks: list[Any]) -> list[float]:
            watched = [(f"blocks.{neuron.layer}.mlp.hook_post", keep), *hooks]
            logits = self.bridge.run_with_hooks(self._tokens(text), fwd_hooks=watched)
            log_p = logits[0, -1, : self.d_vocab].float().log_softmax(-1)[token_id]
            return [log_p.item(), seen.pop().item()]

        def without(head: HeadId) -> list[Any]:
            def no_values(values: Tensor, hook: Any) -> Tensor:
                by_head = values.view(*values.shape[:2], self.n_heads, -1)
                by_head[:, :, head.index] = self.constants[head.layer][head.index].to(values)
                return values

            return [(f"blocks.{head.layer}.attn.hook_v", no_values)]

        clean = np.array([predict(text, []) for text in texts])
        ablated = np.array([[predict(text, without(head)) for text in texts] for head in heads])
        changes: Floats = (ablated - clean).transpose(2, 0, 1)
        return changes

    def _tokens(self, text: Text) -> Tensor:
        return torch.tensor([list(text)], device=self.hf.device)
