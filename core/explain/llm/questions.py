"""What is asked of a language model, and what comes back. No openai import here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from headtorch.core.records import Record

Role = Literal["system", "user"]


class ChatMessage(Record, frozen=True):
    """One turn of the conversation that is sent."""

    role: Role
    content: str


class Schema(Record, frozen=True):
    """The JSON schema that an answer should follow, under a name."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call: where it goes, what is sent, how long the answer may be. Equal questions have one answer."""

    base_url: str
    model: str
    messages: tuple[ChatMessage, ...]
    schema: Schema | None = None
    temperature: float | None = 0.0  # None: the endpoint's own default
    max_tokens: int = 512
    options: tuple[str, ...] = ()  # words one of which the answer names; how likely each of them is is asked for too
    on_text: Callable[[str], None] | None = field(
        default=None, compare=False
    )  # hears of the answer so far, if streamed


class Usage(Record, frozen=True, kw_only=True):
    """What the endpoint itself counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    known: bool = True  # False: the endpoint counted nothing, the numbers are estimates


@dataclass(frozen=True)
class Answer:
    """What a model said, as it came."""

    text: str
    usage: Usage
    cached: bool = False
    probabilities: tuple[float, ...] | None = None  # of the question's options; None: the endpoint gives none


@dataclass(frozen=True)
class Unanswered:
    """A question without an answer, after all retries: `reason` is one sentence without keys or hostile characters.

    `final` says that every further question to the endpoint would end the same way (a refused key, no such model, an
    empty account), so that asking on is of no use.
    """

    reason: str
    final: bool = False
    refused: bool = False  # the model itself would not answer, and would not the next time
    usage: Usage | None = None  # what was spent all the same, where the endpoint counted it


Reply = Answer | Unanswered


def texts_sent(questions: Sequence[Question]) -> list[str]:
    """Everything that would be sent, a text for each question."""
    return ["\n\n".join(message.content for message in question.messages) for question in questions]
