"""What a head's output at the firing position is replaced by.

    resample    the same head's z at the last position of another text, several of them, the results averaged
    mean        its mean over the last positions of rows that end at random positions
    zero        nothing
    zero-values b_V + W_V β_ln, the part of z that no value vector brings
    double      twice itself

z is the head's output before W_O, as attention passes it on, value bias included. Which texts a prompt's donors are
follows from the prompt and the seed, never from what the heads do: choosing donors by their attribution would bias the
effect. Neo, Cohen and Barez (arXiv 2402.15055) set the head's value vectors to zero at all positions, in a model whose
loader has moved b_V and what the norm's bias β_ln adds through W_V into b_O. Attention sums to 1, so in the model as it
is their ablation is z := b_V + W_V β_ln: `zero-values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.analysis.interventions import mean_head_outputs
from headtorch.core.causes import Replacement, Where
from headtorch.core.errors import InputError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.products import fast_products
from headtorch.core.replacement_kinds import AT_ALL_POSITIONS
from headtorch.core.watch import SILENT, Watch

N_DONORS = 4
POOL_ROWS = 128  # donors are drawn from so many rows


@dataclass(frozen=True)
class Replacements:
    """Makes the vectors that stand in for z. Without a pool of donors or means, from z itself.

    `means` are the same for every prompt: mean outputs, or the constants of `zero-values`.
    """

    kind: Replacement
    donors: int = 1  # vectors for each prompt
    seed: int = 0
    pool_rows: tuple[tuple[int, ...], ...] = ()
    pool: Float[Tensor, "donor layer head d_head"] | None = None
    means: Float[Tensor, "layer head d_head"] | None = None

    def vectors(
        self, row: Sequence[int], z: Float[Tensor, "layer head d_head"]
    ) -> Float[Tensor, "donor layer head d_head"]:
        """What is put in the place of z [layers up to some one] at the end of `row`.

        Raises:
            InputError: no donor is another text than the row.
        """
        if self.kind == "zero":
            return torch.zeros_like(z)[None]
        if self.kind == "double":
            return 2 * z[None]
        if self.means is not None:
            return self.means[None, : len(z)]
        assert self.pool is not None
        return self.pool[self.drawn(row), : len(z)]

    def drawn(self, row: Sequence[int]) -> list[int]:
        """The donors of a row: places in the pool, each once, the row itself never."""
        others = [i for i, other in enumerate(self.pool_rows) if other != tuple(row)]
        if not others:
            raise InputError(
                "Resampling takes a head's output from other texts, and there is none; use a larger corpus."
            )
        random = np.random.default_rng([self.seed, *row])
        chosen: list[int] = random.choice(others, size=self.donors, replace=False).tolist()
        return chosen


def check_replacement(kind: Replacement, where: Where) -> None:
    """Raise InputError for a replacement that is made for the last position alone."""
    if where == "all" and kind not in AT_ALL_POSITIONS:
        *others, last = map(repr, AT_ALL_POSITIONS)
        raise InputError(
            f"The replacement {kind!r} is made for the last position alone; at all positions take "
            f"{', '.join(others)} or {last}."
        )


def replacements(
    model: LanguageModel,
    kind: Replacement,
    random_rows: Sequence[Sequence[int]] = (),
    *,
    donors: int = N_DONORS,
    seed: int = 0,
    watch: Watch = SILENT,
) -> Replacements:
    """The replacement of one kind, made once for any number of prompts.

    `random_rows` end at random positions of the corpus; resampling and the mean are made from them.

    Raises:
        InputError: resampling or the mean without rows.
    """
    if kind in ("zero", "double"):
        return Replacements(kind)
    if kind == "zero-values":
        return Replacements(kind, means=value_constants(model))
    if not random_rows:
        raise InputError(f"The replacement {kind!r} is made from other texts, and there is none; take 'zero'.")
    if kind == "mean":
        return Replacements(kind, means=mean_head_outputs(model, random_rows, watch=watch))
    order = np.random.default_rng(seed).permutation(len(random_rows))[:POOL_ROWS].tolist()
    rows = list(dict.fromkeys(tuple(random_rows[i]) for i in order))
    pool = last_head_outputs(model, rows, watch=watch)
    donors = max(1, min(donors, len(rows) - 1))  # one of the rows may be the prompt itself
    return Replacements(kind, donors=donors, seed=seed, pool_rows=tuple(rows), pool=pool)


def value_constants(model: LanguageModel) -> Float[Tensor, "layer head d_head"]:
    """b_V + W_V β_ln of every head: its z with all value vectors at zero and the value biases kept."""
    return torch.stack([model.value_constants(layer) for layer in range(model.facts.n_layers)])


@torch.no_grad()
def last_head_outputs(
    model: LanguageModel, rows: Sequence[Sequence[int]], *, watch: Watch = SILENT
) -> Float[Tensor, "row layer head d_head"]:
    """z of every head at the last position of each row, in fp32."""
    facts = model.facts
    found = torch.zeros(len(rows), facts.n_layers, facts.n_heads, facts.d_head, device=model.device)
    done = 0
    for batch in length_batches([len(row) for row in rows], pass_tokens(model.device)):
        watch.checkpoint()
        chosen = [rows[i] for i in batch]
        ids = pad_rows(chosen, max(map(len, chosen)), model.device)
        places = torch.tensor(batch, device=model.device)
        last = torch.tensor([len(row) - 1 for row in chosen], device=model.device)

        def keep(layer: int, inputs: tuple[Any, ...], last: Tensor = last, places: Tensor = places) -> None:
            z = inputs[0].reshape(len(last), -1, facts.n_heads, facts.d_head)
            found[places, layer] = z[torch.arange(len(last), device=last.device), last].float()

        with ExitStack() as hooks, fast_products(model.hf):
            for layer, module in enumerate(model.attention_output_modules):
                hooks.callback(module.register_forward_pre_hook(_at(keep, layer)).remove)
            model.hf.base_model(input_ids=ids, use_cache=False)
        done += len(batch)
        watch.progress("donors", done, len(rows), "rows")
    return found


def _at(keep: Any, layer: int) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        keep(layer, inputs)

    return hook
