"""The offline explainer: no model, no network, the same answer every time.

It finds a short rule over visible features of the text up to the firing token, and that rule judges unseen prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from headtorch.core.analysis.statistics import balanced_accuracy
from headtorch.core.explain.features import MAX_TOKENS, FeatureTable, feature_table
from headtorch.core.explain.learning import find_rule
from headtorch.core.explain.protocol import Example, ExplainTask
from headtorch.core.explain.rule import Rule
from headtorch.core.records import Explanation


class RulesExplainer:
    """Explains a head by a rule of up to three terms, its length chosen by cross-validation in the train split."""

    name = "rules"

    def explain_all(self, tasks: Sequence[ExplainTask]) -> Iterator[Explanation]:
        """A rule for each head, in the order of the tasks."""
        texts: list[tuple[str, ...]] = []
        table: FeatureTable | None = None
        for task in tasks:
            of_task = [example.tokens for example in task.examples]
            if table is None or of_task != texts:  # heads of a neuron share their texts
                texts, table = of_task, feature_table(of_task)
            yield self._explained(task, table)

    def explain(self, task: ExplainTask) -> Explanation:
        """The best rule, in English and machine-readable; the target token plays no part in it."""
        return self._explained(task, feature_table([example.tokens for example in task.examples]))

    def _explained(self, task: ExplainTask, table: FeatureTable) -> Explanation:
        labels = [example.active for example in task.examples]
        rule = find_rule(table, labels, clusters=task.clusters, suggested=suggested_tokens(task.examples))
        return Explanation(
            neuron=task.neuron,
            head=task.head,
            explainer=self.name,
            text=rule.wording(),
            rule=rule.dumps(),
            train_balanced_accuracy=rule_accuracy(rule, task.examples),
        )


def rule_of_examples(examples: Sequence[Example]) -> Rule:
    """A rule that separates the active from the inactive examples, or one without terms where none does."""
    table = feature_table([example.tokens for example in examples])
    return find_rule(table, [example.active for example in examples], suggested=suggested_tokens(examples))


def rule_accuracy(rule: Rule, examples: Sequence[Example]) -> float | None:
    """(TPR + TNR)/2 of the rule on these examples; None with one class only."""
    right = [rule.judges(example.tokens[-MAX_TOKENS:]) == example.active for example in examples]
    active = [example.active for example in examples]
    true_active = sum(r for r, a in zip(right, active, strict=True) if a)
    true_inactive = sum(r for r, a in zip(right, active, strict=True) if not a)
    return balanced_accuracy(true_active, sum(active), true_inactive, len(active) - sum(active))


def suggested_tokens(examples: Sequence[Example]) -> frozenset[str]:
    """Top source tokens of the head on at least two active examples."""
    sources = Counter(
        example.tokens[example.looked_up]
        for example in examples
        if example.active and example.looked_up is not None and 0 <= example.looked_up < len(example.tokens)
    )
    return frozenset(token for token, n in sources.items() if n >= 2)
