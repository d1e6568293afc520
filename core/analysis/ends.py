"""The ends of rows of one length, run under edits against the keys and values of the positions before."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtorch.core.analysis.batching import pad_rows
from headtorch.core.analysis.edits import Edit, edited, holding, shifted
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId
from headtorch.core.watch import Watch

CACHE_BYTES = 256 * 2**20  # of keys, values and logits of all edits of one batch


class StandIns(Protocol):
    """Makes what stands in for the heads' outputs z at the end of a row, several times over: `donors`."""

    @property
    def donors(self) -> int: ...
    def vectors(
        self, row: Sequence[int], z: Float[Tensor, "layer head d_head"]
    ) -> Float[Tensor, "donor layer head d_head"]: ...


def row_bytes(model: LanguageModel, length: int) -> int:
    """What one row takes: its keys and values, and its logits three times."""
    facts = model.facts
    cache = 2 * facts.n_layers * facts.n_kv_heads * facts.d_head * length * model.hf.dtype.itemsize
    return cache + 12 * facts.d_vocab


class Ends:
    """Rows of one length; the positions before the last are run once, the last one under every edit."""

    def __init__(
        self, model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId, token_id: int, by: StandIns
    ) -> None:
        self._model, self._neuron, self._token = model, neuron, token_id
        ids = pad_rows(rows, len(rows[0]), model.device)
        self._last = ids[:, -1:]
        self._bytes = row_bytes(model, len(rows[0]))
        with torch.no_grad():
            before = ids[:, :-1]
            self._past = (
                model.hf.base_model(input_ids=before, use_cache=True).past_key_values if before.numel() else None
            )
        self._post_scales: dict[int, Tensor] = {}  # by layer, where a norm follows attention
        self._final_scale: Float[Tensor, " row"]
        self._z: Float[Tensor, "row layer head d_head"] = self._clean()
        self._vectors: Float[Tensor, "row donor layer head d_head"] = torch.stack(
            [by.vectors(row, z) for row, z in zip(rows, self._z, strict=True)]
        )

    def _clean(self) -> Float[Tensor, "row layer head d_head"]:
        """z at the last position; on the way, the scales of the norms behind attention and of the final one."""
        model = self._model
        z: list[Tensor] = []

        def keep_z(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            z.append(inputs[0].reshape(len(self._last), model.facts.n_heads, -1).float())

        def keep_final(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._final_scale = model.final_scale(inputs[0].reshape(len(self._last), -1))

        with ExitStack() as hooks, torch.no_grad():
            for layer, (output, norm) in enumerate(
                zip(model.attention_output_modules, model.attention_post_norms, strict=True)
            ):
                hooks.callback(output.register_forward_pre_hook(keep_z).remove)
                if norm is not None:
                    keep = self._scale_hook(layer)
                    hooks.callback(norm.module.register_forward_pre_hook(keep).remove)
            hooks.callback(model.final_norm.register_forward_pre_hook(keep_final).remove)
            past = copy.deepcopy(self._past)
            model.hf.base_model(input_ids=self._last, past_key_values=past, use_cache=past is not None)
        return torch.stack(z, dim=1)

    def _scale_hook(self, layer: int) -> Any:
        norm = self._model.attention_post_norms[layer]

        def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            assert norm is not None
            self._post_scales[layer] = norm.scale(inputs[0].reshape(len(self._last), -1))

        return keep

    def under(
        self, edits: Sequence[Edit], held: Float[np.ndarray, "edit row donor"] | None, watch: Watch
    ) -> Float[np.ndarray, "quantity edit row donor"]:
        """Every edit under every donor; an edit that needs no donor runs once."""
        n_donors = self._vectors.shape[1]
        several = [
            bool(edit.heads) or (held is not None and not np.isnan(held[e]).all()) for e, edit in enumerate(edits)
        ]
        items = [(e, d) for e in range(len(edits)) for d in range(n_donors if several[e] else 1)]
        at_once = max(1, CACHE_BYTES // (self._bytes * len(self._last)))
        found = np.zeros((6, len(edits), len(self._last), n_donors))
        for start in range(0, len(items), at_once):
            watch.checkpoint()
            some = items[start : start + at_once]
            values = None if held is None else np.stack([held[e, :, d] for e, d in some], axis=1)
            read = self._run([edits[e] for e, _ in some], [d for _, d in some], values)
            for i, (e, d) in enumerate(some):
                found[:, e, :, d if several[e] else slice(None)] = read[:, :, i] if several[e] else read[:, :, i, None]
        return found

    def _run(
        self, edits: Sequence[Edit], donors: Sequence[int], held: Float[np.ndarray, "row item"] | None
    ) -> Float[np.ndarray, "quantity row item"]:
        """Every row under every item: edits[i] with the vectors of donors[i]."""
        model, n_rows, n_items = self._model, len(self._last), len(edits)
        past = copy.deepcopy(self._past)
        if past is not None:
            past.batch_repeat_interleave(n_items)
        device = self._last.device
        end = torch.zeros(n_rows * n_items, dtype=torch.long, device=device)  # row·item
        donor = torch.tensor(donors, device=device)

        def vectors(runs: Tensor, layer: int, heads: Tensor) -> Tensor:
            return self._vectors[runs // n_items, donor[runs % n_items], layer, heads]

        with ExitStack() as hooks:
            hooks.enter_context(edited(model, list(edits) * n_rows, end, "last", vectors))
            if held is not None:
                values = torch.tensor(held.flatten(), dtype=torch.float32, device=device)
                hooks.enter_context(holding(model, self._neuron, end, values))
            if any(edit.frozen for edit in edits):
                hooks.enter_context(shifted(model, self._shifts(edits, donors)))
            seen = hooks.enter_context(watched(model, self._neuron, end))
            last = self._last.repeat_interleave(n_items, dim=0)
            model.hf(input_ids=last, past_key_values=past, use_cache=past is not None)
        return summary(seen, self._token).reshape(6, n_rows, n_items)

    def _shifts(self, edits: Sequence[Edit], donors: Sequence[int]) -> Float[Tensor, "run d_model"]:
        """What the heads of frozen edits would change behind the final norm, on their own."""
        model = self._model
        total = torch.zeros(len(self._last), len(edits), model.facts.d_model, device=self._last.device)
        for layer in sorted({head.layer for edit in edits if edit.frozen for head in edit.heads}):
            outputs, norm = model.head_outputs(layer), model.attention_post_norms[layer]
            for i, edit in enumerate(edits):
                for head in edit.heads if edit.frozen else ():
                    if head.layer == layer:
                        new = self._vectors[:, donors[i], layer, head.index]
                        written = (new - self._z[:, layer, head.index]) @ outputs[head.index]  # row d_model
                        total[:, i] += written if norm is None else norm.passed_on(written, self._post_scales[layer])
        return model.behind_final_norm(total, self._final_scale[:, None]).flatten(0, 1)


@dataclass
class Seen:
    """What is read at the end of every row."""

    logits: Float[Tensor, "row d_vocab"]
    activation: Float[Tensor, " row"]
    pre_activation: Float[Tensor, " row"]


@contextmanager
def watched(model: LanguageModel, neuron: NeuronId, last: Int[Tensor, " row"]) -> Iterator[Seen]:
    """Keep the logits and what the neuron does at each row's end. Logits are made for the ends alone."""
    seen = Seen(torch.empty(0), torch.empty(0), torch.empty(0))
    rows = torch.arange(len(last), device=last.device)

    def ends_only(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0][rows, last][:, None], *inputs[1:])  # row 1 d_model

    def keep_pre_activation(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.pre_activation = output.reshape(len(last), -1, output.shape[-1])[rows, last, neuron.index].float()

    def keep_activation(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.activation = inputs[0].reshape(len(last), -1, inputs[0].shape[-1])[rows, last, neuron.index].float()

    def keep_logits(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.logits = output.logits[:, 0, : model.facts.d_vocab].float()

    with ExitStack() as hooks:
        unembedding = cast(nn.Module, model.hf.get_output_embeddings())  # type: ignore[no-untyped-call]
        for handle in (
            unembedding.register_forward_pre_hook(ends_only),
            model.mlp_input_modules[neuron.layer].register_forward_hook(keep_pre_activation),
            model.mlp_output_modules[neuron.layer].register_forward_pre_hook(keep_activation),
            model.hf.register_forward_hook(keep_logits),
        ):
            hooks.callback(handle.remove)
        yield seen


def summary(seen: Seen, token_id: int) -> Float[np.ndarray, "quantity row"]:
    """log p, logit and rank of the token, the neuron's activation and pre-activation, and p."""
    logit = seen.logits[:, token_id]
    log_p = seen.logits.log_softmax(-1)[:, token_id]
    rank = (seen.logits > logit[:, None]).sum(-1)
    parts = (log_p, logit, rank, seen.activation, seen.pre_activation, log_p.double().exp())
    return np.stack([part.double().cpu().numpy() for part in parts])
