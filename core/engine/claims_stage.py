"""The stage that tests claims on held-out text: context claims and their heads first, then heads and their contexts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, zip_longest

import msgspec

from headtorch.core.claims import HeadClaim
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.claim_verdicts import claim_verdicts, head_rules
from headtorch.core.engine.context_claims import (
    CONTEXT_EXPLAINER,
    ContextTexts,
    context_claim,
    has_pairs,
    patch,
    shuffled_control,
)
from headtorch.core.engine.firing_stage import driven_neurons
from headtorch.core.engine.head_claims import head_claim, head_controls, resample_contrast, resampled_activations
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, ContextClaimTested, ControlsTested, HeadClaimTested
from headtorch.core.explain.features import feature_table
from headtorch.core.explain.rule import Rule, parsed_rule
from headtorch.core.records import HeadActivity, HeadId, NeuronId
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

WORTH_REWRITING = 0.05  # p of the contrast, below which a head claim is rewritten


def claim_tests(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Every claim of the neurons that heads drive, as far as it is not tested yet.

    Random neurons are a baseline, without patching and rewriting.
    """
    state = study.state
    neurons = driven_neurons(study)
    if not neurons:
        return
    rows = ClaimRows(study, neurons)
    missing = [n for n in neurons if has_pairs(rows, n) and (n, CONTEXT_EXPLAINER) not in state.context_claims]
    patched = patch(workspace, rows, [neuron for neuron in missing if not state.neurons[neuron].random])
    for done, neuron in enumerate(neurons):
        workspace.watch.progress("claims", done, len(neurons), "neurons")
        workspace.watch.checkpoint()
        evidence = Evidence(study, workspace, rows, neuron)
        full = not state.neurons[neuron].random
        with_controls = full and neuron not in state.controls
        texts = ContextTexts(evidence) if has_pairs(rows, neuron) and (with_controls or neuron in missing) else None
        if texts is not None and neuron in missing:
            claim, arrays = context_claim(evidence, texts, patched.get(neuron), full=full)
            yield ContextClaimTested(claim=claim, artefact=study.save_arrays(arrays))
        explainer = study.settings.explainer_name
        yield from _head_claims(study, evidence, explainer, _without_claim(state, explainer, neuron), full=full)
        if with_controls:
            yield _controls(study, evidence, texts)


def head_claim_tests(
    study: Study, workspace: Workspace, explainer: str, heads: Sequence[HeadActivity]
) -> Iterator[HeadClaimTested]:
    """The claims about these heads by an explainer, where it has explained them and its words were judged.

    What is tested already is passed over, and so are heads that claims are not about: those of other neurons than the
    study's own, and all of a study that tests no claims.
    """
    state = study.state
    asked = {(one.neuron, one.head) for one in heads if one.places == "firing"}
    untested = [
        (neuron, head)
        for neuron in state.claim_heads
        for head in _without_claim(state, explainer, neuron)
        if (neuron, head) in asked and neuron in state.neurons
    ]
    rows = ClaimRows(study, list(dict.fromkeys(neuron for neuron, _ in untested)))
    done = 0
    for neuron, group in groupby(untested, key=lambda one: one[0]):
        workspace.watch.progress("claims", done, len(untested), "heads")
        workspace.watch.checkpoint()
        chosen = [head for _, head in group]
        evidence = Evidence(study, workspace, rows, neuron)
        yield from _head_claims(study, evidence, explainer, chosen, full=not state.neurons[neuron].random)
        done += len(chosen)


def _without_claim(state: StudyState, explainer: str, neuron: NeuronId) -> list[HeadId]:
    """The neuron's chosen heads that the explainer has explained and whose claim by it is not tested yet."""
    chosen = state.claim_heads.get(neuron)
    keys = [(neuron, one.head, explainer) for one in (chosen.heads if chosen else [])]
    return [key[1] for key in keys if key in state.explanations and key not in state.head_claims]


def _head_claims(
    study: Study, evidence: Evidence, explainer: str, heads: Collection[HeadId], *, full: bool
) -> Iterator[HeadClaimTested]:
    """The claims about these heads of the neuron, in the order of the chosen heads."""
    neuron, state = evidence.neuron, study.state
    chosen = state.claim_heads.get(neuron)
    held_out = evidence.places.held_out[evidence.rows.firing(neuron)]
    tested = []
    for head in [one for one in (chosen.heads if chosen else []) if one.head in heads]:
        explanation = state.explanations[neuron, head.head, explainer]
        verdicts = claim_verdicts(study, evidence, explanation)
        if verdicts is not None:
            places, holds = verdicts.on(held_out)
            rule = parsed_rule(explanation.rule)
            claim = head_claim(evidence, head, explainer, holds, rule, places=places, full=False)
            tested.append((head, verdicts, rule, claim))
    worth = [head.head for head, _, _, claim in tested if full and _is_worth_rewriting(study, claim)]
    after = resampled_activations(evidence, worth)
    for head, verdicts, rule, claim in tested:
        if head.head in worth:
            places, holds = verdicts.on(held_out)
            claim = head_claim(evidence, head, explainer, holds, rule, places=places, full=True)
            if head.head in after:
                resampled = resample_contrast(evidence, head, holds, after[head.head], places)
                claim = msgspec.structs.replace(claim, contrast_resample=resampled)
        yield HeadClaimTested(claim=claim, artefact=study.save_arrays(verdicts.arrays()))


def _is_worth_rewriting(study: Study, claim: HeadClaim) -> bool:
    """Whether it may be a finding: about context, with effects that differ and an explanation above chance."""
    score = study.state.scores.get((claim.neuron, claim.head, claim.explainer))
    is_told = score is not None and score.interval is not None and score.interval.low > 0.5
    return is_told and claim.tag is None and claim.p is not None and claim.p < WORTH_REWRITING


def _controls(study: Study, evidence: Evidence, texts: ContextTexts | None) -> ControlsTested:
    neuron = evidence.neuron
    chosen = study.state.claim_heads.get(neuron)
    rules = head_rules(study, neuron, study.settings.explainer_name)
    table = feature_table(evidence.texts_at(evidence.train))
    of_heads = head_controls(evidence, chosen.heads if chosen else [], rules, _foreign_rules(study, neuron), table)
    of_context = [shuffled_control(evidence, texts)] if texts is not None else []
    return ControlsTested(neuron=neuron, controls=[*of_context, *of_heads])


def _foreign_rules(study: Study, neuron: NeuronId) -> list[Rule]:
    """The rules of heads of neurons that promote other tokens than this one, neurons in turn."""
    state, token = study.state, study.state.neurons[neuron].token_id
    others = [other for other, row in state.neurons.items() if row.token_id != token]
    by_neuron = [list(head_rules(study, other, study.settings.explainer_name).values()) for other in others]
    return [rule for turn in zip_longest(*by_neuron) for rule in turn if rule is not None]
