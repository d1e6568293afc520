"""The optional parts of the chat protocol that a model at an endpoint takes, learnt from what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headtorch.core.explain.llm.faults import message_of
from headtorch.core.explain.llm.logprobs import TOP
from headtorch.core.explain.llm.questions import Question

_REFUSALS = (  # parameter of a request, and the words that complain of it
    ("logprobs", re.compile("logprob")),
    ("response_format", re.compile("response_format|json_schema|guided|grammar|structured output")),
    ("temperature", re.compile("temperature")),
    ("max_tokens", re.compile("max_tokens|max_completion_tokens")),
    ("stream_options", re.compile("stream_options|include_usage")),
    ("stream", re.compile(r"\bstream")),
)
_NOT_ALLOWED = (403, 500, 501)  # what some servers answer to who wants log probabilities of some models
_OF_LENGTH = re.compile(r"context.{0,12}(length|size|window)|too (large|long)")  # names max_tokens, means the prompt


@dataclass
class Dialect:
    """What is sent to one model at one endpoint. Everything, until it is refused."""

    logprobs: bool = True
    response_format: bool = True
    temperature: bool = True
    max_tokens: bool = True  # False: max_completion_tokens, which newer models of OpenAI want
    stream_options: bool = True
    stream: bool = True

    def request(self, question: Question) -> dict[str, Any]:
        """The question as arguments of chat.completions.create; a stream where somebody listens."""
        request: dict[str, Any] = {
            "model": mended(question.model),
            "messages": [{"role": message.role, "content": mended(message.content)} for message in question.messages],
            "max_tokens" if self.max_tokens else "max_completion_tokens": question.max_tokens,
        }
        if question.temperature is not None and self.temperature:
            request["temperature"] = question.temperature
        if question.schema is not None and self.response_format:
            schema = {"name": question.schema.name, "schema": question.schema.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if question.on_text is not None and self.stream:
            request["stream"] = True
            if self.stream_options:
                request["stream_options"] = {"include_usage": True}
        elif question.options and self.logprobs:
            request |= {"logprobs": True, "top_logprobs": TOP}
        return request

    def learns(self, request: dict[str, Any], status: int, body: object) -> bool:
        """Whether the error is of a part of this request that can be left out; it is left out from now on."""
        words = message_of(body).lower()
        if _OF_LENGTH.search(words):
            return False
        for parameter, complaint in _REFUSALS:
            refused = status in (400, 422) or (parameter == "logprobs" and status in _NOT_ALLOWED)
            if refused and parameter in request and complaint.search(words):
                setattr(self, parameter, False)
                return True
        return False


def mended(text: str) -> str:
    """The text as valid Unicode: halves of a character are joined, and lone ones replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
