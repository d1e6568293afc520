"""The offline explainer: no model, no network, the same answer every time.

It finds a short rule over visible features of the text up to the firing token, and that rule judges unseen prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headtorch.core.analysis.statistics import balanced_accuracy
from headtorch.core.explain.features import FeatureTable, feature_table
from headtorch.core.explain.protocol import Example, ExplainTask
from headtorch.core.explain.rule import Rule
from headtorch.core.explain.search import best_rules
from headtorch.core.records import Explanation

FOLDS = 5
MAX_TOKENS = 128  # of a text, counted from its end
LEAST_GAIN = 0.05  # of cross-validated balanced accuracy over guessing, for a rule to be worth stating
LONGER_GAIN = 0.02  # and for each further term


class RulesExplainer:
    """Explains a head by a rule of up to three terms, its length chosen by cross-validation in the explaining half."""

    name = "rules"

    def explain_all(self, tasks: Sequence[ExplainTask]) -> Iterator[Explanation]:
        """A rule for each head, in the order of the tasks."""
        return map(self.explain, tasks)

    def explain(self, task: ExplainTask) -> Explanation:
        """The best rule, in English and machine-readable; the target token plays no part in it."""
        rule = find_rule(task.examples)
        return Explanation(
            neuron=task.neuron,
            head=task.head,
            explainer=self.name,
            text=rule.wording(),
            rule=rule.dumps(),
            train_balanced_accuracy=rule_accuracy(rule, task.examples),
        )


def find_rule(examples: Sequence[Example]) -> Rule:
    """A rule that separates the active from the inactive examples, or one without terms where none does.

    Statements need support in 3 prompts (2 of fewer than 12). The rule's length is the one whose search does best on
    examples left out of it (5 folds), and only a gain over guessing there makes a rule worth stating.
    """
    active = np.array([example.active for example in examples], dtype=bool)
    guess = Rule(default=bool(active.sum() * 2 >= len(active)) if len(active) else False)
    support = 3 if len(active) >= 12 else 2
    if min(int(active.sum()), int((~active).sum())) < 2:
        return guess
    texts = [example.tokens[-MAX_TOKENS:] for example in examples]
    table = feature_table(texts, support=support, suggested=_suggested(examples))
    length = _supported_length(table, texts, active, support)
    rules = best_rules(table, active, support=support)
    return rules[min(length, len(rules)) - 1] if length and rules else guess


def rule_accuracy(rule: Rule, examples: Sequence[Example]) -> float | None:
    """(TPR + TNR)/2 of the rule on these examples; None with one class only."""
    right = [rule.judges(example.tokens[-MAX_TOKENS:]) == example.active for example in examples]
    active = [example.active for example in examples]
    true_active = sum(r for r, a in zip(right, active, strict=True) if a)
    true_inactive = sum(r for r, a in zip(right, active, strict=True) if not a)
    return balanced_accuracy(true_active, sum(active), true_inactive, len(active) - sum(active))


def _suggested(examples: Sequence[Example]) -> Counter[str]:
    """Tokens that the head looked up on at least two active prompts."""
    found = Counter(
        example.tokens[example.looked_up]
        for example in examples
        if example.active and example.looked_up is not None and 0 <= example.looked_up < len(example.tokens)
    )
    return Counter({token: n for token, n in found.items() if n >= 2})


def _supported_length(
    table: FeatureTable, texts: Sequence[Sequence[str]], active: NDArray[np.bool_], support: int
) -> int:
    """The number of terms whose rules do best on held-out folds; 0 when none beats guessing."""
    folds = _folds(active)
    verdicts = {0: np.zeros(len(active), dtype=bool)}
    longest = 0
    for fold in range(min(FOLDS, int(folds.max()) + 1)):
        held_out = np.flatnonzero(folds == fold)
        rules = best_rules(table, active, np.flatnonzero(folds != fold), support=max(2, support - 1))
        for length in range(1, 4):
            verdict = verdicts.setdefault(length, np.zeros(len(active), dtype=bool))
            if rules:
                rule = rules[min(length, len(rules)) - 1]
                verdict[held_out] = [rule.judges(texts[i]) for i in held_out.tolist()]
        longest = max(longest, len(rules))
    chosen, best = 0, 0.5 + LEAST_GAIN - LONGER_GAIN
    for length in range(1, longest + 1):
        right = verdicts[length] == active
        accuracy = float(right[active].mean() + right[~active].mean()) / 2
        if accuracy >= best + LONGER_GAIN:
            chosen, best = length, accuracy
    return chosen


def _folds(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Fold of each example, each class dealt out in turn."""
    folds = np.empty(len(active), dtype=np.int64)
    for label in (True, False):
        members = np.flatnonzero(active == label)
        folds[members] = np.arange(len(members)) % FOLDS
    return folds
