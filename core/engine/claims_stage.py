"""The stage that tests claims on held-out text: context claims and their heads first, then heads and their contexts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import msgspec
import numpy as np

from headtorch.core.claims import HeadClaim
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.context_claims import ContextTexts, context_claim, has_pairs, patch, shuffled_control
from headtorch.core.engine.firing_stage import driven_neurons
from headtorch.core.engine.head_claims import head_claim, head_controls, resample_contrast
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import ExplanationError
from headtorch.core.events import AnyEvent, ContextClaimTested, ControlsTested, HeadClaimTested
from headtorch.core.explain.features import feature_table
from headtorch.core.explain.me import PATTERN_PREFIX
from headtorch.core.explain.rule import Rule
from headtorch.core.records import Explanation, HeadId, NeuronId
from headtorch.core.study.study import Study

WORTH_REWRITING = 0.05  # p of the contrast, below which a head claim is rewritten


def claim_tests(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Every claim of the neurons that heads drive. Random neurons are a baseline, without patching and rewriting."""
    neurons = driven_neurons(study)
    if not neurons:
        return
    rows = ClaimRows(study, neurons)
    found = [neuron for neuron in neurons if not study.state.neurons[neuron].random]
    patched = patch(workspace, rows, [neuron for neuron in found if has_pairs(rows, neuron)])
    for done, neuron in enumerate(neurons):
        workspace.watch.progress("claims", done, len(neurons), "neurons")
        workspace.watch.checkpoint()
        evidence = Evidence(study, workspace, rows, neuron)
        full = neuron in found
        controls = []
        if has_pairs(rows, neuron):
            texts = ContextTexts(evidence)
            claim, arrays = context_claim(evidence, texts, patched.get(neuron), full=full)
            yield ContextClaimTested(claim=claim, artefact=study.save_arrays(arrays))
            if full:
                controls.append(shuffled_control(evidence, texts))
        yield from _head_claims(study, evidence, full=full)
        if full:
            table = feature_table(evidence.texts_at(evidence.train))
            heads = study.state.claim_heads[neuron].heads if neuron in study.state.claim_heads else []
            rules = head_rules(study, neuron, study.settings.explainer_name)
            controls += head_controls(evidence, heads, rules, _foreign_rules(study, neuron), table)
            yield ControlsTested(neuron=neuron, controls=controls)


def _head_claims(study: Study, evidence: Evidence, *, full: bool) -> Iterator[HeadClaimTested]:
    """The claims of the neuron's explained heads by the study's explainer, in the order of the heads."""
    neuron, state, explainer = evidence.neuron, study.state, study.settings.explainer_name
    chosen = state.claim_heads.get(neuron)
    for head in chosen.heads if chosen else []:
        explanation = state.explanations.get((neuron, head.head, explainer))
        holds = None if explanation is None else held_out_verdicts(study, evidence, explanation)
        if explanation is None or holds is None:
            continue
        rule = rule_of(explanation)
        claim = head_claim(evidence, head, explainer, holds, rule, full=False)
        if full and _is_worth_rewriting(study, claim):
            claim = head_claim(evidence, head, explainer, holds, rule, full=True)
            claim = msgspec.structs.replace(claim, contrast_resample=resample_contrast(evidence, head, holds))
        firing = evidence.rows.firing(neuron)
        everywhere = evidence.holds(rule, firing) if rule is not None else _scattered(evidence, holds)
        yield HeadClaimTested(claim=claim, artefact=study.save_arrays({"holds": everywhere}))


def _is_worth_rewriting(study: Study, claim: HeadClaim) -> bool:
    """Whether it may be a finding: about context, with effects that differ and an explanation above chance."""
    score = study.state.scores.get((claim.neuron, claim.head, claim.explainer))
    is_told = score is not None and score.interval is not None and score.interval.low > 0.5
    return is_told and claim.tag is None and claim.p is not None and claim.p < WORTH_REWRITING


def _scattered(evidence: Evidence, holds: np.ndarray) -> np.ndarray:
    """Verdicts on the held-out places as an array over all firing places; what was not judged counts as False."""
    firing = evidence.rows.firing(evidence.neuron)
    everywhere = np.zeros(len(firing), bool)
    everywhere[evidence.places.held_out[firing]] = holds
    return everywhere


def rule_of(explanation: Explanation) -> Rule | None:
    """The explanation's rule in its terms; None for a sentence or a regular expression."""
    if explanation.rule is None or explanation.rule.startswith(PATTERN_PREFIX):
        return None
    try:
        return Rule.loads(explanation.rule)
    except ExplanationError:
        return None


def head_rules(study: Study, neuron: NeuronId, explainer: str) -> dict[HeadId, Rule]:
    """The rules of a neuron's explained heads."""
    said = {
        head: one for (of, head, name), one in study.state.explanations.items() if (of, name) == (neuron, explainer)
    }
    rules = {head: rule_of(one) for head, one in said.items()}
    return {head: rule for head, rule in rules.items() if rule is not None and rule.terms}


def held_out_verdicts(study: Study, evidence: Evidence, explanation: Explanation) -> np.ndarray | None:
    """Where the explanation says that the head is active, on the held-out firing places; from its judgement.

    None where it has not been judged. Places that were not judged, or not usably, count as inactive.
    """
    rule = rule_of(explanation)
    if rule is not None:
        return evidence.holds(rule, evidence.held_out)
    judgement = study.state.judgements.get((explanation.neuron, explanation.head, explanation.explainer))
    if judgement is None or not judgement.verdicts:
        return None
    firing = evidence.rows.firing(evidence.neuron)
    verdicts = np.zeros(len(firing), bool)
    verdicts[judgement.prompts] = [verdict is True for verdict in judgement.verdicts]
    judged: np.ndarray = verdicts[evidence.places.held_out[firing]]
    return judged


def _foreign_rules(study: Study, neuron: NeuronId) -> list[Rule]:
    """The rules of heads of neurons that promote other tokens than this one, neurons in turn."""
    state, token = study.state, study.state.neurons[neuron].token_id
    others = [other for other, row in state.neurons.items() if row.token_id != token]
    by_neuron = [list(head_rules(study, other, study.settings.explainer_name).values()) for other in others]
    return [rule for turn in zip_longest(*by_neuron) for rule in turn if rule is not None]
