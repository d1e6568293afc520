"""A language model as explainer: one call for each head, all heads at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

from headtorch.core.explain.llm.answers import Unusable, explanation_so_far, read_explanation
from headtorch.core.explain.llm.asking import NOT_ASKED, Chat, Distinct
from headtorch.core.explain.llm.prompts import EXPLANATION_SCHEMA, check_version, explainer_messages
from headtorch.core.explain.llm.questions import Answer, Question, Reply, Unanswered
from headtorch.core.explain.protocol import ExplainTask, NoAnswer
from headtorch.core.records import Explanation, HeadId, NeuronId
from headtorch.core.settings import LlmSettings

OnText = Callable[[NeuronId, HeadId, str], None]


class LlmExplainer:
    """Explains heads in a language model's words."""

    def __init__(self, settings: LlmSettings, chat: Chat, *, on_text: OnText | None = None) -> None:
        """`on_text` hears what the model has said of a head until now. Raises ExplanationError for unknown prompts."""
        check_version(settings.prompts)
        self._settings = settings
        self._chat = chat
        self._on_text = on_text

    @property
    def name(self) -> str:
        """ "llm:" and the model's name."""
        return f"llm:{self._settings.model}"

    def questions(self, tasks: Sequence[ExplainTask]) -> list[Question]:
        """What would be asked, each question once."""
        return self._distinct(tasks).questions

    def explain_all(self, tasks: Sequence[ExplainTask]) -> Iterator[Explanation | NoAnswer]:
        """A claim for each task, in the order that the answers come; NoAnswer where none can be used."""
        distinct = self._distinct(tasks)
        waiting = set(range(len(tasks)))
        lost = NOT_ASKED
        with closing(self._chat.ask(distinct.questions)) as replies:
            for number, reply in replies:
                if isinstance(reply, Unanswered) and reply.final:
                    lost = reply
                said = [self._read(tasks[place], reply) for place in distinct.places[number]]
                if not isinstance(reply, Unanswered) and isinstance(said[0], NoAnswer):
                    self._chat.forget(distinct.questions[number])
                waiting.difference_update(distinct.places[number])
                yield from said
        for place in sorted(waiting):
            yield self._read(tasks[place], lost)

    def said_before(
        self, tasks: Sequence[ExplainTask], kept: Callable[[Question], Answer | None]
    ) -> Iterator[Explanation]:
        """The claims that are in kept answers, without asking."""
        for task in tasks:
            answer = kept(self._question(task))
            said = None if answer is None else self._read(task, answer)
            if isinstance(said, Explanation):
                yield said

    def _distinct(self, tasks: Sequence[ExplainTask]) -> Distinct[int]:
        distinct: Distinct[int] = Distinct()
        for place, task in enumerate(tasks):
            distinct.add(self._question(task), place)
        return distinct

    def _question(self, task: ExplainTask) -> Question:
        settings = self._settings
        return Question(
            base_url=settings.base_url,
            model=settings.model,
            messages=explainer_messages(task, hide_target=settings.hide_target),
            schema=EXPLANATION_SCHEMA,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            on_text=partial(self._heard, task.neuron, task.head) if self._on_text else None,
        )

    def _heard(self, neuron: NeuronId, head: HeadId, text: str) -> None:
        if self._on_text is not None:
            self._on_text(neuron, head, explanation_so_far(text))

    def _read(self, task: ExplainTask, reply: Reply) -> Explanation | NoAnswer:
        if isinstance(reply, Unanswered):
            return NoAnswer(neuron=task.neuron, head=task.head, reason=reply.reason)
        claim = read_explanation(reply.text)
        if isinstance(claim, Unusable):
            return NoAnswer(neuron=task.neuron, head=task.head, reason=claim.reason)
        return Explanation(neuron=task.neuron, head=task.head, explainer=self.name, text=claim)
