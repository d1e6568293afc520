"""The judge that needs no model: a rule, or a regular expression, applied to the text alone."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.me import PATTERN_PREFIX, Pattern
from headtorch.core.explain.rule import Rule
from headtorch.core.explain.rules import MAX_TOKENS
from headtorch.core.records import Explanation, Verdict


class RuleJudge:
    """Judges every explanation that carries a rule. The empty one (no text, no rule) calls all active."""

    def __call__(self, explanation: Explanation, prompts: Sequence[Sequence[str]]) -> list[Verdict]:
        """Active or inactive for each prompt; raises ExplanationError for a sentence, which no rule can judge."""
        if explanation.rule is None and not explanation.text:
            return [True] * len(prompts)
        if explanation.rule is None:
            raise ExplanationError(
                "A sentence needs a language model as its judge. Without one, write a regular expression: "
                f"{PATTERN_PREFIX}PATTERN, which counts a prompt as active where it is found."
            )
        if explanation.rule.startswith(PATTERN_PREFIX):
            pattern = Pattern(explanation.rule)
            return [pattern.found_in("".join(tokens)) for tokens in prompts]
        rule = Rule.loads(explanation.rule)
        return [rule.judges(tuple(tokens)[-MAX_TOKENS:]) for tokens in prompts]
