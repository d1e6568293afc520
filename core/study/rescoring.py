"""Every score of a study computed again from what the judges said, and held against what is stored."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headtorch.core.analysis.score import score_judgement, with_adjusted_p
from headtorch.core.records import HeadActivity, HeadId, NeuronId, Record, Score
from headtorch.core.study.state import ExplainedHead, StudyState


class Rescored(Record, frozen=True, kw_only=True):
    """How a study's stored scores compare with what its stored answers come to."""

    computed: int  # scores computed again
    differing: list[str]  # "L3.N412 L2.H4 rules: e, p", for those that came out otherwise
    kept: int  # stored scores without stored answers or labels, as they are


def rescore(state: StudyState) -> tuple[dict[ExplainedHead, Score], Rescored]:
    """The scores of a study, computed from its judgements and labels alone, q included."""
    labels = _labels(state)
    seed = state.settings.seed if state.settings is not None else 0
    scores = dict(state.scores)
    computed = {
        key: score_judgement(judgement, labels[key[:2]], seed=seed)
        for key, judgement in state.judgements.items()
        if key[:2] in labels
    }
    scores.update(computed)
    for explainer in state.adjustments:
        scores.update(_adjusted(state, scores, explainer))
    for key in computed.keys() & state.scores.keys():
        if scores[key].q is None and scores[key].p == state.scores[key].p:
            scores[key] = msgspec.structs.replace(scores[key], q=state.scores[key].q)
    differing = [_difference(key, state.scores.get(key), scores[key]) for key in computed]
    return scores, Rescored(
        computed=len(computed),
        differing=[one for one in differing if one is not None],
        kept=len(state.scores.keys() - computed.keys()),
    )


def _labels(state: StudyState) -> Mapping[tuple[NeuronId, HeadId], HeadActivity]:
    return {(neuron, one.head): one for neuron, found in state.activity.items() for one in found.heads}


def _adjusted(state: StudyState, scores: Mapping[ExplainedHead, Score], explainer: str) -> dict[ExplainedHead, Score]:
    keys = [(one.neuron, one.head, explainer) for one in state.explainable()]
    family = [key for key in keys if key in scores]
    adjusted = with_adjusted_p([scores[key] for key in family], untested=len(keys) - len(family))
    return dict(zip(family, adjusted, strict=True))


def _difference(key: ExplainedHead, stored: Score | None, now: Score) -> str | None:
    if stored == now:
        return None
    fields = Score.__struct_fields__
    names = [name for name in fields if stored is None or getattr(stored, name) != getattr(now, name)]
    return f"{key[0]} {key[1]} {key[2]}: {'not stored' if stored is None else ', '.join(names)}"
