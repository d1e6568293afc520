"""On which of a neuron's prompts or firing places a head is active: as the study says, or by the study's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headtorch.core.records import HeadActivity, HeadId, NeuronId, Prompt
from headtorch.tui.claims import baseline_of, labelled_prompts, of_chosen_head

if TYPE_CHECKING:
    from headtorch.tui.session import Session


@dataclass(frozen=True)
class Labels:
    """Prompts and, for each, whether the head is active there. `direct` is None where it was not kept.

    `firing`: they are the places of the firing set, and `carries` is the head's share of the activation there.
    """

    prompts: list[Prompt]
    active: list[bool]
    direct: list[float | None]
    suppressing: bool = False
    firing: bool = False
    carries: list[float | None] = field(default_factory=list)

    def share_explaining(self) -> tuple[int, int]:
        """Active prompts of the explaining half's strongest, and how many there are."""
        pairs = zip(self.prompts, self.active, strict=True)
        mine = [label for prompt, label in pairs if prompt.half == "explain" and prompt.bin is None]
        return sum(mine), len(mine)


def labels_of(session: Session, neuron: NeuronId, head: HeadId) -> Labels | None:
    """None until the study has decided about the neuron's heads, or where the numbers per prompt are not available."""
    state = session.state
    activity = state.activity_of(neuron, head)
    if activity is not None and activity.places == "firing":
        return _on_firing_places(session, activity)
    own = state.prompts.get(neuron, [])
    if neuron not in state.activity or not own:
        return None
    direct = direct_of(session, head, len(own))
    if activity is None:
        return _by_rule(session, neuron, head, own, direct)
    prompts = labelled_prompts(session, activity)
    known = min(len(prompts), len(activity.active))
    direct = [*direct, *[None] * known][:known]
    return Labels(prompts[:known], activity.active[:known], direct, activity.suppressing)


def _on_firing_places(session: Session, activity: HeadActivity) -> Labels | None:
    prompts = labelled_prompts(session, activity)[: len(activity.active)]
    if not prompts:
        return None
    count, missing = len(prompts), list[float | None]([None] * len(prompts))
    direct = of_chosen_head(session, activity.neuron, activity.head, "attribution") or missing
    effects = of_chosen_head(session, activity.neuron, activity.head, "effect") or missing
    carries = [
        None if effect is None or not prompt.activation else effect / prompt.activation
        for effect, prompt in zip(effects, prompts, strict=False)
    ]
    return Labels(prompts, activity.active[:count], direct[:count], activity.suppressing, True, carries)


def direct_of(session: Session, head: HeadId, count: int) -> list[float | None]:
    """What the head gives on each of the selected neuron's prompts; None where it is not known."""
    arrays = session.arrays()
    if arrays is None or head.layer >= arrays["headline"].shape[1] or head.index >= arrays["headline"].shape[2]:
        return [None] * count
    values: list[float] = arrays["headline"][:count, head.layer, head.index].tolist()
    return [value if value == value else None for value in values] + [None] * (count - len(values))


def _by_rule(
    session: Session, neuron: NeuronId, head: HeadId, own: list[Prompt], direct: list[float | None]
) -> Labels | None:
    arrays, settings, row = session.arrays(), session.state.settings, session.row(neuron)
    if arrays is None or settings is None or all(value is None for value in direct):
        return None
    import numpy as np

    from headtorch.core.analysis.activity import active_heads

    values = np.asarray(arrays["headline"], dtype=np.float64)  # prompt layer head
    mean, sd = np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    for summary in session.state.attributed[neuron].heads:
        place = summary.head.layer, summary.head.index
        mean[place] = np.nan if summary.baseline_mean is None else summary.baseline_mean
        sd[place] = np.nan if summary.baseline_sd is None else summary.baseline_sd
    sign = row.sign if row is not None else 1
    found = {
        suppressing: active_heads(values, mean, sd, rule=settings.activity, sign=sign, suppressing=suppressing)[
            : len(own), head.layer, head.index
        ].tolist()
        for suppressing in (False, True)
    }
    suppressing = sum(found[True]) > sum(found[False])
    return Labels(own[: len(found[False])], found[suppressing], direct[: len(found[False])], suppressing)


def on_examples(session: Session, activity: HeadActivity, prompts: Sequence[Prompt]) -> list[bool | None]:
    """Whether the head is active on each max-activating example; None where nobody can say.

    Where firing places are labelled, an example that is none of them has the label that its A(h) gives it, if that is
    what labels go by.
    """
    if activity.places == "prompts":
        return [activity.active[at] if at < len(activity.active) else None for at in range(len(prompts))]
    places = labelled_prompts(session, activity)
    labels = {(one.document, one.position): active for one, active in zip(places, activity.active, strict=False)}
    by_rule = _by_baseline(session, activity, len(prompts))
    return [labels.get((one.document, one.position), label) for one, label in zip(prompts, by_rule, strict=True)]


def _by_baseline(session: Session, activity: HeadActivity, count: int) -> list[bool | None]:
    """Labels by the head's A(h) on the selected neuron's examples and its baseline on random positions."""
    neuron, head, facts, row = activity.neuron, activity.head, session.state.model, session.row(activity.neuron)
    baseline = baseline_of(session, neuron, head) if activity.rule == "baseline" else None
    if baseline is None or facts is None or facts.gated or neuron != session.selection.neuron:
        return [None] * count
    import numpy as np

    from headtorch.core.analysis.activity import active_heads

    direct = direct_of(session, head, count)
    values = np.array([np.nan if value is None else value for value in direct])[:, None, None]  # prompt 1 1
    mean, sd = (np.array([[value]]) for value in baseline)
    sign = row.sign if row is not None else 1
    active = active_heads(values, mean, sd, sign=sign, suppressing=activity.suppressing)[:, 0, 0].tolist()
    return [None if value is None else label for value, label in zip(direct, active, strict=True)]
