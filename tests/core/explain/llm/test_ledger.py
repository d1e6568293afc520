"""Calls, tokens and dollars: counted as the endpoint counts, and no cap is ever passed."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import pytest
from chat_client import SCHEMA, question

from headtorch.core.errors import BudgetReached
from headtorch.core.events import CallsMade, Spending
from headtorch.core.explain.llm.ledger import Ledger, dollars, estimate_tokens, most_prompt_tokens, prompt_tokens
from headtorch.core.explain.llm.questions import Answer, Question, Unanswered, Usage
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import Price

URL = "http://localhost:8000/v1"
PRICES = {"small": Price(1.0, 4.0), "free": Price(0.0, 0.0)}
ASKED = question(URL)
YES = Answer("yes", Usage(prompt_tokens=100, completion_tokens=10))
NO = Unanswered("The endpoint was silent; run again.")


def asked(number: int, model: str = "small", max_tokens: int = 64) -> Question:
    return question(URL, f"Number {number}?", model=model, max_tokens=max_tokens)


# estimates


@dataclass(frozen=True)
class Counted:
    """A text, and how many tokens three tokenizers make of it: GPT-4's (cl100k_base), Claude's, DeepSeek's."""

    text: str
    tokens: tuple[int, int, int]


ENGLISH = Counted(
    "Fellow-Citizens of the Senate and House of Representatives: In meeting you again I feel much satisfaction in "
    "being able to repeat my congratulations on the favorable prospects which continue to distinguish our public "
    "affairs.",
    (40, 42, 40),
)
INSTRUCTION = Counted(
    "Decide from the claim and the text alone: is the head active at the end of this text, or inactive? "
    'Text: "the United"',
    (30, 30, 30),
)
JSON = Counted(
    '{"type": "object", "properties": {"verdict": {"type": "string", "enum": ["active", "inactive"]}}}', (29, 29, 30)
)
CHINESE = Counted("注意力头在残差流中写入信息，神经元从中读取并激活。", (28, 23, 16))
GERMAN = Counted("Die Wirtschaft wuchs 1987 um 3,5 Prozent.", (15, 14, 14))


@pytest.mark.parametrize(
    ("counted", "low", "high"),
    [(ENGLISH, 1.0, 1.3), (INSTRUCTION, 1.0, 1.3), (JSON, 1.0, 1.7), (CHINESE, 1.0, 3.2), (GERMAN, 0.66, 1.3)],
)
def test_estimates_are_near_what_tokenizers_make(counted: Counted, low: float, high: float) -> None:
    for tokens in counted.tokens:
        assert low <= estimate_tokens(counted.text) / tokens <= high


@pytest.mark.parametrize("counted", [ENGLISH, INSTRUCTION, JSON, CHINESE, GERMAN])
def test_the_most_that_is_sent_is_more_than_any_tokenizer_makes(counted: Counted) -> None:
    sent = question(URL, counted.text)
    assert most_prompt_tokens(sent) >= max(counted.tokens) + 2 * 4
    assert most_prompt_tokens(sent) >= prompt_tokens(sent)


def test_nothing_is_no_token_and_any_text_can_be_counted() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("\ud800\x00") >= 1


def test_a_schema_is_sent_too() -> None:
    assert prompt_tokens(question(URL, schema=SCHEMA)) > prompt_tokens(ASKED)


# what was spent


def test_cost_is_the_endpoints_count_times_the_price() -> None:
    ledger = Ledger(prices=PRICES)
    ledger.reserve(ASKED)
    ledger.settle(ASKED, YES)
    cost = 100 * 1.0 / 1e6 + 10 * 4.0 / 1e6
    assert ledger.total().cost == pytest.approx(cost, rel=1e-12)
    [made] = ledger.by_model()
    assert made == CallsMade(
        model="small",
        base_url=URL,
        calls=1,
        cached=0,
        unanswered=0,
        prompt_tokens=100,
        completion_tokens=10,
        cost=ledger.total().cost,
    )


def test_cached_answers_cost_nothing() -> None:
    ledger = Ledger(prices={}, max_calls=0)
    ledger.settle(ASKED, Answer("yes", YES.usage, cached=True))
    assert ledger.total() == Spending(calls=0, cached=1, unanswered=0, prompt_tokens=0, completion_tokens=0, cost=0.0)


