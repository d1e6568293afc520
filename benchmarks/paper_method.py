"""The procedure of Neo, Cohen and Barez (arXiv 2402.15055), written plainly: a baseline of speed and a second opinion.

It goes as the paper's notebooks do, through the whole model with hooks, one text after another:

    scan         one document at a time, a hook for each neuron; each document's largest activation is kept
    trim         one prompt at a time, by bisection from the long side, down to 0.8 of the activation
    attribution  one prompt at a time; the full outputs z W_O of all heads at all positions, then their products with
                 w_in at the last one
    active       heads above the mean + 2 standard deviations (ddof 1) of the prompt's heads of earlier layers
    ablation     one forward pass for each head and prompt, the head's value vectors 0 at all positions, value biases
                 kept: TransformerLens moves them into the output bias when it loads the model

Nothing here is slow on purpose: no gradients, hooks set once, weights folded once, attention fused. The notebooks run
TransformerLens, which computes attention unfused and keeps more; the plain Hugging Face module is the faster baseline.
In two places they read several prompts as one padded batch: in attribution 8 (in their last version), in ablation all
of a neuron's. Three of their slips are left out, as `--preset paper` leaves them out: the first token counts in the
scan but is cut off in trimming, the kept activation may be that of a failed probe, and trimmed prompts are decoded,
their line breaks replaced by spaces, and encoded again. That heads of the neuron's own layer are dropped, although they
feed it where blocks are sequential, is kept, unless they are asked for.

Nothing is taken from headtorch but addresses, so that agreement with it means something. GPT-2 and Pythia (GPT-NeoX)
are written out, the families of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from headtorch.core.records import HeadId, NeuronId

Text = Sequence[int]  # token ids, the model's first token in front
Floats = NDArray[np.float64]
Hook = Callable[..., Any]

PATHS = {  # of blocks; inside a block of its first norm, fused projection, output, second norm, MLP input, activation
    "gpt2": ("transformer.h", "ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.act"),
    "gpt_neox": (
        "gpt_neox.layers",
        "input_layernorm",
        "attention.query_key_value",
        "attention.dense",
        "post_attention_layernorm",
        "mlp.dense_h_to_4h",
        "mlp.act",
    ),
}


@dataclass(frozen=True)
class Maximum:
    """A neuron's largest activation in one document, and where."""

    activation: float
    text: int  # number of the document
    index: int  # row index, 0 being the first token


