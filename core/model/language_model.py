"""The one model object of headtorch: a Hugging Face causal language model in the terms of heads and neurons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headtorch.core.errors import AddressError, InputError, ModelError
from headtorch.core.model import forward
from headtorch.core.model.addresses import parse_layers
from headtorch.core.model.anatomy import Anatomy, Norm
from headtorch.core.model.checks import check_faces
from headtorch.core.model.facts import model_facts
from headtorch.core.model.fingerprint import module_fingerprint
from headtorch.core.model.layouts import find_layout
from headtorch.core.model.trace import Inspector, Trace
from headtorch.core.model.vocabulary import Vocabulary
from headtorch.core.model.weights import ALL, Pick, Weights, activate
from headtorch.core.records import HeadId, ModelFacts, NeuronId

__all__ = ["LanguageModel", "Trace"]


class LanguageModel:
    """A causal language model with two faces: the plain module for scanning, TransformerBridge for inspection.

    Make one with `headtorch.core.model.loading.open_model`, or with `from_hf` from a model already in memory. The
    model stays unprocessed; weights are folded when they are read, in fp32.
    """

    def __init__(self, hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, anatomy: Anatomy, facts: ModelFacts):
        self.hf = hf
        self.facts = facts
        self.device: torch.device = hf.device
        self._anatomy = anatomy
        self._vocabulary = Vocabulary(tokenizer, facts.d_vocab)
        self._inspector: Inspector | None = None
        self._weights = Weights(anatomy, facts.d_vocab, facts.n_heads)

    @classmethod
    def from_hf(
        cls,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "model",
        *,
        revision: str | None = None,
        fingerprint: str | None = None,
    ) -> LanguageModel:
        """Wrap a Hugging Face model that is already in memory. It is put into evaluation mode, without gradients.

        Raises:
            ModelError: the model's family is not supported.
        """
        layout = find_layout(hf.config.to_dict(), name)
        hf.train(False).requires_grad_(False)
        anatomy = Anatomy.of(hf, layout)
        fingerprint = fingerprint or module_fingerprint(hf)
        facts = model_facts(hf, tokenizer, anatomy, name=name, revision=revision, fingerprint=fingerprint)
        return cls(hf, tokenizer, anatomy, facts)

    # ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The Hugging Face tokenizer."""
        return self._vocabulary.tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`: no first token, no special tokens added."""
        return self._vocabulary.encode(text)

    def row(self, text: str) -> list[int]:
        """What the model reads for `text`: its token ids behind the first token."""
        return self.with_first_token(self.encode(text))

    def with_first_token(self, ids: Sequence[int]) -> list[int]:
        """`ids` behind the model's first token, where it has one."""
        first = self.facts.first_token
        return [*ids] if first is None else [first, *ids]

    def token_text(self, token_id: int) -> str:
        """The text of one token, e.g. " States"."""
        return self._vocabulary.text(token_id)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token."""
        return [self._vocabulary.text(int(i)) for i in ids]

    def single_token(self, text: str) -> int:
        """The id of the token whose text is `text`; raises TokenError with the pieces and near single tokens."""
        return self._vocabulary.single(text)

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """Hash of everything that decides how text becomes token ids."""
        return self._vocabulary.fingerprint

    # ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────

    def check_neuron(self, neuron: NeuronId) -> None:
        """Raise AddressError, with the range, where the model has no such neuron."""
        layers, neurons = self.facts.n_layers, self.facts.d_mlp
        if not (0 <= neuron.layer < layers and 0 <= neuron.index < neurons):
            raise AddressError(
                f"{self.facts.name} has no neuron {neuron}: its layers are 0-{layers - 1} "
                f"and the neurons of a layer 0-{neurons - 1}."
            )

    def check_head(self, head: HeadId) -> None:
        """Raise AddressError, with the range, where the model has no such head."""
        layers, heads = self.facts.n_layers, self.facts.n_heads
        if not (0 <= head.layer < layers and 0 <= head.index < heads):
            raise AddressError(
                f"{self.facts.name} has no head {head}: its layers are 0-{layers - 1} "
                f"and the heads of a layer 0-{heads - 1}."
            )

    def check_rows(self, rows: Sequence[Sequence[int]]) -> None:
        """Raise InputError where there is no row, an empty one, or one longer than the model's context."""
        if not rows or not all(map(len, rows)):
            raise InputError("There is no text to look at; give a prompt of at least one token.")
        longest = max(map(len, rows))
        if longest > self.facts.context:
            raise InputError(f"The prompt has {longest} tokens; {self.facts.name} reads at most {self.facts.context}.")

    def eligible_heads(self, layer: int) -> Bool[np.ndarray, "layer head"]:
        """The heads that feed the MLP of `layer`: of layers k ≤ layer, or k < layer where blocks are parallel."""
        eligible = np.zeros((self.facts.n_layers, self.facts.n_heads), dtype=bool)
        eligible[: layer if self.facts.parallel else layer + 1] = True
        return eligible

    def parse_layers(self, spec: str) -> list[int]:
        """The layers that "all", "last:5", "0-3" or "2,5" stands for; raises AddressError for anything else."""
        return parse_layers(spec, self.facts.n_layers)

    # ── weights ───────────────────────────────────────────────────────────────────────────────────────────────────

    def read_directions(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "read neuron d_model"]:
        """centre(γ ⊙ w_in), the norm folded in; a gated MLP has two reads, gate and up. See `Weights`."""
        return self._weights.read_directions(layer, neurons)

    def read_biases(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "read neuron"]:
        """b_in + ⟨w_in, β⟩ with β the bias of the norm that the MLP reads through."""
        return self._weights.read_biases(layer, neurons)

    def write_directions(self, layer: int, neurons: Pick = ALL) -> Float[Tensor, "neuron d_model"]:
        """w_out: what a unit of activation adds to the residual stream (γ_post ⊙ w_out before a norm: over σ_post)."""
        return self._weights.write_directions(layer, neurons)

    def unembedding(self, tokens: Pick = ALL) -> Float[Tensor, "d_model token"]:
        """W_U with the final norm's gain (and centring, for LayerNorm) folded in; see `Weights.unembedding`."""
        return self._weights.unembedding(tokens)

    def head_outputs(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """W_O of each head of `layer`."""
        return self._weights.head_outputs(layer)

    def value_weights(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_V of each head of `layer`, the norm before attention folded in."""
        return self._inspection().value_weights(layer)

    def value_constants(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V + W_V β of each head of `layer`: the part of z that is the same whatever the head attends to."""
        return self._inspection().value_constants(layer)

    def activate(self, pre: Float[Tensor, "read ..."]) -> Float[Tensor, "..."]:
        """The activation for given pre-activations: act(pre[0]), gated: act(pre[0]) · pre[1]."""
        return activate(self._anatomy.blocks[0].activation, pre)

    # ── modules, for hooks ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def block_modules(self) -> list[nn.Module]:
        """Per layer, the whole block; its first argument is the residual stream."""
        return list(cast(nn.ModuleList, self.hf.get_submodule(self._anatomy.layout.blocks)))

    @property
    def attention_output_modules(self) -> list[nn.Module]:
        """Per layer, the module whose input is z [row, position, head * d_head] of all heads."""
        return [block.attention_output for block in self._anatomy.blocks]

    @property
    def attention_post_norms(self) -> list[Norm | None]:
        """Per layer, the norm behind attention; None where there is none."""
        return [block.attention_post_norm for block in self._anatomy.blocks]

    @property
    def mlp_input_modules(self) -> list[nn.Module]:
        """Per layer, the module whose output begins with the pre-activations [d_mlp]; gated: those of the gate."""
        return [block.mlp_reads[0] for block in self._anatomy.blocks]

    def mlp_reads(self, layer: int) -> list[tuple[nn.Module, int]]:
        """Per read of the MLP, the module whose output holds its pre-activations, and the column where they begin."""
        modules = self._anatomy.blocks[layer].mlp_reads
        if self.facts.gated and len(modules) == 1:  # one projection holds gate and up
            return [(modules[0], 0), (modules[0], self.facts.d_mlp)]
        return [(module, 0) for module in modules]

    @property
    def mlp_norms(self) -> list[Norm | None]:
        """Per layer, the norm that the MLP reads through; None where it reads the raw residual stream."""
        return [block.mlp_norm for block in self._anatomy.blocks]

    def mlp_projections(self, layer: int) -> list[nn.Module]:
        """The modules that multiply by weights in the MLP of `layer`."""
        block = self._anatomy.blocks[layer]
        return [*block.mlp_reads, block.mlp_output]

    @property
    def mlp_output_modules(self) -> list[nn.Module]:
        """Per layer, the module whose input is the activation of the neurons."""
        return [block.mlp_output for block in self._anatomy.blocks]

    @property
    def final_norm(self) -> nn.Module:
        """The norm before the unembedding."""
        return self._anatomy.final_norm.module

    def final_scale(self, residual: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        """σ of the final norm for a final residual stream."""
        return self._anatomy.final_norm.scale(residual)

    def behind_final_norm(
        self, change: Float[Tensor, "... d_model"], scale: Float[Tensor, "..."]
    ) -> Float[Tensor, "... d_model"]:
        """What a change of the final residual stream adds behind the final norm while its σ stays `scale`."""
        return self._anatomy.final_norm.passed_on(change, scale)

    # ── forward ───────────────────────────────────────────────────────────────────────────────────────────────────

    def mlp_activations(
        self, rows: Int[Tensor, "row position"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "row position d_mlp"]]:
        """Post-nonlinearity activations of `layers` for right-padded rows; stops after the last layer needed."""
        return forward.mlp_activations(self.hf, self._anatomy, rows.to(self.device), layers)

    def logits(self, rows: Int[Tensor, "row position"]) -> Float[Tensor, "row position d_vocab"]:
        """Next-token logits in fp32, over the tokens of the tokenizer."""
        return forward.logits(self.hf, rows.to(self.device), self.facts.d_vocab)

    def trace(self, rows: Sequence[Sequence[int]], layer: int, *, sources: bool = True) -> Trace:
        """Everything that reaches the MLP of `layer` at the last position of every row.

        `sources=False` leaves patterns and values empty, which saves most of the memory. The first call makes the
        inspection face and checks it against the other.

        Raises:
            InputError: a row is empty or longer than the model's context.
            ModelError: the two faces, or the parts and their sum, differ; the model cannot be taken apart exactly.
        """
        self.check_rows(rows)
        return self._inspection().trace(rows, layer, sources=sources)

    def attention_patterns(self, row: Sequence[int]) -> Float[Tensor, "layer head query key"]:
        """Where every head of the model attends from every position of one row, in fp32. Raises as `trace` does."""
        self.check_rows([row])
        return self._inspection().patterns(row)

    def _inspection(self) -> Inspector:
        if self._inspector is None:
            self._inspector = Inspector(self.hf, self._anatomy, self._weights, self.facts)
            try:
                check_faces(self)
            except ModelError:
                self._inspector = None
                raise
        return self._inspector
