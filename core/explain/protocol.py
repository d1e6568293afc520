"""What an explainer and a judge are. Neither ever sees the token that follows a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from headtorch.core.analysis.halves import prompt_text
from headtorch.core.records import Explanation, HeadActivity, HeadId, Judgement, NeuronId, Prompt


@dataclass(frozen=True)
class Example:
    """A prompt of the explaining half, labelled: the text up to and including the token where the neuron fires."""

    tokens: tuple[str, ...]
    active: bool
    looked_up: int | None = None  # index in `tokens` of the source token that gave the head most of its attribution
    weight: float = 0.0  # that token's share of the head's attribution


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
) -> list[Example]:
    """The explaining half of a neuron's prompts as examples for one head; never a prompt of the scoring half.

    `limit` keeps the first so many, evenly from both classes as far as they go. `texts` is what the explainer reads of
    each prompt of the neuron, up to and including the firing token; the kept tokens where not given. `looked_up` holds,
    per prompt, the index in that text and the share of the source token that mattered most, where known.
    """
    if len(prompts) != len(activity.active):
        raise ValueError(f"{len(prompts)} prompts but {len(activity.active)} labels.")
    chosen = [i for i, prompt in enumerate(prompts) if prompt.half == "explain"]
    if limit is not None:
        chosen = _balanced(chosen, activity.active, limit)
    sources = [None] * len(prompts) if looked_up is None else looked_up
    return [
        Example(
            prompt_text(prompts[i]) if texts is None else tuple(texts[i]),
            activity.active[i],
            *(sources[i] or (None, 0.0)),
        )
        for i in chosen
    ]


def _balanced(chosen: Sequence[int], active: Sequence[bool], limit: int) -> list[int]:
    positives = [i for i in chosen if active[i]]
    negatives = [i for i in chosen if not active[i]]
    n_positive = min(len(positives), max(limit // 2, limit - len(negatives)))
    return sorted(positives[:n_positive] + negatives[: limit - n_positive])
