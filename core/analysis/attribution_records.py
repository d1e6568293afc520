"""Attributions as records: what `headtorch attribute --json` prints and the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from headtorch.core.analysis.attribution import Attribution
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import (
    GatedHeads,
    GatedNumber,
    GatedParts,
    GatedSources,
    HeadId,
    NeuronId,
    Parts,
    PromptAttribution,
)


def attribution_records(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    attribution: Attribution,
    *,
    heads: Sequence[HeadId] = (),
    sources: Float[np.ndarray, "prompt read head position"] | None = None,
    betas: Mapping[NeuronId, Float[np.ndarray, "layer head"]] | None = None,
) -> list[PromptAttribution]:
    """One record for each prompt of `attribution`.

    `sources` holds what `headtorch.core.analysis.lookup.sources` gives for `heads`; `betas` is what is known from
    baselines.
    """
    betas = betas or {}
    return [
        PromptAttribution(
            neuron=neuron,
            token_ids=[int(token) for token in rows[i]],
            tokens=model.token_texts(rows[i]),
            pre_activation=_number(attribution.pre_activation[i]),
            activation=float(attribution.activation[i]),
            parts=None if attribution.gated else _parts(attribution, i, 0),
            reads=GatedParts(_parts(attribution, i, 0), _parts(attribution, i, 1)) if attribution.gated else None,
            dot=_dot(attribution, i),
            sum=_number(attribution.sum[i]),
            error=_number(attribution.error[i]),
            sources={} if sources is None else _sources(heads, sources[i, ..., : len(rows[i])]),
            removal=by_head(attribution.removal[i]),
            beta=by_head(betas[neuron]) if neuron in betas else None,
        )
        for i, neuron in enumerate(attribution.neurons)
    ]


def by_head(values: Float[np.ndarray, "layer head"]) -> list[list[float | None]]:
    """[layer][head], None where there is no number."""
    return [[float(value) if np.isfinite(value) else None for value in layer] for layer in values]


def _parts(attribution: Attribution, prompt: int, read: int) -> Parts:
    at = (prompt, read)
    return Parts(
        embed=float(attribution.embed[at]),
        position=float(attribution.position[at]),
        heads=by_head(attribution.heads[at]),
        attention_bias=attribution.attention_bias[at].tolist(),
        mlps=attribution.mlps[at].tolist(),
        bias=float(attribution.bias[at]),
    )


def _number(reads: Float[np.ndarray, " read"]) -> float | GatedNumber:
    numbers = [float(value) for value in reads]
    return numbers[0] if len(numbers) == 1 else GatedNumber(*numbers)


def _dot(attribution: Attribution, prompt: int) -> list[list[float | None]] | GatedHeads:
    reads = [by_head(values) for values in attribution.dot[prompt]]
    return reads[0] if len(reads) == 1 else GatedHeads(*reads)


def _sources(
    heads: Sequence[HeadId], given: Float[np.ndarray, "read head position"]
) -> dict[str, list[float] | GatedSources]:
    found: dict[str, list[float] | GatedSources] = {}
    for h, head in enumerate(heads):
        reads = [values.tolist() for values in given[:, h]]
        found[str(head)] = reads[0] if len(reads) == 1 else GatedSources(*reads)
    return found
