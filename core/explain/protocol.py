"""What an explainer and a judge are. Neither ever sees the token that follows a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from headtorch.core.analysis.halves import prompt_text
from headtorch.core.explain.even_sampling import balanced
from headtorch.core.records import Explanation, HeadActivity, HeadId, Judgement, NeuronId, Prompt


@dataclass(frozen=True)
class Example:
    """A prompt of the explaining half, labelled: the text up to and including the token where the neuron fires."""

    tokens: tuple[str, ...]
    active: bool
    looked_up: int | None = None  # index in `tokens` of the source token that gave the head most of its attribution
    weight: float = 0.0  # that token's share of the head's attribution
    effect: float | None = (
        None  # e(h)/a: share of the neuron's activation that the head accounts for at p; < 0: it lowers
    )


@dataclass(frozen=True, kw_only=True)
class ExplainTask:
    """A head to explain: the examples of the explaining half, and the token that the neuron predicts."""

    neuron: NeuronId
    head: HeadId
    examples: Sequence[Example]
    target: str
    clusters: Sequence[int] | None = None  # of near-duplicate documents, of each example


@dataclass(frozen=True, kw_only=True)
class Case:
    """An explanation to judge. `texts` are of `prompts`, in the same order; so are the random places and labels."""

    explanation: Explanation
    prompts: Sequence[int]  # indices in the order of `HeadActivity.active`
    texts: Sequence[Sequence[str]]  # tokens, up to and including the firing token
    controls: Sequence[int] = ()  # places in `prompts` that the controls are judged on
    others: Sequence[Explanation] = ()  # of other heads
    random_texts: Sequence[Sequence[str]] = ()
    random_active: Sequence[bool] = ()
    dropped: int = 0  # scoring prompts dropped as near-copies of explaining ones


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """A head for which a language model could not be had. What it did answer is kept for the next time."""

    neuron: NeuronId
    head: HeadId
    reason: str
    unanswered: int = 1  # calls without an answer
    calls: int = 1  # of so many


class Explainer(Protocol):
    """Says when heads are active, from the explaining half alone."""

    @property
    def name(self) -> str:
        """ "rules", "me", or "llm:" and the model's name."""
        ...

    def explain_all(self, tasks: Sequence[ExplainTask]) -> Iterator[Explanation | NoAnswer]:
        """A claim for each task, in the order that they are made."""
        ...


class Judge(Protocol):
    """Decides for each prompt whether the explanation says "active", from the explanation and the text alone."""

    @property
    def name(self) -> str:
        """ "rule", or "llm:" and the model's name."""
        ...

    def judge_all(self, cases: Sequence[Case]) -> Iterator[Judgement | NoAnswer]:
        """A judgement for each case, in the order that they are made. An empty explanation claims nothing."""
        ...


def explaining_examples(
    prompts: Sequence[Prompt],
    activity: HeadActivity,
    *,
    limit: int | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    looked_up: Sequence[tuple[int, float] | None] | None = None,
    effects: Sequence[float] | None = None,
) -> list[Example]:
    """The explaining half of a neuron's prompts as examples for one head; never a prompt of the scoring half.

    `limit` keeps so many, evenly from both classes as far as they go and spread over each. `texts` is what the
    explainer reads of each prompt of the neuron, up to and including the firing token; the kept tokens where not given.
    `looked_up` holds, per prompt, the index in that text and the share of the source token that mattered most, where
    known; `effects` the head's effect as a share of the activation.
    """
    examples = []
    for i in explaining_places(prompts, activity, limit):
        source, weight = (looked_up[i] if looked_up is not None else None) or (None, 0.0)
        examples.append(
            Example(
                prompt_text(prompts[i]) if texts is None else tuple(texts[i]),
                activity.active[i],
                looked_up=source,
                weight=weight,
                effect=effects[i] if effects is not None else None,
            )
        )
    return examples


def explaining_places(prompts: Sequence[Prompt], activity: HeadActivity, limit: int | None = None) -> list[int]:
    """Indices of the prompts that `explaining_examples` shows, ascending. Raises ValueError for other labels."""
    if len(prompts) != len(activity.active):
        raise ValueError(f"{len(prompts)} prompts but {len(activity.active)} labels.")
    explaining = [i for i, prompt in enumerate(prompts) if prompt.half == "explain"]
    return explaining if limit is None else balanced(explaining, activity.active, limit)
