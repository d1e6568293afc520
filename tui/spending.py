"""What language models take, in words: calls, tokens, dollars. A price that is not known is never 0."""

from __future__ import annotations

from headtorch.core.events import CallsMade, Spending
from headtorch.core.settings import LlmAccess, Settings
from headtorch.core.text import visible

UNKNOWN_PRICE = "price unknown"
CONTROLS = 2  # claims that are judged beside a head's own: another head's, and an empty one


def dollars(cost: float | None) -> str:
    """$0.14, $0.0021, or that nobody knows."""
    if cost is None:
        return UNKNOWN_PRICE
    return f"${cost:,.2f}" if cost >= 0.1 or cost == 0 else f"${cost:.2g}"


def count(number: int, what: str) -> str:
    """1 call, 2 calls, 1,204 calls."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def spent(spending: Spending) -> str:
    """The calls of a request while it runs: "12 calls, 3 from the cache, $0.0021"."""
    words = [count(spending.calls, "call")]
    words += [f"{spending.cached:,} from the cache"] if spending.cached else []
    words += [f"{spending.unanswered:,} unanswered"] if spending.unanswered else []
    return ", ".join([*words, dollars(spending.cost)])


def study_spent(made: CallsMade) -> str:
    """What a study has asked of one model, as a sentence."""
    words = [f"{count(made.calls, 'call')} answered", f"{made.cached:,} from the cache"]
    words += [f"{made.unanswered:,} unanswered"] if made.unanswered else []
    about = "" if made.counted else "about "
    tokens = f"{about}{made.prompt_tokens:,} + {made.completion_tokens:,} tokens"
    cost = dollars(made.cost) if made.cost is None else f"{about}{dollars(made.cost)}"
    return f"{visible(made.model)} at {visible(made.base_url)}: {', '.join(words)}, {tokens}, {cost}."


def caps(access: LlmAccess) -> str:
    """How far calls may go: "at most 500 calls and $2.00"; that nothing holds them where nothing does."""
    limits = [] if access.max_calls is None else [count(access.max_calls, "call")]
    limits += [] if access.max_cost is None else [dollars(access.max_cost)]
    return f"at most {' and '.join(limits)}" if limits else "no cap on calls or cost"


def most_calls_a_head(settings: Settings) -> int:
    """The most calls that explaining and scoring one head can take: 1 + judged texts / texts in a call.

    Judged are up to `score_n` prompts of each class, `control_n` of each class for the controls, and random places.
    """
    llm = settings.llm
    if llm is None:
        return 0
    texts = [2 * settings.score_n, *[2 * min(llm.control_n, settings.score_n)] * CONTROLS, llm.random_n]
    explaining = settings.explainer == "llm"
    return explaining + sum(-(-n // max(1, llm.judge_batch)) for n in texts)
