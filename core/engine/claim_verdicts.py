"""Where an explanation says that a head is active, on its neuron's firing places: by its rule, or as it was judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.explain.me import PATTERN_PREFIX, Pattern
from headtorch.core.explain.rule import Rule, parsed_rule
from headtorch.core.records import Explanation, HeadId, NeuronId
from headtorch.core.study.study import Study


@dataclass(frozen=True)
class ClaimVerdicts:
    """Of every firing place of the neuron, in their order: whether the claim holds, and whether that is known.

    A rule judges all places. A language model judges some held-out ones; those that it did not judge, or not usably,
    take no part in the effect contrast.
    """

    holds: Bool[np.ndarray, " place"]
    judged: Bool[np.ndarray, " place"]

    def on(
        self, held_out: Bool[np.ndarray, " place"]
    ) -> tuple[Int[np.ndarray, " judged"], Bool[np.ndarray, " judged"]]:
        """The judged places of the held-out split, by index into it, and where of these the claim holds."""
        places = np.flatnonzero(self.judged[held_out])
        return places, self.holds[held_out][places]

    def arrays(self) -> dict[str, np.ndarray]:
        """As an artefact."""
        return {"holds": self.holds, "judged": self.judged}


def claim_verdicts(study: Study, evidence: Evidence, explanation: Explanation) -> ClaimVerdicts | None:
    """By the rule or regular expression of the explanation, else by its judgement; None where it was not judged."""
    firing = evidence.rows.firing(evidence.neuron)
    rule = parsed_rule(explanation.rule)
    if rule is not None:
        return ClaimVerdicts(evidence.holds(rule, firing), np.ones(len(firing), bool))
    if explanation.rule is not None and explanation.rule.startswith(PATTERN_PREFIX):
        pattern = Pattern(explanation.rule)
        matches = [pattern.found_in("".join(text)) for text in evidence.texts_at(firing)]
        return ClaimVerdicts(np.array(matches, bool), np.ones(len(firing), bool))
    judgement = study.state.judgements.get((explanation.neuron, explanation.head, explanation.explainer))
    if judgement is None or not judgement.verdicts:
        return None
    holds, judged = np.zeros(len(firing), bool), np.zeros(len(firing), bool)
    holds[judgement.prompts] = [verdict is True for verdict in judgement.verdicts]
    judged[judgement.prompts] = [verdict is not None for verdict in judgement.verdicts]
    return ClaimVerdicts(holds, judged)


def head_rules(study: Study, neuron: NeuronId, explainer: str) -> dict[HeadId, Rule]:
    """The rules of a neuron's explained heads."""
    rules = {
        head: parsed_rule(explanation.rule)
        for (of, head, name), explanation in study.state.explanations.items()
        if (of, name) == (neuron, explainer)
    }
    return {head: rule for head, rule in rules.items() if rule is not None and rule.terms}
