"""From what an endpoint sends to an answer: bounded while it is read, and complete or not an answer at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeGuard

from headtorch.core.explain.llm.dialect import mended
from headtorch.core.explain.llm.faults import Fault, Place, error_object, garbled, page
from headtorch.core.explain.llm.ledger import estimate_tokens, prompt_tokens
from headtorch.core.explain.llm.logprobs import option_probabilities
from headtorch.core.explain.llm.questions import Answer, Question, Usage

_MOST_TOKENS = 10**9  # a larger count is none


def most_characters(question: Question) -> int:
    """An answer that is longer has not kept to `max_tokens`."""
    return 1000 + 16 * question.max_tokens


def most_bytes(max_tokens: int) -> int:
    """Of a whole response: a stream takes a few hundred bytes for every token."""
    return 65536 + 1024 * max_tokens


def read_completion(completion: Any, question: Question, place: Place) -> Answer:
    """The answer in a response that came whole. Raises Fault for anything but a complete answer."""
    if isinstance(completion, str):  # the client found no JSON
        raise page(place) if completion.lstrip().startswith("<") else garbled(place, "text that is not JSON in UTF-8")
    error = getattr(completion, "error", None)
    if error:
        raise error_object(error, place)
    choice = _first(completion)
    message = getattr(choice, "message", None)
    text = getattr(message, "content", None)
    if not hasattr(message, "content") or not isinstance(text, str | None):
        raise garbled(place, "JSON without choices")
    said = _Said(question, place)
    said.add(text or "")
    said.finish_reason = getattr(choice, "finish_reason", None)
    said.refusal = str(getattr(message, "refusal", None) or "")
    said.usage = getattr(completion, "usage", None)
    said.logprobs = getattr(choice, "logprobs", None)
    return said.answer()


async def read_stream(
    chunks: AsyncIterator[Any], question: Question, place: Place, heard: Callable[[Callable[[], str]], None]
) -> Answer:
    """The answer in a stream. `heard` is given a way to the text so far, after every chunk.

    Raises Fault for anything but a complete answer; a stream that ends without a finish reason is cut off.
    """
    said = _Said(question, place)
    async for chunk in chunks:
        said.usage = getattr(chunk, "usage", None) or said.usage
        choice = _first(chunk)
        delta = getattr(choice, "delta", None)
        text = getattr(delta, "content", None)
        if isinstance(text, str) and text:
            said.add(text)
            heard(said.text)
        said.refusal += str(getattr(delta, "refusal", None) or "")
        said.finish_reason = getattr(choice, "finish_reason", None) or said.finish_reason
    if said.finish_reason is None:
        raise Fault(f"{place.url} broke off in the middle of its answer", "run again later", again=True, charged=True)
    return said.answer()


def too_much(place: Place) -> Fault:
    """An endpoint that does not stop."""
    return Fault(f"{place.url} sent far more than max_tokens allows", "take another model", charged=True)


class _Said:
    """An answer as it comes in."""

    def __init__(self, question: Question, place: Place) -> None:
        self.question = question
        self.place = place
        self.refusal = ""
        self.finish_reason: object = None
        self.usage: Any = None
        self.logprobs: Any = None
        self._pieces: list[str] = []
        self._room = most_characters(question)

    def add(self, piece: str) -> None:
        self._room -= len(piece)
        if self._room < 0:
            raise too_much(self.place)
        self._pieces.append(piece)

    def text(self) -> str:
        return self.place.scrub(mended("".join(self._pieces)))

    def answer(self) -> Answer:
        """Raises Fault for a refusal, for an answer that was cut at `max_tokens`, and for an empty one."""
        text = self.text()
        usage = self._usage(text)
        model = self.place.model[:100]
        if self.refusal or self.finish_reason == "content_filter":
            words = f" ({self.refusal[:160].rstrip('.')})" if self.refusal else ""
            raise Fault(f"{model!r} refuses to answer{words}", "take another model", refused=True, usage=usage)
        if self.finish_reason == "length":
            limit = self.question.max_tokens
            raise Fault(f"{model!r} had not finished after {limit} tokens", "raise max_tokens", usage=usage)
        if not text.strip():
            raise Fault(f"{model!r} gave an empty answer", "take another model, or raise max_tokens", usage=usage)
        return Answer(text, usage, probabilities=option_probabilities(self.logprobs, self.question.options))

    def _usage(self, text: str) -> Usage:
        prompt = getattr(self.usage, "prompt_tokens", None)
        completion = getattr(self.usage, "completion_tokens", None)
        if _is_count(prompt) and _is_count(completion) and prompt:
            return Usage(prompt_tokens=prompt, completion_tokens=completion)
        return Usage(prompt_tokens=prompt_tokens(self.question), completion_tokens=estimate_tokens(text), known=False)


def _first(response: Any) -> Any:
    choices = getattr(response, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
