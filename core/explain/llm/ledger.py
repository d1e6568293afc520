"""What calls may cost, what they did cost, and the caps that no call passes."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from headtorch.core.errors import BudgetReached
from headtorch.core.events import CallsMade, Spending
from headtorch.core.explain.llm.cache import answer_key, normal_url
from headtorch.core.explain.llm.prices import price_of, unknown_price
from headtorch.core.explain.llm.questions import Answer, Question, Reply, Usage
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import Price

_MESSAGE_TOKENS = 8  # of the marks round one message
_CALL_TOKENS = 40  # of what a chat template adds to a conversation
_PIECES = re.compile(r"[A-Za-z]+|[0-9]+|[^\x00-\x7f]|[^\sA-Za-z0-9]|\s{2,}|\n")


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is to any model's tokenizer, rather too many than too few.

    A rule of thumb: a word is a token for every 6 letters begun, a number one for every 2 digits, every other sign
    one, a character beyond ASCII one for every 2 bytes; single spaces belong to the word behind them. Against the
    tokenizers of GPT-4, Claude and DeepSeek: a tenth to a quarter too many for English, up to a third too few for
    German, up to three times as many for Chinese.
    """
    return sum(map(_piece_tokens, _PIECES.findall(text)))


def _piece_tokens(piece: str) -> int:
    if piece[0].isascii():
        if piece[0].isalpha():
            return -(-len(piece) // 6)
        return -(-len(piece) // 2) if piece[0].isdigit() else 1
    return -(-len(piece.encode("utf-8", "surrogatepass")) // 2)


@dataclass
class _Account:
    """What was asked of one model at one endpoint."""

    model: str
    base_url: str
    price: Price | None
    calls: int = 0
    cached: int = 0
    unanswered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True

    @property
    def cost(self) -> float | None:
        used = self.prompt_tokens or self.completion_tokens
        return cost_of(self.price, self.prompt_tokens, self.completion_tokens) if used else 0.0

    def charge(self, question: Question, usage: Usage, text: str = "") -> None:
        if usage.known:
            self.prompt_tokens += max(0, usage.prompt_tokens)
            self.completion_tokens += max(0, usage.completion_tokens)
            return
        self.prompt_tokens += max(usage.prompt_tokens, prompt_tokens(question))
        self.completion_tokens += max(usage.completion_tokens, estimate_tokens(text))
        self.counted = False

    def made(self) -> CallsMade:
        return CallsMade(
            model=self.model,
            base_url=self.base_url,
            calls=self.calls,
            cached=self.cached,
            unanswered=self.unanswered,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            counted=self.counted,
        )


class Ledger:
    """Counts calls, tokens and dollars, and refuses a call that could pass a cap. Safe to use from several threads.

    A call in flight counts with the most that it may cost: every byte of the prompt a token, and an answer of
    `max_tokens`. So `max_cost` holds with any number of calls at once, as far as the endpoint keeps to `max_tokens`.
    """

    def __init__(
        self, *, prices: Mapping[str, Price], max_calls: int | None = None, max_cost: float | None = None
    ) -> None:
        self._prices = dict(prices)
        self._max_calls = max_calls
        self._max_cost = max_cost
        self._lock = threading.Lock()
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._sent = 0  # calls, failed ones included
        self._held: Counter[str] = Counter()  # reservations by question
        self._reserved = 0.0  # dollars, of all reservations

    def check(self, models: Iterable[str]) -> None:
        """Raises BudgetReached where the cost is capped and a model's price is unknown."""
        for model in models:
            if self._max_cost is not None and price_of(self._prices, model) is None:
                raise BudgetReached(unknown_price(model))

    def reserve(self, question: Question, *, retry: bool = False) -> None:
        """Claim a call and its cost before it is made.

        `retry`: the call before it failed at no cost, so that its reservation serves again. Raises BudgetReached,
        and claims nothing, where the call could pass a cap; see its `for_now`.
        """
        self.check([question.model])
        most = 0.0 if retry else self._most(question)
        with self._lock:
            if self._max_calls is not None and self._sent + 1 > self._max_calls:
                raise BudgetReached(
                    f"The cap of {_calls(self._max_calls)} is reached; what was answered is kept. "
                    "Run again to go on: every run counts from 0. A higher max_calls comes further."
                )
            if self._max_cost is not None:
                self._check_cost(self._max_cost, most)
            self._sent += 1
            if not retry:
                self._held[answer_key(question)] += 1
                self._reserved += most

    def _check_cost(self, cap: float, most: float) -> None:
        spent = self._spent()
        if spent + self._reserved + most <= cap:
            return
        open_calls = f", calls under way may cost {dollars(self._reserved)}" if self._held else ""
        raise BudgetReached(
            f"The cap of {dollars(cap)} could be passed: {dollars(spent)} is spent{open_calls}, and the next call may "
            f"cost up to {dollars(most)}. What was answered is kept; run again with a higher max_cost to go on.",
            for_now=bool(self._held) and spent + most <= cap,
        )

    def settle(self, question: Question, reply: Reply, *, lost: int = 0) -> None:
        """Replace the reservation of a question by what its answer did cost.

        A cached answer costs nothing, a missing one what the endpoint counted for it, if anything. `lost` counts calls
        for it that broke off while the endpoint was at work, and so may have been charged: each must have been
        reserved, and counts with the most that it may have cost. Tokens that the endpoint did not count are estimates.
        """
        with self._lock:
            self._release(question, 1 + lost)
            account = self._account(question)
            if lost:
                account.prompt_tokens += lost * most_prompt_tokens(question)
                account.completion_tokens += lost * question.max_tokens
                account.counted = False
            if not isinstance(reply, Answer):
                account.unanswered += 1
                if reply.usage is not None:  # a refusal or a cut answer was paid for
                    account.charge(question, reply.usage)
            elif reply.cached:
                account.cached += 1
            else:
                account.calls += 1
                account.charge(question, reply.usage, reply.text)

    def total(self) -> Spending:
        """All models together."""
        with self._lock:
            accounts = list(self._accounts.values())
            costs = [account.cost for account in accounts]
            known = [cost for cost in costs if cost is not None]
            return Spending(
                calls=sum(account.calls for account in accounts),
                cached=sum(account.cached for account in accounts),
                unanswered=sum(account.unanswered for account in accounts),
                prompt_tokens=sum(account.prompt_tokens for account in accounts),
                completion_tokens=sum(account.completion_tokens for account in accounts),
                cost=math.fsum(known) if len(known) == len(costs) else None,
            )

    def by_model(self) -> list[CallsMade]:
        """One for each model and endpoint, in the order of their first call."""
        with self._lock:
            return [account.made() for account in self._accounts.values()]

    def estimate(self, questions: Sequence[Question], cached: Callable[[Question], object]) -> list[PlannedCalls]:
        """What asking would take, one for each model and endpoint; `cached` says whether an answer is kept already.

        Prompt tokens are estimates; answers are taken to be as long as they may be, so that the cost is rather too
        high. Equal questions are asked once.
        """
        seen: set[str] = set()
        plans: dict[tuple[str, str], list[Question]] = {}
        kept: Counter[tuple[str, str]] = Counter()
        for question in questions:
            if (key := answer_key(question)) in seen:
                continue
            seen.add(key)
            where = (question.model, normal_url(question.base_url))
            waiting = plans.setdefault(where, [])
            if cached(question):
                kept[where] += 1
            else:
                waiting.append(question)
        return [self._plan(*where, waiting, kept[where]) for where, waiting in plans.items()]

    def _plan(self, model: str, base_url: str, waiting: Sequence[Question], kept: int) -> PlannedCalls:
        prompt = sum(map(prompt_tokens, waiting))
        completion = sum(question.max_tokens for question in waiting)
        return PlannedCalls(
            model=model,
            base_url=base_url,
            calls=len(waiting),
            cached=kept,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=cost_of(price_of(self._prices, model), prompt, completion) if waiting else 0.0,
        )

    def _most(self, question: Question) -> float:
        price = price_of(self._prices, question.model)
        return cost_of(price, most_prompt_tokens(question), question.max_tokens) or 0.0

    def _release(self, question: Question, reservations: int) -> None:
        key = answer_key(question)
        released = min(self._held[key], reservations)
        self._held[key] -= released
        self._held += Counter()  # drops what is zero
        self._reserved = self._reserved - released * self._most(question) if self._held else 0.0

    def _spent(self) -> float:
        return math.fsum(account.cost or 0.0 for account in self._accounts.values())

    def _account(self, question: Question) -> _Account:
        where = (question.model, normal_url(question.base_url))
        if where not in self._accounts:
            self._accounts[where] = _Account(*where, price_of(self._prices, question.model))
        return self._accounts[where]


def prompt_tokens(question: Question) -> int:
    """About how many tokens are sent: messages, their marks, and the schema."""
    return sum(map(estimate_tokens, _sent(question))) + _marks(question)


def most_prompt_tokens(question: Question) -> int:
    """At most how many tokens are sent: a token is a byte at least."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _sent(question)) + _marks(question)


def cost_of(price: Price | None, prompt: int, completion: int) -> float | None:
    """(prompt · price + completion · price) / 10⁶ in US dollars; None where the price is unknown."""
    return None if price is None else (prompt * price.prompt + completion * price.completion) / 1e6


def dollars(amount: float) -> str:
    """An amount to read; cents and below where it is small."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


def _sent(question: Question) -> list[str]:
    schema = [] if question.schema is None else [json.dumps(msgspec.to_builtins(question.schema))]
    return [*(message.content for message in question.messages), *schema]


def _marks(question: Question) -> int:
    return _CALL_TOKENS + _MESSAGE_TOKENS * len(question.messages)
