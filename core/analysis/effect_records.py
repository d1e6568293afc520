"""Effects as records: what `headtorch effects --json` prints and the report shows."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.analysis.attribution_records import by_head
from headtorch.core.analysis.effects import Effects
from headtorch.core.analysis.gradient import estimate_error
from headtorch.core.causes import EffectMap, EstimateErrors, HeadEffects
from headtorch.core.model.language_model import LanguageModel


def effect_records(
    model: LanguageModel, rows: Sequence[Sequence[int]], exact: Effects, estimate: Effects | None = None
) -> list[HeadEffects]:
    """One record for each prompt, with the estimate and its error where there is one."""
    return [
        HeadEffects(
            neuron=neuron,
            token_ids=[int(token) for token in rows[i]],
            tokens=model.token_texts(rows[i]),
            activation=float(exact.clean_activation[i]),
            pre_activation=float(exact.clean_pre_activation[i]),
            replacement=exact.replacement,
            position=exact.where,
            donors=exact.donors,
            effects=_map(exact, i),
            estimate=None if estimate is None else _map(estimate, i),
            estimate_error=None if estimate is None else _errors(estimate, exact, i),
        )
        for i, neuron in enumerate(exact.neurons)
    ]


def _map(effects: Effects, prompt: int) -> EffectMap:
    return EffectMap(by_head(effects.activation[prompt]), by_head(effects.pre_activation[prompt]))


def _errors(estimate: Effects, exact: Effects, prompt: int) -> EstimateErrors:
    return EstimateErrors(
        estimate_error(estimate.activation[prompt], exact.activation[prompt]),
        estimate_error(estimate.pre_activation[prompt], exact.pre_activation[prompt]),
    )
