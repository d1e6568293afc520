"""The judge that needs no model: a rule, or a regular expression, applied to the text alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.features import MAX_TOKENS
from headtorch.core.explain.me import PATTERN_PREFIX, Pattern
from headtorch.core.explain.protocol import Case
from headtorch.core.explain.rule import Rule
from headtorch.core.records import Explanation, Judgement, Verdict


class RuleJudge:
    """Judges every explanation that carries a rule. The empty one (no text, no rule) calls all active."""

    name = "rule"

    def judge_all(self, cases: Sequence[Case]) -> Iterator[Judgement]:
        """A judgement for each case, in their order; raises ExplanationError for a sentence."""
        return map(self.judge, cases)

    def judge(self, case: Case) -> Judgement:
        """Its explanation, the other heads' and an empty one, each on the prompts that it is meant for."""
        said = case.explanation
        of_controls = [case.texts[place] for place in case.controls]
        return Judgement(
            neuron=said.neuron,
            head=said.head,
            explainer=said.explainer,
            judge=self.name,
            prompts=list(case.prompts),
            verdicts=self.verdicts(said, case.texts),
            control_prompts=[case.prompts[place] for place in case.controls],
            others=[self.verdicts(other, of_controls) for other in case.others],
            empty=self.verdicts(msgspec.structs.replace(said, text="", rule=None), of_controls),
            random_active=list(case.random_active),
            random_verdicts=self.verdicts(said, case.random_texts),
            dropped=case.dropped,
            probabilities=self.degrees(said, case.texts),
        )

    def degrees(self, explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[float | None]:
        """Of each text the share of the rule's terms that hold; none for a regular expression, and without terms."""
        if explanation.rule is None or explanation.rule.startswith(PATTERN_PREFIX):
            return []
        rule = Rule.loads(explanation.rule)
        return [rule.degree(tuple(tokens)[-MAX_TOKENS:]) for tokens in texts] if rule.terms else []

    def verdicts(self, explanation: Explanation, texts: Sequence[Sequence[str]]) -> list[Verdict]:
        """Active or inactive for each text; raises ExplanationError for a sentence."""
        if explanation.rule is None and not explanation.text:
            return [True] * len(texts)
        if explanation.rule is None:
            raise ExplanationError(
                "A sentence needs a language model as its judge. Without one, write a regular expression: "
                f"{PATTERN_PREFIX}PATTERN, which counts a prompt as active where it is found."
            )
        if explanation.rule.startswith(PATTERN_PREFIX):
            pattern = Pattern(explanation.rule)
            return [pattern.found_in("".join(tokens)) for tokens in texts]
        rule = Rule.loads(explanation.rule)
        return [rule.judges(tuple(tokens)[-MAX_TOKENS:]) for tokens in texts]
