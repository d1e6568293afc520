"""Head claims: a head drives the neuron where its rule holds, tested by the head's effect on unseen text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.analysis.cluster_statistics import clustered_accuracy, ratio_contrast, ratio_contrast_within
from headtorch.core.analysis.position_replay import EditJob, edited_activations
from headtorch.core.claims import ClaimHead, ControlClaim, ControlKind, Estimate, HeadClaim
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rewriting import rewriting_of
from headtorch.core.explain.features import FeatureTable
from headtorch.core.explain.learning import find_rule
from headtorch.core.explain.named_tokens import is_about_last_token
from headtorch.core.explain.rule import Rule
from headtorch.core.records import HeadId

REWRITTEN = 40  # held-out places that are rewritten for a head claim
DONORS = 4  # of resample ablation, for each place

Array = Float[np.ndarray, " place"]
Holds = Bool[np.ndarray, " place"]


@dataclass(frozen=True)
class HeldOut:
    """One head on the neuron's held-out firing places, times the neuron's sign; positive in the claimed direction."""

    effect: Array
    activation: Array
    active: Holds

    @classmethod
    def of(cls, evidence: Evidence, head: ClaimHead) -> HeldOut:
        """Read from the neuron's artefact."""
        firing = evidence.rows.firing(evidence.neuron)
        mine = evidence.places.held_out[firing]
        direction = -1.0 if head.suppressing else 1.0
        return cls(
            effect=direction * evidence.sign * evidence.effect(head.head)[mine],
            activation=evidence.sign * evidence.activation[evidence.held_out],
            active=evidence.active(head.head)[mine],
        )


def head_claim(
    evidence: Evidence, head: ClaimHead, explainer: str, holds: Holds, rule: Rule | None, *, full: bool
) -> HeadClaim:
    """The claim that the head is active where `holds` says, by its effects; `full`: with rewriting.

    rule: machine-readable, where the explanation has one; what is judged by a model cannot be rewritten by terms
    """
    there = HeldOut.of(evidence, head)
    clusters = evidence.clusters(evidence.held_out)
    contrast, p = ratio_contrast(there.effect, there.activation, holds, clusters, seed=evidence.seed)
    within, _ = ratio_contrast_within(
        there.effect,
        there.activation,
        holds,
        evidence.last_tokens(evidence.held_out),
        clusters,
        seed=evidence.seed,
    )
    by_last_token = rule is not None and is_about_last_token(rule)
    is_context = within is not None and within.is_above_zero
    claim = HeadClaim(
        neuron=evidence.neuron,
        head=head.head,
        explainer=explainer,
        suppressing=head.suppressing,
        label=head.label,
        label_effect_spearman=head.label_effect_spearman,
        tag="last token" if by_last_token or not is_context else None,
        n_holds=int(holds.sum()),
        n_elsewhere=int((~holds).sum()),
        documents=len(np.unique(clusters)),
        effect_holds=_share(there, holds),
        effect_elsewhere=_share(there, ~holds),
        contrast=contrast,
        p=p,
        within_token=within,
        auroc_ceiling=ceiling(evidence, head.head),
    )
    if not full or rule is None or not rule.terms:
        return claim
    return msgspec.structs.replace(claim, rewriting=rewriting_of(evidence, rule, head.head, limit=REWRITTEN))


def ceiling(evidence: Evidence, head: HeadId) -> float | None:
    """Held-out AUROC of a kernel ridge on the text, for the head's labels."""
    firing = evidence.rows.firing(evidence.neuron)
    active, held_out = evidence.active(head), evidence.places.held_out[firing]
    return evidence.kernel.auroc(active[~held_out], active[held_out])


def _share(there: HeldOut, chosen: Holds) -> float | None:
    total = float(there.activation[chosen].sum())
    return float(there.effect[chosen].sum()) / total if total != 0 else None


def resample_contrast(evidence: Evidence, head: ClaimHead, holds: Holds) -> Estimate | None:
    """Δ by resample ablation: the head's output at p from other texts, several of them, the results averaged."""
    workspace = evidence.workspace
    by = workspace.stand_ins("resample")
    if by.pool is None:
        return None
    queries = evidence.rows.queries(evidence.neuron, evidence.held_out)
    mask = np.zeros((1, workspace.model.facts.n_layers, workspace.model.facts.n_heads), bool)
    mask[0, head.head.layer, head.head.index] = True
    donors = np.array([by.drawn(row)[:DONORS] for row in evidence.held_out_rows])  # place donor
    jobs = [EditJob(queries, mask, by.pool.cpu(), donors[:, i].astype(np.int64)) for i in range(donors.shape[1])]
    after = np.mean(edited_activations(workspace.model, evidence.rows.rows, jobs, watch=workspace.watch), axis=0)[0]
    activation = evidence.activation[evidence.held_out]
    direction = -1.0 if head.suppressing else 1.0
    contrast, _ = ratio_contrast(
        direction * (activation - after), activation, holds, evidence.clusters(evidence.held_out), seed=evidence.seed
    )
    return contrast


def head_controls(
    evidence: Evidence,
    heads: Sequence[ClaimHead],
    rules: Mapping[HeadId, Rule],
    foreign: Sequence[Rule],
    table: FeatureTable,
) -> list[ControlClaim]:
    """For each explained head: the rule of the neuron's next head, one of `foreign`, and one of shuffled labels.

    foreign: rules of heads of neurons that promote other tokens
    """
    explained = [head for head in heads if head.head in rules]
    controls = []
    for i, head in enumerate(explained):
        candidates: dict[ControlKind, Rule | None] = {
            "same_neuron": rules[explained[(i + 1) % len(explained)].head] if len(explained) > 1 else None,
            "other_neuron": foreign[i % len(foreign)] if foreign else None,
            "shuffled": _shuffled_rule(evidence, head.head, table),
        }
        controls += [_control(evidence, head, kind, rule) for kind, rule in candidates.items() if rule is not None]
    return controls


def _shuffled_rule(evidence: Evidence, head: HeadId, table: FeatureTable) -> Rule:
    """Learned from the head's training labels in a random order."""
    firing = evidence.rows.firing(evidence.neuron)
    labels = evidence.active(head)[~evidence.places.held_out[firing]]
    rng = np.random.default_rng([evidence.seed, evidence.neuron.layer, evidence.neuron.index, head.layer, head.index])
    return find_rule(table, rng.permutation(labels), clusters=evidence.clusters(evidence.train))


def _control(evidence: Evidence, head: ClaimHead, kind: ControlKind, rule: Rule) -> ControlClaim:
    there, clusters = HeldOut.of(evidence, head), evidence.clusters(evidence.held_out)
    holds: NDArray[np.bool_] = evidence.holds(rule, evidence.held_out)
    e, interval, p_e = clustered_accuracy(holds.tolist(), there.active.tolist(), clusters, seed=evidence.seed)
    contrast, p = ratio_contrast(there.effect, there.activation, holds, clusters, seed=evidence.seed)
    within, _ = ratio_contrast_within(
        there.effect,
        there.activation,
        holds,
        evidence.last_tokens(evidence.held_out),
        clusters,
        seed=evidence.seed,
    )
    return ControlClaim(
        kind=kind,
        neuron=evidence.neuron,
        head=head.head,
        e=e,
        e_low=interval.low if interval else None,
        p_e=p_e,
        contrast=contrast.value if contrast else None,
        p_contrast=p,
        about_context=within is not None and within.is_above_zero and not is_about_last_token(rule),
    )
