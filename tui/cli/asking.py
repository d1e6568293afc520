"""What the commands share that ask language models: which, how they are reached, and leave to spend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import typer

from headtorch.core.errors import ExplanationError, HeadtorchError, InputError
from headtorch.core.text import visible
from headtorch.tui.cli.progress import aside

if TYPE_CHECKING:
    from headtorch.core.engine.language_models import LanguageModels
    from headtorch.core.events import AnyEvent
    from headtorch.core.records import HeadId, NeuronId, PlannedCalls
    from headtorch.core.settings import LlmAccess, LlmSettings
    from headtorch.core.watch import Watch

NOBODY_TO_ASK = (
    "This would make about {} to a language model, which may cost money, and there is no terminal to confirm it on; "
    "give --yes, with --max-calls or --max-cost as a limit. What there is of the study is kept."
)
NOT_ASKED = "Nothing was asked and nothing was spent; what there is of the study is kept."


def models_for(explainer: str, explanation: str | None, **flags: Any) -> tuple[LlmSettings | None, LlmAccess]:
    """The language model that an explainer needs, from flags and settings; None where it needs none.

    Raises ExplanationError where none is named, InputError for flags that do not go together.
    """
    from headtorch.core.explain.me import MeExplainer
    from headtorch.core.settings import LlmAccess
    from headtorch.tui.explainer_settings import flag, llm_settings
    from headtorch.tui.settings import load_settings

    if (explainer == "me") != (explanation is not None):
        raise InputError("--explainer me and --explanation go together: give both or neither.")
    sentence = explanation is not None and not MeExplainer(explanation).is_pattern
    if explainer != "llm" and not sentence:
        if unheeded := [name for name, value in flags.items() if value is not None]:
            raise InputError(
                f"{', '.join(map(flag, unheeded))}: no language model is asked with --explainer {explainer}; "
                "add --explainer llm, or leave this out."
            )
        return None, LlmAccess()
    if sentence and flags["model"] is None:
        flags["model"] = flags["judge_model"]
    llm, access = llm_settings(load_settings(), **flags)
    if llm is None:
        raise ExplanationError(
            "A sentence cannot be scored by itself: name a language model as its judge with --judge-model, or write a "
            "regular expression, such as --explanation 're: United$'."
            if sentence
            else "Name the language model that explains, with --explainer-model or in the settings."
        )
    return llm, access


class Outcome:
    """Which heads got an answer of those that a command asked language models about."""

    def __init__(self) -> None:
        self._lost: dict[tuple[NeuronId, HeadId], str] = {}
        self._answered: set[tuple[NeuronId, HeadId]] = set()

    def hear(self, event: AnyEvent) -> None:
        """Take in an event of the command."""
        from headtorch.core.events import HeadExplained, HeadJudged, HeadUnanswered

        if isinstance(event, HeadUnanswered):
            self._lost[event.neuron, event.head] = event.reason
        elif isinstance(event, HeadExplained) and event.explanation.explainer != "me":
            self._answered.add((event.explanation.neuron, event.explanation.head))
        elif isinstance(event, HeadJudged) and event.judgement.prompts:  # without prompts nobody was asked
            self._answered.add((event.judgement.neuron, event.judgement.head))

    def check(self) -> None:
        """Raises HeadtorchError where heads were asked about and none got its answers: that is no success."""
        if not self._lost or self._answered - self._lost.keys():
            return
        heads = "The head" if len(self._lost) == 1 else f"None of {len(self._lost)} heads"
        verb = "got no answer" if len(self._lost) == 1 else "got an answer"
        reason = next(iter(self._lost.values())).rstrip(".")
        raise HeadtorchError(f"{heads} {verb}: {reason}; the same command asks again.")


def language_models(access: LlmAccess, watch: Watch, *, yes: bool, silent: bool) -> LanguageModels:
    """Language models as a command reaches them: leave is asked once, and the cost is shown as it grows."""
    from headtorch.core.engine.language_models import LanguageModels

    return LanguageModels(
        access, watch=watch, tell=_cost_on(watch), leave=_leave(yes, silent, lambda: aside(watch)), stream=False
    )


def _cost_on(watch: Watch) -> Callable[[AnyEvent], None]:
    def tell(event: AnyEvent) -> None:
        from headtorch.core.events import Spending

        if isinstance(event, Spending):
            watch.progress("calls", event.calls + event.cached + event.unanswered, 0, price(event.cost))

    return tell


def _leave(
    yes: bool, silent: bool, interlude: Callable[[], AbstractContextManager[None]]
) -> Callable[[list[PlannedCalls]], None]:
    def leave(planned: list[PlannedCalls]) -> None:
        from headtorch.tui.spending import count

        if not yes and not sys.stdin.isatty():
            raise InputError(NOBODY_TO_ASK.format(count(sum(one.calls for one in planned), "call")))
        with interlude():
            if not (silent and yes):  # whoever is asked is told what for
                for one in planned:
                    sys.stderr.write(_sentence(one) + "\n")
            if not yes and not typer.confirm("Ask them?", default=False, err=True):
                raise InputError(NOT_ASKED)

    return leave


def _sentence(one: PlannedCalls) -> str:
    kept = f" ({one.cached:,} more are answered in the cache)" if one.cached else ""
    return (
        f"{visible(one.model)} at {visible(one.base_url)}: about {one.calls:,} calls{kept}, about "
        f"{one.prompt_tokens:,} tokens sent and at most {one.completion_tokens:,} answered, price {price(one.cost)}"
    )


def price(cost: float | None) -> str:
    """US dollars, or that they are unknown: never 0 for what nobody knows."""
    from headtorch.core.explain.llm.ledger import dollars

    if cost is None:
        return "unknown"
    return f"${cost:.4f}" if 0.0001 <= cost < 1 else dollars(cost)
