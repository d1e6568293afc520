"""Asking language models many questions at once, through any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

from headtorch.core.explain.llm.cache import AnswerCache, answer_key, normal_url
from headtorch.core.explain.llm.calls import Asked, Calls
from headtorch.core.explain.llm.dialect import Dialect
from headtorch.core.explain.llm.endpoint import Endpoint
from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, Question, Reply
from headtorch.core.settings import LlmAccess
from headtorch.core.watch import SILENT, Watch


class Chat:
    """Replies to questions: from the cache, or by calls within the ledger's caps.

    Questions to `judge_base_url` carry the key of `access.judge_api_key_env` if that is given, all others that of
    `access.api_key_env`.
    """

    def __init__(
        self,
        access: LlmAccess,
        *,
        cache: AnswerCache | None,
        ledger: Ledger,
        watch: Watch = SILENT,
        judge_base_url: str | None = None,
    ) -> None:
        self._access = access
        self._cache = cache
        self._ledger = ledger
        self._watch = watch
        self._judge = None if judge_base_url is None else normal_url(judge_base_url)
        self._dialects: dict[tuple[str, str], Dialect] = {}

    def ask(self, questions: Sequence[Question]) -> Generator[tuple[int, Reply], None, None]:
        """Each question's place and reply: kept answers first, then others as they come.

        Equal questions are asked once. At most `access.concurrency` calls are in flight to each endpoint; each is
        tried `access.attempts` times, with growing random delays, may be silent for `access.timeout` seconds and take
        ten times as long in all. No more calls are made of a model once its endpoint has refused one for good. An
        answer is kept as soon as it is here, so that stopping loses none.

        The watch is asked every 0.1 s; what it raises, or closing the generator, stops all calls. `Question.on_text`
        is called between replies, in the thread that iterates, at most every 0.1 s and with the whole text before its
        answer is given. Raises BudgetReached after the replies of all calls that were begun.
        """
        kept: list[tuple[Asked, Answer]] = []
        missing: list[Asked] = []
        for asked in _equal(questions):
            self._watch.checkpoint()
            answer = None if self._cache is None else self._cache.get(asked.question)
            if answer is None:
                missing.append(asked)
            else:
                kept.append((asked, answer))
        with Calls(
            missing, self._access, cache=self._cache, ledger=self._ledger, open_endpoint=self._endpoint
        ) as calls:
            for asked, answer in kept:
                self._watch.checkpoint()
                self._ledger.settle(asked.question, answer)
                yield from ((place, answer) for place in asked.places)
            for asked, reply in calls.replies(self._watch.checkpoint):
                yield from ((place, reply) for place in asked.places)

    def forget(self, question: Question) -> None:
        """Ask anew the next time: the answer was of no use."""
        if self._cache is not None:
            self._cache.forget(question)

    def _endpoint(self, base_url: str, max_tokens: int) -> Endpoint:
        where = normal_url(base_url)
        access = self._access
        judge_key = access.judge_api_key_env or access.api_key_env
        names = {access.api_key_env, judge_key}
        return Endpoint(
            base_url,
            access,
            key_name=judge_key if where == self._judge else access.api_key_env,
            secrets=[key for name in names if (key := os.environ.get(name, "").strip())],
            dialects=lambda model: self._dialects.setdefault((where, model), Dialect()),
            max_tokens=max_tokens,
        )


def _equal(questions: Sequence[Question]) -> list[Asked]:
    """The questions without repetitions, in order."""
    found: dict[str, Asked] = {}
    for place, question in enumerate(questions):
        asked = found.setdefault(answer_key(question), Asked(question))
        asked.places.append(place)
        if question.on_text is not None:
            asked.question = question
            asked.listeners.append(question.on_text)
    return list(found.values())