class PaperMethod:
    """A GPT-2 or GPT-NeoX model under the paper's procedure. `d_vocab`: tokens that the tokenizer has."""

    def __init__(self, hf: PreTrainedModel, d_vocab: int) -> None:
        self.hf, self.d_vocab = hf, d_vocab
        self.n_heads = int(hf.config.num_attention_heads)
        self.is_gpt2 = hf.config.model_type == "gpt2"
        self.is_parallel = not self.is_gpt2 and bool(hf.config.use_parallel_residual)
        blocks, *inside = PATHS[hf.config.model_type]
        parts = [
            [block.get_submodule(path) for path in inside] for block in cast(nn.ModuleList, hf.get_submodule(blocks))
        ]
        attention_norms, self.projections, self.outputs, mlp_norms, mlp_inputs, self.activations = zip(
            *parts, strict=True
        )
        with torch.no_grad():
            self.w_in = [_read_directions(*pair) for pair in zip(mlp_inputs, mlp_norms, strict=True)]
            self.w_out = [self._head_outputs(module) for module in self.outputs]
            self.constants = [
                self._values(project(norm.bias)).float()
                for project, norm in zip(self.projections, attention_norms, strict=True)
            ]

    def _head_outputs(self, output: nn.Module) -> Tensor:
        """W_O of each head [head, d_head, d_model]."""
        weight = cast(Tensor, output.weight)
        return (weight if self.is_gpt2 else weight.T).float().unflatten(0, (self.n_heads, -1))

    def _values(self, projected: Tensor) -> Tensor:
        """The view [..., head, d_head] of the values in what the fused projection of attention returns."""
        if self.is_gpt2:
            return projected.chunk(3, dim=-1)[2].unflatten(-1, (self.n_heads, -1))
        return projected.unflatten(-1, (self.n_heads, 3, -1))[..., 2, :]

    def _read(self, text: Text) -> Tensor:
        """The whole model on one text; its logits at the last position, over the tokens of the tokenizer."""
        logits = self.hf(input_ids=torch.tensor([list(text)], device=self.hf.device), use_cache=False).logits
        return cast(Tensor, logits)[0, -1, : self.d_vocab].float()

    @torch.no_grad()
    def scan(self, texts: Sequence[Text], neurons: Sequence[NeuronId], count: int) -> dict[NeuronId, list[Maximum]]:
        """The `count` documents in which each neuron fires most, best first. The first token does not count."""
        seen: dict[NeuronId, Tensor] = {}
        maxima: dict[NeuronId, list[Maximum]] = {neuron: [] for neuron in neurons}

        def keep(neuron: NeuronId) -> Hook:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                seen[neuron] = output[0, :, neuron.index]

            return hook

        with hooked([(self.activations[neuron.layer], keep(neuron)) for neuron in neurons]):
            for number, text in enumerate(texts):
                self._read(text)
                for neuron, values in seen.items():  # position
                    largest, index = values[1:].max(0)
                    maxima[neuron].append(Maximum(largest.item(), number, int(index.item()) + 1))
        return {neuron: sorted(found, key=lambda one: -one.activation)[:count] for neuron, found in maxima.items()}

    @torch.no_grad()
    def trim(self, text: Text, neuron: NeuronId, full: float, ratio: float = 0.8) -> tuple[list[int], float]:
        """A short end of a text, behind its first token, on which the activation is ≥ `ratio` of `full`; and it."""
        (first, *tokens), seen = text, list[Tensor]()

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            seen.append(output[0, -1, neuron.index])

        long, short, kept = len(tokens), min(1, len(tokens) - 1), full  # one token is not tried
        with hooked([(self.activations[neuron.layer], keep)]):
            while long - short > 1:
                middle = (long + short + 1) // 2
                self._read([first, *tokens[-middle:]])
                activation = seen.pop().item()
                if activation >= ratio * full:
                    long, kept = middle, activation
                else:
                    short = middle
        return [first, *tokens[-long:]], kept

    @torch.no_grad()
    def attribution(self, text: Text, neuron: NeuronId, *, own_layer: bool = False) -> Floats:
        """⟨o_h, w_in⟩ at the end of a text, [layer, head]; nan for heads that the paper's code leaves out.

        Those are the heads of later layers and of the neuron's own; `own_layer` takes the latter in where they feed it.
        o_h = z_h W_O without what the value bias and the bias of the norm before attention put into z_h, which
        TransformerLens moves into the attention's output bias on loading.
        """
        inputs: list[Tensor] = []  # z of each layer, [1, position, head · d_head]
        with hooked([], [(module, lambda _module, given: inputs.append(given[0])) for module in self.outputs]):
            self._read(text)
        heads = torch.stack(
            [
                torch.einsum("phd,hdm->phm", z[0].float().unflatten(-1, (self.n_heads, -1)) - constant, output)
                for z, constant, output in zip(inputs, self.constants, self.w_out, strict=True)
            ]
        )  # layer position head d_model
        dots = heads[:, -1] @ self.w_in[neuron.layer][neuron.index]  # layer head
        dots[neuron.layer + (own_layer and not self.is_parallel) :] = torch.nan
        return dots.double().cpu().numpy()

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
        """(Δ log p of the token, Δ activation) at each text's end with each head taken away, [quantity, head, text].

        A head is taken away by value vectors of 0 at all positions, value biases kept, or at the last position by the
        output z that this gives there.
        """
        seen: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            seen.append(output[0, -1, neuron.index].float())

        def predict(text: Text) -> list[float]:
            log_p = self._read(text).log_softmax(-1)[token_id]
            return [log_p.item(), seen.pop().item()]

        with hooked([(self.activations[neuron.layer], keep)]):
            clean = np.array([predict(text) for text in texts])
            ablated = []
            for head in heads:
                with self._without(head, everywhere):
                    ablated.append([predict(text) for text in texts])
        changes: Floats = (np.array(ablated) - clean).transpose(2, 0, 1)
        return changes

    @contextmanager
    def _without(self, head: HeadId, everywhere: bool) -> Iterator[None]:
        constant = self.constants[head.layer][head.index]

        def no_values(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._values(output)[..., head.index, :] = constant.to(output)

        def no_output(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].unflatten(-1, (self.n_heads, -1))[:, -1, head.index] = constant.to(inputs[0])

        after = [(self.projections[head.layer], no_values)] if everywhere else []
        before = [] if everywhere else [(self.outputs[head.layer], no_output)]
        with hooked(after, before):
            yield


def active(attribution: Floats) -> NDArray[np.bool_]:
    """The heads of one prompt above the mean + 2 standard deviations (ddof 1) of those that are looked at."""
    heads = attribution[~np.isnan(attribution)]
    above: NDArray[np.bool_] = attribution > heads.mean() + 2 * heads.std(ddof=1)
    return above


@contextmanager
def hooked(after: Sequence[tuple[nn.Module, Hook]], before: Sequence[tuple[nn.Module, Hook]] = ()) -> Iterator[None]:
    """While this holds, hooks run after and before modules."""
    with ExitStack() as hooks:
        for module, hook in after:
            hooks.callback(module.register_forward_hook(hook).remove)
        for module, hook in before:
            hooks.callback(module.register_forward_pre_hook(hook).remove)
        yield


def _read_directions(mlp_input: nn.Module, norm: nn.Module) -> Tensor:
    """w_in of each neuron [neuron, d_model], the gain and the centring of the norm before it folded in."""
    weight = cast(Tensor, mlp_input.weight).float()
    w_in = (weight if isinstance(mlp_input, nn.Linear) else weight.T) * cast(Tensor, norm.weight).float()
    return w_in - w_in.mean(-1, keepdim=True)