def test_an_unknown_price_makes_the_cost_unknown_and_never_nothing() -> None:
    ledger = Ledger(prices=PRICES)
    for model in ("small", "unheard-of"):
        ledger.reserve(asked(1, model))
        ledger.settle(asked(1, model), YES)
    assert ledger.total().cost is None
    assert [made.cost is None for made in ledger.by_model()] == [False, True]


def test_a_free_model_costs_nothing_and_that_is_known() -> None:
    ledger = Ledger(prices=PRICES, max_cost=0.0)
    ledger.reserve(asked(1, "free"))
    ledger.settle(asked(1, "free"), YES)
    assert ledger.total().cost == 0.0


def test_a_call_without_an_answer_is_counted_and_costs_what_the_endpoint_says() -> None:
    ledger = Ledger(prices=PRICES)
    ledger.reserve(ASKED)
    ledger.settle(ASKED, NO)
    assert (ledger.total().unanswered, ledger.total().calls, ledger.total().cost) == (1, 0, 0.0)
    ledger.reserve(ASKED)
    ledger.settle(ASKED, Unanswered("It refused; run again.", usage=Usage(prompt_tokens=50, completion_tokens=5)))
    assert (ledger.total().unanswered, ledger.total().cost) == (2, pytest.approx(70e-6))


def test_what_the_endpoint_does_not_count_is_estimated_and_said_to_be() -> None:
    ledger = Ledger(prices=PRICES)
    ledger.reserve(ASKED)
    ledger.settle(ASKED, Answer("yes and no", Usage(known=False)))
    [made] = ledger.by_model()
    assert (made.prompt_tokens, made.completion_tokens) == (prompt_tokens(ASKED), 3)
    assert made.counted is False


def test_a_broken_off_call_costs_the_most_that_it_may_have_cost() -> None:
    ledger = Ledger(prices=PRICES)
    ledger.reserve(ASKED)
    ledger.reserve(ASKED)
    ledger.settle(ASKED, YES, lost=1)
    [made] = ledger.by_model()
    assert (made.prompt_tokens, made.completion_tokens) == (100 + most_prompt_tokens(ASKED), 10 + ASKED.max_tokens)
    assert made.counted is False and made.calls == 1


def test_an_endpoint_is_one_in_any_spelling_and_models_stay_apart() -> None:
    ledger = Ledger(prices=PRICES)
    for one in (question("http://LOCALHOST:8000/v1/"), question(URL), question(URL, model="free")):
        ledger.reserve(one)
        ledger.settle(one, YES)
    assert [(made.model, made.base_url, made.calls) for made in ledger.by_model()] == [
        ("small", URL, 2),
        ("free", URL, 1),
    ]


# caps


def test_the_cap_on_calls_counts_retries_and_no_cached_answer() -> None:
    ledger = Ledger(prices={}, max_calls=3)
    ledger.settle(asked(0), Answer("yes", YES.usage, cached=True))
    ledger.reserve(asked(1))
    ledger.reserve(asked(1), retry=True)
    ledger.reserve(asked(2))
    for again in (False, True):
        with pytest.raises(BudgetReached, match="The cap of 3 calls is reached; what was answered is kept") as reached:
            ledger.reserve(asked(3), retry=again)
        assert not reached.value.for_now


def test_a_cap_below_one_call_lets_none_through() -> None:
    ledger = Ledger(prices=PRICES, max_cost=1e-9)
    with pytest.raises(BudgetReached, match=r"\$0.00 is spent, and the next call may cost up to") as reached:
        ledger.reserve(ASKED)
    assert not reached.value.for_now


def test_calls_under_way_count_with_the_most_that_they_may_cost() -> None:
    most = (most_prompt_tokens(asked(1)) * 1.0 + 64 * 4.0) / 1e6
    ledger = Ledger(prices=PRICES, max_cost=2.5 * most)
    ledger.reserve(asked(1))
    ledger.reserve(asked(2))
    with pytest.raises(BudgetReached) as reached:
        ledger.reserve(asked(3))
    assert reached.value.for_now, "there is room again when one of the two has ended"
    ledger.settle(asked(1), Answer("yes", Usage(prompt_tokens=1, completion_tokens=1)))
    ledger.reserve(asked(3))


