"""Which prompts a report points at, and how their tokens light up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from headtorch.core.errors import StudyError
from headtorch.core.records import HeadActivity, NeuronId, Prompt
from headtorch.core.study.artefacts import Arrays
from headtorch.core.study.report.parts import CitedPrompt, HeadPart
from headtorch.core.study.shading import ShadedPrompt, from_arrays
from headtorch.core.study.state import StudyState

ACTIVE_SHOWN, INACTIVE_SHOWN = 3, 2  # examples of a head
WRONG_SHOWN = 2  # prompts that an explanation was judged wrongly on, of either class
SHARE_DIGITS = 3


def strongest_first(prompts: Sequence[Prompt]) -> list[int]:
    """The places of the prompts, the largest activation in size first."""
    return sorted(range(len(prompts)), key=lambda i: -abs(prompts[i].activation))


def examples(state: StudyState, activity: HeadActivity) -> tuple[list[int], list[int]]:
    """The strongest prompts on which the head is active, and on which it is not; none that cannot be read."""
    order = strongest_first(_labelled(state, activity))
    active = [i for i in order if activity.active[i]]
    return active[:ACTIVE_SHOWN], [i for i in order if not activity.active[i]][:INACTIVE_SHOWN]


def head_map(state: StudyState, neuron: NeuronId) -> list[list[float | None]]:
    """[layer][head] mean contribution, up to the last layer that feeds the neuron."""
    summaries = state.heads(neuron)
    if not summaries or state.model is None:
        return []
    layers, heads = 1 + max(head.layer for head in summaries), state.model.n_heads
    found: list[list[float | None]] = [[None] * heads for _ in range(layers)]
    for head, summary in summaries.items():
        if head.index < heads:
            found[head.layer][head.index] = summary.mean_direct
    return found


def wrong_prompts(head: HeadPart) -> list[int]:
    """The prompts on which an explanation of the head was judged wrongly, as far as they are shown."""
    return [
        i for score in head.scores for wrong in (score.wrong_active, score.wrong_inactive) for i in wrong[:WRONG_SHOWN]
    ]


def cited_prompts(
    state: StudyState,
    neuron: NeuronId,
    strongest: Sequence[int],
    heads: Sequence[HeadPart],
    load: Callable[[str], Arrays] | None,
) -> list[CitedPrompt]:
    """Every prompt that the neuron's part of the report shows, each once; few for a neuron of the random baseline."""
    prompts = state.all_prompts(neuron)
    if state.neurons[neuron].random:
        return [_cited(i, prompts[i], None, ()) for i in strongest]
    lit = _shading(state, neuron, load)
    cited_by: dict[int, set[str]] = {i: set() for i in strongest}
    for part in heads:
        if part.is_of_firing_places:  # its examples are other places; the strongest show where it looks all the same
            for i in strongest:
                cited_by[i].add(str(part.head))
            continue
        for i in chain(part.active_examples, part.inactive_examples, wrong_prompts(part)):
            if i < len(prompts):
                cited_by.setdefault(i, set()).add(str(part.head))
        for i in strongest:
            if part.activity is not None and part.activity.active[i]:
                cited_by[i].add(str(part.head))
    return [_cited(i, prompts[i], lit.get(i), sorted(names)) for i, names in sorted(cited_by.items())]


def cited_places(state: StudyState, neuron: NeuronId, heads: Sequence[HeadPart]) -> list[CitedPrompt]:
    """Every firing place that a head's examples point at, each once, unshaded."""
    of_places = [part for part in heads if part.is_of_firing_places and part.activity is not None]
    if not of_places or state.neurons[neuron].random:
        return []
    pointed_at = {
        i for part in of_places for i in chain(part.active_examples, part.inactive_examples, wrong_prompts(part))
    }
    prompts = _labelled(state, of_places[0].activity)
    return [_cited(i, prompts[i], None, ()) for i in sorted(pointed_at) if i < len(prompts)]


def _labelled(state: StudyState, activity: HeadActivity | None) -> list[Prompt]:
    """A report without examples is better than none, so an artefact that is missing or damaged is passed over."""
    try:
        return state.labelled_prompts(activity) if activity is not None else []
    except StudyError:
        return []


def _cited(index: int, prompt: Prompt, lit: ShadedPrompt | None, heads: Iterable[str]) -> CitedPrompt:
    known = lit is not None and len(lit.activation) == len(prompt.document_tokens)
    shares, first = (lit.shares, lit.first) if lit is not None and known else ({}, {})
    return CitedPrompt(
        index=index,
        half=prompt.half,
        title=prompt.title,
        tokens=prompt.document_tokens,
        next_token=prompt.next_token,
        activation=prompt.activation,
        lower=prompt.bin is not None,
        lit=[round(value, SHARE_DIGITS) for value in lit.activation] if lit is not None and known else [],
        shares={name: [round(share, SHARE_DIGITS) for share in shares[name]] for name in heads if name in shares},
        first={name: round(first[name], SHARE_DIGITS) for name in heads if name in first},
    )


def _shading(state: StudyState, neuron: NeuronId, load: Callable[[str], Arrays] | None) -> dict[int, ShadedPrompt]:
    """A report without shades is better than none, so an artefact that is missing or damaged is passed over."""
    event = state.shaded.get(neuron)
    if event is None or load is None:
        return {}
    try:
        return from_arrays(load(event.artefact))
    except StudyError:
        return {}
