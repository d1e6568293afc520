"""How likely an answer made each of the words that it had to choose between, by the log probabilities of its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

TOP = 5  # alternatives to each token of an answer that are asked for; some servers give no more


def option_probabilities(logprobs: object, options: Sequence[str]) -> tuple[float, ...] | None:
    """P of each option, their sum 1, at the token with which the answer begins to name one of them.

    logprobs: of a choice of a chat completion, as the client read it
    options: words in small letters, none of which begins another

    Every alternative to that token counts for the option that it begins, or that begins it: "in" for "inactive". The
    answer names an option in the value of a JSON field, else in its only mention of one. None where it does not, and
    where the endpoint gave no log probabilities.
    """
    tokens = list(_tokens(getattr(logprobs, "content", None)))
    start = _named_at("".join(text for text, _ in tokens), options)
    if start is None:
        return None
    ends = 0
    for text, alternatives in tokens:
        ends += len(text)
        if start < ends:
            return _shares(alternatives, options)
    return None


def _tokens(content: object) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Of each token its text, and the alternatives to it with their log probabilities."""
    for token in content if isinstance(content, list) else []:
        text, top = getattr(token, "token", None), getattr(token, "top_logprobs", None)
        alternatives = [_alternative(one) for one in top] if isinstance(top, list) else []
        yield text if isinstance(text, str) else "", [one for one in alternatives if one is not None]


def _alternative(one: object) -> tuple[str, float] | None:
    text, logprob = getattr(one, "token", None), getattr(one, "logprob", None)
    if not isinstance(text, str) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return text, float(logprob)


def _named_at(answer: str, options: Sequence[str]) -> int | None:
    """Where the answer begins to name one of the options."""
    any_option = "|".join(map(re.escape, options))
    mentions = [match.start() for match in re.finditer(rf"\b(?:{any_option})\b", answer, re.IGNORECASE)]
    values = [match.start(1) for match in re.finditer(rf":\s{{0,9}}[\"']?\b({any_option})\b", answer, re.IGNORECASE)]
    if values:
        return values[-1]
    return mentions[0] if len(mentions) == 1 else None


def _shares(alternatives: Sequence[tuple[str, float]], options: Sequence[str]) -> tuple[float, ...] | None:
    weights = dict.fromkeys(options, 0.0)
    for text, logprob in alternatives:
        word = re.sub(r"^\W+", "", text).lower()
        meant = [option for option in options if word and (option.startswith(word) or word.startswith(option))]
        if len(meant) == 1:
            weights[meant[0]] += math.exp(min(logprob, 0.0))
    total = sum(weights.values())
    return tuple(weight / total for weight in weights.values()) if total > 0 else None