def test_a_reservation_serves_again_for_a_retry() -> None:
    most = (most_prompt_tokens(asked(1)) * 1.0 + 64 * 4.0) / 1e6
    ledger = Ledger(prices=PRICES, max_cost=1.5 * most)
    ledger.reserve(asked(1))
    ledger.reserve(asked(1), retry=True)
    ledger.settle(asked(1), NO)
    ledger.reserve(asked(2))


def test_a_capped_cost_and_an_unknown_price_are_refused_before_the_first_call() -> None:
    ledger = Ledger(prices=PRICES, max_cost=100.0)
    ledger.check(["small", "small-2024-07-18", "free"])
    with pytest.raises(BudgetReached) as refused:
        ledger.check(["small", "unheard-of\x1b[2J"])
    said = str(refused.value)
    assert "The price of unheard-of\\x1b[2J is unknown" in said and "prices.toml" in said
    with pytest.raises(BudgetReached, match=r"prices\.toml"):
        ledger.reserve(asked(1, "unheard-of"))
    assert ledger.by_model() == []


@pytest.mark.parametrize("seed", range(3))
def test_with_many_calls_at_once_no_cap_is_passed_at_any_time(seed: int) -> None:
    """Endpoints that count as much as they can: a token for every byte, and answers of the full length."""
    prices = {"a": Price(2.0, 8.0), "b": Price(30.0, 60.0)}
    cap, calls = 0.05, 150
    ledger = Ledger(prices=prices, max_cost=cap, max_calls=calls)
    spent, sent, seen, lock = 0.0, 0, [], threading.Lock()

    def work(draw: random.Random) -> None:
        nonlocal spent, sent
        for _ in range(200):
            one = asked(draw.randrange(10**6), draw.choice("ab"), draw.randrange(1, 200))
            try:
                ledger.reserve(one)
            except BudgetReached as reached:
                if reached.for_now:
                    continue
                return
            usage = Usage(prompt_tokens=most_prompt_tokens(one), completion_tokens=draw.choice([1, one.max_tokens]))
            with lock:
                price = prices[one.model]
                spent += (usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion) / 1e6
                sent += 1
                seen.append(spent)
            ledger.settle(one, Answer("yes", usage))

    threads = [threading.Thread(target=work, args=(random.Random(100 * seed + i),)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(seen) <= cap and sent <= calls
    assert max(seen) > 0.5 * cap or sent == calls, "the caps were never near"
    assert ledger.total().cost == pytest.approx(spent, rel=1e-9)
    assert ledger.total().calls == sent


# plans


def test_a_plan_counts_equal_questions_once_and_kept_answers_apart() -> None:
    ledger = Ledger(prices=PRICES)
    asking = [asked(1), asked(2), asked(1), asked(3), question(URL + "/", "Number 2?")]
    [plan] = ledger.estimate(asking, lambda one: one.messages[-1].content == "Number 3?")
    tokens = prompt_tokens(asked(1)) + prompt_tokens(asked(2))
    assert plan == PlannedCalls(
        model="small",
        base_url=URL,
        calls=2,
        cached=1,
        prompt_tokens=tokens,
        completion_tokens=128,
        cost=pytest.approx((tokens * 1.0 + 128 * 4.0) / 1e6),
    )


def test_a_plan_with_an_unknown_price_has_no_cost_unless_all_is_kept() -> None:
    ledger = Ledger(prices={})
    assert [plan.cost for plan in ledger.estimate([ASKED], lambda one: None)] == [None]
    assert [plan.cost for plan in ledger.estimate([ASKED], lambda one: YES)] == [0.0]
    assert ledger.estimate([], lambda one: None) == []


def test_a_plan_has_a_line_for_each_model() -> None:
    plans = Ledger(prices=PRICES).estimate([asked(1), asked(1, "free"), asked(2)], lambda one: False)
    assert [(plan.model, plan.calls, plan.cost == 0.0) for plan in plans] == [("small", 2, False), ("free", 1, True)]


@pytest.mark.parametrize(
    ("amount", "said"), [(0.0, "$0.00"), (0.00042, "$0.00042"), (0.5, "$0.5"), (12.345, "$12.35"), (2000.0, "$2000.00")]
)
def test_amounts_are_short(amount: float, said: str) -> None:
    assert dollars(amount) == said
