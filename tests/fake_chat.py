"""A language model that answers from a function, and the tasks and cases that tests put to it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from headtorch.core.explain.llm.questions import Answer, Question, Reply, Usage
from headtorch.core.explain.protocol import Case, Example, ExplainTask
from headtorch.core.records import Explanation, HeadId, NeuronId

NEURON, HEAD = NeuronId(3, 412), HeadId(2, 4)


class FakeChat:
    """Answers in reverse order, so that nothing can lean on the order of asking; keeps what it was asked."""

    def __init__(self, answer: Callable[[Question], Reply | str | None]) -> None:
        """`answer` may give a text, a reply, or None for a question that is left without any."""
        self._answer = answer
        self.asked: list[Question] = []
        self.batches: list[int] = []
        self.closed = 0
        self.forgotten: list[Question] = []

    def ask(self, questions: Sequence[Question]) -> Generator[tuple[int, Reply], None, None]:
        self.asked += questions
        self.batches.append(len(questions))
        try:
            for number in reversed(range(len(questions))):
                reply = self._answer(questions[number])
                if isinstance(reply, str):
                    reply = Answer(reply, Usage(prompt_tokens=1, completion_tokens=1))
                if reply is not None:
                    yield number, reply
        finally:
            self.closed += 1

    def forget(self, question: Question) -> None:
        self.forgotten.append(question)


def user_text(question: Question) -> str:
    """What the user's turn says."""
    [text] = [message.content for message in question.messages if message.role == "user"]
    return text


def sent(question: Question) -> str:
    """Everything that is sent."""
    return "\n".join(message.content for message in question.messages)


def task(index: int = 4, target: str = " States", examples: Sequence[Example] | None = None) -> ExplainTask:
    """A head to explain, with one example of either class where none are given."""
    given = (Example((" a", f" owl{index}"), True), Example((" the", " tree"), False)) if examples is None else examples
    return ExplainTask(neuron=NEURON, head=HeadId(2, index), examples=given, target=target)


def explanation(index: int = 4, text: str | None = None, rule: str | None = None) -> Explanation:
    """What was said of a head."""
    said = f"Active after word {index}." if text is None else text
    return Explanation(neuron=NEURON, head=HeadId(2, index), explainer="llm:big", text=said, rule=rule)


def case(
    index: int = 4,
    texts: Sequence[Sequence[str]] = ((" a", " b"), (" c",), (" d",)),
    controls: Sequence[int] = (0, 2),
    others: Sequence[Explanation] = (),
    random_texts: Sequence[Sequence[str]] = (),
) -> Case:
    """An explanation to judge; its prompts are 10, 11, …"""
    return Case(
        explanation=explanation(index),
        prompts=[10 + place for place in range(len(texts))],
        texts=texts,
        controls=controls,
        others=others,
        random_texts=random_texts,
        random_active=[True] * len(random_texts),
        dropped=2,
    )
