"""Questions under way: an event loop in a thread of its own, and a line of callers for each endpoint."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType

from headtorch.core.errors import BudgetReached
from headtorch.core.explain.llm.cache import AnswerCache, normal_url
from headtorch.core.explain.llm.endpoint import Endpoint
from headtorch.core.explain.llm.faults import Fault
from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, Question, Reply, Unanswered
from headtorch.core.settings import LlmAccess

_PATIENCE = 0.1  # seconds between looks at whether to go on, and between two texts of one answer
FIRST_DELAY = 0.5  # seconds; doubled with every attempt
_LONGEST_DELAY = 20.0
_GOODBYE = 2.0  # seconds for calls to end; looking up a host's name cannot be broken off
_STOPPED = Unanswered("The work was stopped before the answer came; run again.")


@dataclass(eq=False)
class Asked:
    """Equal questions, which are asked once: their places, and whoever listens to the answer."""

    question: Question
    places: list[int] = field(default_factory=list)
    listeners: list[Callable[[str], None]] = field(default_factory=list)


class Calls:
    """Asks in a thread from entering to leaving; leaving stops what still runs.

    Never more than `access.concurrency` calls are in flight to one endpoint, because so many callers work off its
    line, each one question at a time, its retries included.
    """

    def __init__(
        self,
        asked: Sequence[Asked],
        access: LlmAccess,
        *,
        cache: AnswerCache | None,
        ledger: Ledger,
        open_endpoint: Callable[[str, int], Endpoint],
    ) -> None:
        self._asked = asked
        self._access = access
        self._cache = cache
        self._ledger = ledger
        self._open_endpoint = open_endpoint
        self._refusal: BudgetReached | None = None
        self._running = 0  # questions
        self._settled = asyncio.Event()
        self._replies: SimpleQueue[tuple[Asked, Reply] | BaseException | None] = SimpleQueue()
        self._so_far: dict[Asked, Callable[[], str]] = {}
        self._told: dict[Asked, float] = {}
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="headtorch-chat", daemon=True)

    def __enter__(self) -> Calls:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: all is done
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(_GOODBYE)

    def replies(self, checkpoint: Callable[[], None]) -> Iterator[tuple[Asked, Reply]]:
        """Each question's reply, in order of completion; listeners hear of their answers in between.

        Raises BudgetReached where the ledger refused a question, when the calls that it did allow have ended.
        """
        while True:
            checkpoint()
            try:
                item = self._replies.get(timeout=_PATIENCE)
            except Empty:
                self._tell_so_far()
                continue
            if item is None:
                break
            if isinstance(item, BaseException):
                raise item
            self._so_far.pop(item[0], None)
            self._told.pop(item[0], None)
            if isinstance(item[1], Answer):
                _tell(item[0], item[1].text)
            yield item
            self._tell_so_far()
        if self._refusal is not None:
            raise self._refusal

    def _tell_so_far(self) -> None:
        now = time.monotonic()
        for asked in list(self._so_far):
            if now - self._told.get(asked, 0.0) >= _PATIENCE and (text := self._so_far.pop(asked, None)) is not None:
                self._told[asked] = now
                _tell(asked, text())

    # Everything below runs in the thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._ask_all())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            self._replies.put(error)
        finally:
            if self._cache is not None:
                self._cache.close()
            self._replies.put(None)

    def _stop(self) -> None:
        self._stopped = True
        if self._main is not None:
            self._main.cancel()

    async def _ask_all(self) -> None:
        if self._stopped:
            return
        self._main = asyncio.current_task()
        lines: dict[str, deque[Asked]] = {}
        for asked in self._asked:
            lines.setdefault(normal_url(asked.question.base_url), deque()).append(asked)
        async with asyncio.TaskGroup() as group:
            for line in lines.values():
                group.create_task(self._work_off(line))

    async def _work_off(self, line: deque[Asked]) -> None:
        longest = max(asked.question.max_tokens for asked in line)
        endpoint = self._open_endpoint(line[0].question.base_url, longest)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(max(1, self._access.concurrency), len(line))):
                    group.create_task(self._caller(endpoint, line))
        finally:
            await endpoint.close()

    async def _caller(self, endpoint: Endpoint, line: deque[Asked]) -> None:
        while line and self._refusal is None:
            asked = line.popleft()
            reply: Reply | None = endpoint.given_up.get(asked.question.model)
            if reply is None:
                reply = await self._paid(endpoint, asked)
            else:
                self._ledger.settle(asked.question, reply)
            if reply is not None:
                self._replies.put((asked, reply))

    async def _paid(self, endpoint: Endpoint, asked: Asked) -> Reply | None:
        """The reply, kept and accounted for; None where the ledger allows no call."""
        if not await self._allowed(asked.question):
            return None
        call = _Call()
        self._running += 1
        try:
            await self._call(endpoint, asked, call)
            if isinstance(call.reply, Answer) and self._cache is not None:
                self._cache.put(asked.question, call.reply)
        finally:
            self._ledger.settle(asked.question, call.reply, lost=call.lost)
            self._running -= 1
            self._settled.set()
        return call.reply

    async def _call(self, endpoint: Endpoint, asked: Asked, call: _Call) -> None:
        """Call until there is an answer, or calling is of no more use."""
        model = asked.question.model
        failed = True  # at every attempt
        for attempt in itertools.count(1):
            await endpoint.ready()
            fault = await self._attempt(endpoint, asked, call)
            if fault is None:
                return
            failed = failed and fault.failed
            last = attempt >= self._access.attempts
            if last and fault.down:
                fault.final, endpoint.works = not endpoint.works, False
            elif last and failed:
                _fail(endpoint, model, fault)
            call.reply = fault.unanswered(endpoint.place(model), attempt)
            if fault.final:
                endpoint.given_up[model] = call.reply
            if last or not fault.again:
                return
            endpoint.pause(fault.wait)
            await asyncio.sleep(random.uniform(0, min(_LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))))
            if model in endpoint.given_up or self._claim(asked.question, retry=not fault.charged) is not None:
                return

    async def _attempt(self, endpoint: Endpoint, asked: Asked, call: _Call) -> Fault | None:
        def heard(text: Callable[[], str]) -> None:
            self._so_far[asked] = text

        call.lost += 1  # until more is known: it may be broken off
        try:
            call.reply = await endpoint.answer(asked.question, heard)
        except Fault as fault:
            call.lost -= not fault.charged
            return fault
        call.lost -= 1
        return None

    async def _allowed(self, question: Question) -> bool:
        """Whether a question may be asked at all; waits while calls under way hold what it might cost."""
        while self._refusal is None:
            refusal = self._claim(question)
            if refusal is None:
                return True
            if not self._running or not refusal.for_now:
                self._refusal = refusal
                return False
            self._settled.clear()
            await self._settled.wait()
        return False

    def _claim(self, question: Question, *, retry: bool = False) -> BudgetReached | None:
        try:
            self._ledger.reserve(question, retry=retry)
        except BudgetReached as refusal:
            return refusal
        return None


@dataclass
class _Call:
    reply: Reply = _STOPPED
    lost: int = 0  # calls that may be charged without a count


def _fail(endpoint: Endpoint, model: str, fault: Fault) -> None:
    """One question may be more than an endpoint can bear; the second in a row says that it bears none."""
    if model in endpoint.failing:
        fault.final, fault.what = True, f"{fault.what} at two questions in a row"
    endpoint.failing.add(model)


def _tell(asked: Asked, text: str) -> None:
    for listener in asked.listeners:
        listener(text)
