"""What a person is asked, in which order: blind to the explainer, head after head, first to judge and then to rate.

For each explained head a few scoring prompts of either class are judged from the explanation alone; then the
explanation is rated beside examples of the explaining half, whose labels are shown. The prompts are the same for
everybody, the order is each person's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from headtorch.core.analysis.halves import near_copies
from headtorch.core.records import Explanation, HeadActivity, Prompt
from headtorch.core.study.ratings import AnyAnswer, ExplanationRated, PromptJudged, Question, digest, question_of
from headtorch.core.study.state import StudyState

PER_CLASS = 5  # prompts that are judged of a head
EXAMPLES = 4  # of either class, beside an explanation that is rated


@dataclass(frozen=True)
class Item:
    """One question to one person."""

    rater: str
    explanation: Explanation
    prompt: int | None = None  # to judge, in the order of `HeadActivity.active`; None: rate the explanation

    @property
    def question(self) -> Question:
        said = self.explanation
        return self.rater, (said.neuron, said.head, said.explainer), digest(said.text), self.prompt

    def judged(self, verdict: bool | None) -> PromptJudged:
        """The answer to a prompt."""
        if self.prompt is None:
            raise ValueError("This question is about an explanation.")
        return PromptJudged(**self._about(), prompt=self.prompt, verdict=verdict)  # type: ignore[arg-type]

    def rated(self, rating: int) -> ExplanationRated:
        """The answer to an explanation, 1 to 5."""
        if self.prompt is not None or not 1 <= rating <= 5:
            raise ValueError("A rating is 1 to 5, and about an explanation.")
        return ExplanationRated(**self._about(), rating=rating)  # type: ignore[arg-type]

    def _about(self) -> dict[str, object]:
        said = self.explanation
        return {
            "rater": self.rater,
            "neuron": said.neuron,
            "head": said.head,
            "explainer": said.explainer,
            "words": digest(said.text),
        }


def plan(state: StudyState, rater: str) -> list[Item]:
    """Every question to a person, in the order that this person is asked."""
    seed = state.settings.seed if state.settings is not None else 0
    heads = [(one, prompts) for one in state.explainable() if (prompts := judged_prompts(state, one, seed))]
    draw = Random(f"{seed} {rater}")
    draw.shuffle(heads)
    return [item for activity, prompts in heads for item in _of_head(state, activity, prompts, rater, draw)]


def left(items: Iterable[Item], answers: Iterable[AnyAnswer]) -> list[Item]:
    """The questions without an answer."""
    answered = {question_of(answer) for answer in answers}
    return [item for item in items if item.question not in answered]


def _of_head(state: StudyState, activity: HeadActivity, prompts: list[int], rater: str, draw: Random) -> list[Item]:
    key = activity.neuron, activity.head
    said = [one for name in state.explainers() if (one := state.explanations.get((*key, name))) is not None]
    draw.shuffle(said)
    items = [Item(rater, one, prompt) for one in said for prompt in draw.sample(prompts, len(prompts))]
    draw.shuffle(said)
    return [*items, *(Item(rater, one) for one in said)]


def judged_prompts(state: StudyState, activity: HeadActivity, seed: int) -> list[int]:
    """Up to PER_CLASS scoring prompts of either class, the same for everybody; none where one class is empty.

    Where a judge has judged the head, they are among the judge's.
    """
    judged = [
        one.prompts
        for (neuron, head, _), one in state.judgements.items()
        if (neuron, head) == (activity.neuron, activity.head) and one.verdicts
    ]
    prompts = judged[0] if judged else _unseen(state, activity)
    draw = Random(f"{seed} {activity.neuron} {activity.head}")
    chosen = []
    for label in (True, False):
        of_class = [i for i in prompts if activity.active[i] is label]
        if not of_class:
            return []
        chosen += draw.sample(of_class, min(PER_CLASS, len(of_class)))
    return chosen


def _unseen(state: StudyState, activity: HeadActivity) -> list[int]:
    prompts = state.labelled_prompts(activity)
    copies = near_copies(prompts)
    return [i for i, prompt in enumerate(prompts) if prompt.half == "score" and i not in copies]


def examples(state: StudyState, explanation: Explanation) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts of the explaining half on which the head is active and inactive, the strongest of each."""
    activity = next(
        one for one in state.explainable() if (one.neuron, one.head) == (explanation.neuron, explanation.head)
    )
    known = [
        (prompt, label)
        for prompt, label in zip(state.labelled_prompts(activity), activity.active, strict=True)
        if prompt.half == "explain"
    ]
    active, inactive = ([prompt for prompt, label in known if label is wanted][:EXAMPLES] for wanted in (True, False))
    return active, inactive


def prompt_of(state: StudyState, item: Item) -> Prompt:
    """The prompt that is judged."""
    said = item.explanation
    activity = next(one for one in state.explainable() if (one.neuron, one.head) == (said.neuron, said.head))
    return state.labelled_prompts(activity)[item.prompt or 0]
