"""Which explainer and which judge settings ask for, and how much the judge is asked."""

from __future__ import annotations

from dataclasses import dataclass

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.errors import ExplanationError
from headtorch.core.explain.judge import RuleJudge
from headtorch.core.explain.me import PATTERN_PREFIX, MeExplainer
from headtorch.core.explain.protocol import Explainer, Judge
from headtorch.core.explain.rules import RulesExplainer
from headtorch.core.settings import Settings

OTHERS = 3  # explanations of other heads judged as a control, where judging is free
RANDOM_PLACES = 100  # for the precision on random text, where judging is free


@dataclass(frozen=True, kw_only=True)
class Method:
    """How heads are explained and the explanations judged."""

    explainer: Explainer
    judge: Judge
    others: int = OTHERS
    control_n: int | None = None  # prompts of each class that the controls are judged on; None: all
    random_n: int = RANDOM_PLACES
    own_words: str | None = None  # what the researcher says of every head

    @property
    def asks(self) -> bool:
        """Whether a language model is asked for anything."""
        return not isinstance(self.judge, RuleJudge)


def method_of(settings: Settings, models: LanguageModels) -> Method:
    """The explainer that the settings name, and the judge that it needs.

    Raises ExplanationError where what it says could not be used or judged, so that this is known before any work.
    """
    if (settings.explainer == "me") != (settings.explanation is not None):
        raise ExplanationError("--explainer me and --explanation go together: give both or neither.")
    if settings.explainer == "rules":
        return Method(explainer=RulesExplainer(), judge=RuleJudge())
    if settings.explanation is not None:
        mine = MeExplainer(settings.explanation)
        if mine.is_pattern:
            return Method(explainer=mine, judge=RuleJudge(), own_words=mine.text)
        if settings.llm is None:
            raise ExplanationError(
                "A sentence needs a language model as its judge: name one with --judge-model. Without one, write a "
                f"regular expression: {PATTERN_PREFIX}PATTERN, which counts a prompt as active where it is found."
            )
        return _judged_by_a_model(settings, mine, models, mine.text)
    if settings.llm is None:
        raise ExplanationError("The explainer llm needs a language model: name one with --explainer-model.")
    return _judged_by_a_model(settings, models.explainer(settings.llm), models)


def _judged_by_a_model(
    settings: Settings, explainer: Explainer, models: LanguageModels, own_words: str | None = None
) -> Method:
    assert settings.llm is not None
    return Method(
        explainer=explainer,
        judge=models.judge(settings.llm),
        others=1,
        control_n=settings.llm.control_n,
        random_n=settings.llm.random_n,
        own_words=own_words,
    )
