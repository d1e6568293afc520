"""What an explainer and a judge are. Neither ever sees the token that follows the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headtorch.core.analysis.halves import prompt_text
from headtorch.core.analysis.score import Verdict
from headtorch.core.records import Explanation, HeadActivity, HeadId, NeuronId, Prompt

__all__ = ["Example", "Explainer", "Judge", "Verdict", "explaining_examples"]


@dataclass(frozen=True)
class Example:
    """A prompt of the explaining half, labelled: the text up to and including the token where the neuron fires."""

    tokens: tuple[str, ...]
    active: bool
    looked_up: int | None = None  # index in `tokens` of the source token that gave the head most of its attribution
    weight: float = 0.0  # that token's share of the head's attribution


class Explainer(Protocol):
    """Says when a head is active, from the explaining half alone."""

    def explain(self, neuron: NeuronId, head: HeadId, examples: Sequence[Example], *, target: str) -> Explanation:
        """A claim about when `head` is active for `neuron`, which predicts the token `target`."""
        ...


class Judge(Protocol):
    """Decides for each prompt whether the explanation says "active", from the explanation and the text alone."""

    def __call__(self, explanation: Explanation, prompts: Sequence[Sequence[str]]) -> list[Verdict]:
        """One verdict per prompt (its tokens), in order. An explanation with neither text nor rule claims nothing."""
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
