"""Asking many things at once, each of them once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Generic, Protocol, TypeVar

from headtorch.core.explain.llm.questions import ChatMessage, Question, Reply, Unanswered

T = TypeVar("T")
NOT_ASKED = Unanswered("The language model was not asked.")


class Chat(Protocol):
    """Whatever answers questions."""

    def ask(self, questions: Sequence[Question]) -> Generator[tuple[int, Reply], None, None]:
        """(index of the question, reply), in the order that the replies come; closing it cancels what still runs."""
        ...

    def forget(self, question: Question) -> None:
        """Ask anew the next time: the answer was of no use."""
        ...


class Nobody:
    """A chat that asks nobody: for whoever only wants to know what would be asked."""

    def ask(self, questions: Sequence[Question]) -> Generator[tuple[int, Reply], None, None]:
        yield from ()

    def forget(self, question: Question) -> None:
        """There is nothing to forget."""


class Distinct(Generic[T]):
    """Questions to one model, in the order first added, and what waits for the answer to each."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.places: list[list[T]] = []
        self._number: dict[tuple[ChatMessage, ...], int] = {}

    def add(self, question: Question, place: T) -> int:
        """`place` waits for the answer; returns the question's index. All that differs is what is said."""
        number = self._number.setdefault(question.messages, len(self.questions))
        if number == len(self.questions):
            self.questions.append(question)
            self.places.append([])
        self.places[number].append(place)
        return number
