"""How a judge decided on each of a neuron's prompts: while it answers, as it is stored, or as far as a score tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headtorch.core.records import HeadId, NeuronId, Score, Verdict
from headtorch.core.text import visible
from headtorch.tui.panes.detail.labels import Labels

if TYPE_CHECKING:
    from headtorch.tui.session import Session

RIGHT, WRONG, NEITHER = "✓", "✗", "?"


@dataclass(frozen=True)
class Judged:
    """A mark for each prompt, empty where it was not judged or that is not known."""

    marks: list[str]
    total: int  # prompts that the judge decides on
    judge: str = ""  # in words; empty while it answers, and where nobody noted it
    whole: bool = True  # False: some verdicts were not kept

    @property
    def right(self) -> int:
        """Prompts judged rightly."""
        return self.marks.count(RIGHT)

    @property
    def done(self) -> int:
        """Prompts judged."""
        return sum(mark != "" for mark in self.marks)

    def in_words(self) -> str:
        """ "24 of 31 right", or how far the judge is."""
        if self.done < self.total:
            return f"{self.done} of {self.total} judged, {self.right} right"
        return f"{self.right} of {self.done} right"


def judged_of(session: Session, neuron: NeuronId, head: HeadId, explainer: str, labels: Labels) -> Judged | None:
    """What is known of the verdicts on the explainer's words; None where nothing is."""
    key = (neuron, head, explainer)
    if (heard := session.heard.verdicts.get(key)) is not None:
        return Judged(_marks(labels, heard.prompts, heard.verdicts), heard.total)
    if (stored := session.state.judgements.get(key)) is not None and stored.verdicts:
        judge = judge_in_words(stored.judge, explainer)
        return Judged(_marks(labels, stored.prompts, stored.verdicts), len(stored.prompts), judge)
    marks = marks_by_score(labels, session.state.scores.get(key))
    return Judged(marks, sum(mark != "" for mark in marks), whole=False) if any(marks) else None


def judge_in_words(judge: str, explainer: str) -> str:
    """Who decided: the rule or the pattern itself, or a language model by name."""
    if judge == "rule":
        return "the pattern itself" if explainer == "me" else "the rule itself"
    return visible(judge)


def _marks(labels: Labels, prompts: Sequence[int], verdicts: Sequence[Verdict]) -> list[str]:
    marks = [""] * len(labels.active)
    for index, verdict in zip(prompts, verdicts, strict=False):
        if 0 <= index < len(marks):
            marks[index] = NEITHER if verdict is None else RIGHT if verdict is labels.active[index] else WRONG
    return marks


def marks_by_score(labels: Labels, score: Score | None) -> list[str]:
    """The marks that a score without a judgement allows.

    It says which prompts were judged wrongly; the others of its half were right only if all were judged.
    """
    if score is None:
        return [""] * len(labels.prompts)
    wrong = {*score.wrong_active, *score.wrong_inactive}
    halves = [prompt.half == "score" for prompt in labels.prompts]
    judged = {True: score.n_active, False: score.n_inactive}
    all_judged = {
        kind: score.e is not None
        and sum(half and active == kind for half, active in zip(halves, labels.active, strict=True)) == judged[kind]
        for kind in (True, False)
    }
    return [
        WRONG if i in wrong else RIGHT if half and all_judged[active] else ""
        for i, (half, active) in enumerate(zip(halves, labels.active, strict=True))
    ]
