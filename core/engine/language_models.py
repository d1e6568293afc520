"""The language models of one request: how they are reached, what was spent, and what is told while they answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from headtorch.core.errors import InputError
from headtorch.core.events import (
    AnyEvent,
    CallsMade,
    ExplanationSoFar,
    HeadExplained,
    HeadJudged,
    HeadUnanswered,
    Spending,
    VerdictsSoFar,
    Warned,
)
from headtorch.core.explain.llm.explainer import LlmExplainer
from headtorch.core.explain.llm.judge import LlmJudge
from headtorch.core.explain.protocol import Case
from headtorch.core.records import HeadId, NeuronId, PlannedCalls, Verdict
from headtorch.core.settings import LlmAccess, LlmSettings
from headtorch.core.watch import SILENT, Watch

if TYPE_CHECKING:
    from headtorch.core.explain.llm.cache import AnswerCache
    from headtorch.core.explain.llm.chat import Chat
    from headtorch.core.explain.llm.ledger import Ledger

TELL_SECONDS = 0.1  # between two messages about one thing
ACCOUNT_SECONDS = 60.0  # between two entries of what was spent: a process that is killed loses no more

Tell = Callable[[AnyEvent], None]
Leave = Callable[[list[PlannedCalls]], None]


class Telling(Watch):
    """The watch of the calls: between replies it tells what was heard until now, the newest of each kind."""

    def __init__(self, watch: Watch, tell: Tell | None, spending: Callable[[], Spending]) -> None:
        self._watch, self._tell, self._spending = watch, tell, spending
        self._heard: dict[Hashable, AnyEvent] = {}
        self._spent: Spending | None = None
        self._told = 0.0

    def hear(self, about: Hashable, event: AnyEvent) -> None:
        """Keep an event until it is time to tell it; a newer one about the same takes its place."""
        self._heard[about] = event

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self._watch.progress(stage, done, total, unit)

    def checkpoint(self) -> None:
        if self._tell is not None and time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self.tell_all()
        self._watch.waiting()

    def forget(self, about: Hashable) -> None:
        """Whole words have come: what was heard before them is not worth telling any more."""
        self._heard.pop(about, None)

    def tell_all(self) -> None:
        """Tell what was kept, and what was spent where that has changed."""
        if self._tell is None:
            return
        heard, self._heard = self._heard, {}
        for event in heard.values():
            self._tell(event)
        spent = self._spending()
        if spent != self._spent:
            self._spent = spent
            self._tell(spent)


class LanguageModels:
    """Opened when first asked.

    tell: hears what is spent and, with `stream`, what is said as it comes
    leave: hears what a run is about to ask, and may refuse it by raising
    """

    def __init__(
        self,
        access: LlmAccess | None = None,
        *,
        watch: Watch = SILENT,
        tell: Tell | None = None,
        leave: Leave | None = None,
        stream: bool = True,
    ) -> None:
        self.access = access or LlmAccess()
        self.leave = leave
        self._watch, self._tell = watch, tell
        self._stream = stream and tell is not None
        self._accounted: dict[tuple[str, str], CallsMade] = {}
        self._warned: set[str] = set()
        self._unsaid: list[str] = []

    @cached_property
    def ledger(self) -> Ledger:
        """What was asked, and the caps."""
        from headtorch.core.explain.llm.ledger import Ledger

        access = self.access
        return Ledger(prices=access.prices, max_calls=access.max_calls, max_cost=access.max_cost)

    @cached_property
    def cache(self) -> AnswerCache:
        """The answers of all studies."""
        from headtorch.core.explain.llm.cache import AnswerCache

        return AnswerCache()

    def _chat(self, settings: LlmSettings) -> Chat:
        from headtorch.core.explain.llm.chat import Chat

        return Chat(
            self.access,
            cache=self.cache,
            ledger=self.ledger,
            watch=self._telling,
            judge_base_url=settings.judge_base_url,
        )

    @cached_property
    def _telling(self) -> Telling:
        return Telling(self._watch, self._tell, lambda: self.ledger.total())

    def explainer(self, settings: LlmSettings) -> LlmExplainer:
        """The explaining model; what it says is told as it comes."""

        def hear(neuron: NeuronId, head: HeadId, text: str) -> None:
            said = ExplanationSoFar(neuron=neuron, head=head, explainer=f"llm:{settings.model}", text=text)
            self._telling.hear((neuron, head), said)

        self.ledger.check([settings.model])
        return LlmExplainer(settings, self._chat(settings), on_text=hear if self._stream else None)

    def judge(self, settings: LlmSettings) -> LlmJudge:
        """The judging model; its verdicts are told as they come."""

        def hear(case: Case, prompts: list[int], verdicts: list[Verdict], total: int) -> None:
            said = case.explanation
            so_far = VerdictsSoFar(
                neuron=said.neuron,
                head=said.head,
                explainer=said.explainer,
                prompts=prompts,
                verdicts=verdicts,
                total=total,
            )
            self._telling.hear((said.neuron, said.head), so_far)

        self.ledger.check([settings.judge_model or settings.model])
        if settings.judge_batch > 1:
            self._warn(
                f"The judge reads {settings.judge_batch} prompts in one call, so its verdicts may lean on each other; "
                "intervals and p values take them as independent."
            )
        return LlmJudge(settings, self._chat(settings), on_verdicts=hear if self._stream else None)

    def need_keys(self, settings: LlmSettings) -> None:
        """Raises InputError where OpenAI itself would be asked without a key, before any work is done for it."""
        from headtorch.core.explain.llm.endpoint import is_openai

        access = self.access
        judge_key = access.judge_api_key_env if settings.judge_base_url is not None else None
        places = {
            settings.base_url: access.api_key_env,
            settings.judge_base_url or settings.base_url: judge_key or access.api_key_env,
        }
        for url, variable in places.items():
            if is_openai(url) and not os.environ.get(variable, "").strip():
                raise InputError(
                    f"OpenAI wants a key, and the environment variable {variable} is not set; set it to your key, or "
                    "name another endpoint with --base-url."
                )

    def accounted(self, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
        """The events, and what was asked of language models meanwhile: now and then, and where they end in an error."""
        told = time.monotonic()
        yield from self._warnings()
        try:
            for event in events:
                self._forget(event)
                yield event
                if time.monotonic() - told >= ACCOUNT_SECONDS:
                    told = time.monotonic()
                    yield from self.calls_made()
        except Exception:
            yield from self.calls_made()
            raise
        yield from self.calls_made()
        yield from self._warnings()

    def _warnings(self) -> list[Warned]:
        """What was found to warn of and not yet said: before anything is asked, or when it comes to that."""
        if "cache" in vars(self) and self.cache.problem is not None:
            self._warn(self.cache.problem)
        found, self._unsaid = self._unsaid, []
        return [Warned(text=text) for text in found]

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._unsaid.append(text)

    def _forget(self, event: AnyEvent) -> None:
        if isinstance(event, HeadExplained):
            self._telling.forget((event.explanation.neuron, event.explanation.head))
        elif isinstance(event, HeadJudged):
            self._telling.forget((event.judgement.neuron, event.judgement.head))
        elif isinstance(event, HeadUnanswered):
            self._telling.forget((event.neuron, event.head))

    def calls_made(self) -> list[CallsMade]:
        """What was asked since this was last called, by model."""
        if "ledger" not in vars(self):
            return []
        if "_telling" in vars(self):
            self._telling.tell_all()
        made = []
        for now in self.ledger.by_model():
            before = self._accounted.get((now.base_url, now.model))
            self._accounted[now.base_url, now.model] = now
            since = now if before is None else _difference(now, before)
            if since.calls or since.cached or since.unanswered:
                made.append(since)
        return made


def _difference(now: CallsMade, before: CallsMade) -> CallsMade:
    known = now.cost is not None and before.cost is not None
    return CallsMade(
        model=now.model,
        base_url=now.base_url,
        calls=now.calls - before.calls,
        cached=now.cached - before.cached,
        unanswered=now.unanswered - before.unanswered,
        prompt_tokens=now.prompt_tokens - before.prompt_tokens,
        completion_tokens=now.completion_tokens - before.completion_tokens,
        cost=(now.cost or 0.0) - (before.cost or 0.0) if known else None,
        counted=now.counted,
    )
