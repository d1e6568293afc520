"""What language models have said until now of heads whose explanation or score is not there yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from headtorch.core.events import (
    AnyEvent,
    ExplanationSoFar,
    HeadExplained,
    HeadScored,
    HeadUnanswered,
    Spending,
    VerdictsSoFar,
)
from headtorch.core.study.state import ExplainedHead


@dataclass
class Heard:
    """What was heard stays after a request was stopped, until the head is explained, scored or asked about again."""

    texts: dict[ExplainedHead, str] = field(default_factory=dict)
    verdicts: dict[ExplainedHead, VerdictsSoFar] = field(default_factory=dict)
    spending: Spending | None = None  # of the request that runs

    def take(self, event: AnyEvent) -> None:
        """Hear of an event; what it settles is forgotten."""
        match event:
            case ExplanationSoFar(neuron=neuron, head=head, explainer=explainer, text=text):
                self.texts[neuron, head, explainer] = text
            case VerdictsSoFar(neuron=neuron, head=head, explainer=explainer):
                self.verdicts[neuron, head, explainer] = event
            case Spending():
                self.spending = event
            case HeadExplained(explanation=said):
                self.texts.pop((said.neuron, said.head, said.explainer), None)
            case HeadScored(score=score):
                self.forget((score.neuron, score.head, score.explainer))
            case HeadUnanswered(neuron=neuron, head=head, explainer=explainer, step="explain"):
                self.forget((neuron, head, explainer))

    def forget(self, about: ExplainedHead) -> None:
        """The head is asked about anew, or settled."""
        self.texts.pop(about, None)
        self.verdicts.pop(about, None)

    def of(self, about: ExplainedHead) -> bool:
        """Whether anything was heard."""
        return about in self.texts or about in self.verdicts
