"""Head claims: a head drives the neuron where its rule holds, tested by the head's effect on unseen text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from headtorch.core.analysis.cluster_statistics import clustered_accuracy, ratio_contrast, ratio_contrast_within
from headtorch.core.analysis.position_replay import EditJob, edited_activations
from headtorch.core.claims import ClaimHead, ControlClaim, ControlKind, Estimate, HeadClaim, Rewriting
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rewriting import rewriting_of
from headtorch.core.engine.heads_stage import single_heads
from headtorch.core.explain.features import FeatureTable
from headtorch.core.explain.learning import find_rule
from headtorch.core.explain.named_tokens import is_about_last_token
from headtorch.core.explain.rule import Rule
from headtorch.core.records import HeadId

REWRITTEN = 32  # held-out places that are rewritten for a head claim
DONORS = 4  # of resample ablation, for each place

NO_TERMS = "The explanation has no terms that could be replaced."

Array = Float[np.ndarray, " place"]
Holds = Bool[np.ndarray, " place"]
Ints = Int[np.ndarray, " place"]


@dataclass(frozen=True)
class HeldOut:
    """One head on held-out firing places of the neuron, times the neuron's sign; positive in the claimed direction.

    Effect and activation count so often as places of that class stand behind a place: see `class_weights`.
    """

    effect: Array
    activation: Array
    active: Holds
    clusters: Ints
    last_tokens: Ints
    weight: Array  # the neuron's sign included

    @classmethod
    def of(cls, evidence: Evidence, head: ClaimHead, places: Ints | None = None) -> HeldOut:
        """Read from the neuron's artefact. `places`: which of the held-out firing places; all where not given."""
        mine = evidence.places.held_out[evidence.rows.firing(evidence.neuron)]
        active = evidence.active(head.head)[mine]
        chosen = np.arange(len(active)) if places is None else places
        weight = evidence.sign * class_weights(active, chosen)
        direction = -1.0 if head.suppressing else 1.0
        return cls(
            effect=direction * weight * evidence.effect(head.head)[mine][chosen],
            activation=weight * evidence.activation[evidence.held_out][chosen],
            active=active[chosen],
            clusters=evidence.clusters(evidence.held_out[chosen]),
            last_tokens=evidence.last_tokens(evidence.held_out[chosen]),
            weight=weight,
        )


def class_weights(active: Holds, places: Ints) -> Array:
    """How many places of its class each of `places` stands for: N/n of the class.

    1 for all places. A language model judges as many active as inactive ones; weighted, sums over them estimate the
    sums over all places, so that Δ is that of the firing set and comparable between explainers.
    """
    chosen = active[places]
    of_active, of_inactive = ((active == label).sum() / max(1, int((chosen == label).sum())) for label in (True, False))
    weights: Array = np.where(chosen, of_active, of_inactive).astype(np.float64)
    return weights


def head_claim(
    evidence: Evidence,
    head: ClaimHead,
    explainer: str,
    holds: Holds,
    rule: Rule | None,
    *,
    places: Ints | None = None,
    full: bool,
) -> HeadClaim:
    """The claim that the head is active where `holds` says, by its effects; `full`: with rewriting.

    rule: machine-readable, where the explanation has one; what is judged by a model cannot be rewritten by terms
    places: the held-out firing places that `holds` is of, by index into them; all where not given
    """
    there = HeldOut.of(evidence, head, places)
    contrast, p = ratio_contrast(there.effect, there.activation, holds, there.clusters, seed=evidence.seed)
    within, _ = ratio_contrast_within(
        there.effect, there.activation, holds, there.last_tokens, there.clusters, seed=evidence.seed
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
        documents=len(np.unique(there.clusters)),
        effect_holds=_share(there, holds),
        effect_elsewhere=_share(there, ~holds),
        contrast=contrast,
        p=p,
        within_token=within,
        auroc_ceiling=ceiling(evidence, head.head),
    )
    if not full or (rule is not None and not rule.terms):
        return claim
    return msgspec.structs.replace(claim, rewriting=_rewriting(evidence, head.head, rule))


def _rewriting(evidence: Evidence, head: HeadId, rule: Rule | None) -> Rewriting:
    if rule is None:
        return Rewriting(pairs=0, documents=0, not_testable=NO_TERMS)
    return rewriting_of(evidence, rule, head, limit=REWRITTEN)


def ceiling(evidence: Evidence, head: HeadId) -> float | None:
    """Held-out AUROC of a kernel ridge on the text, for the head's labels."""
    firing = evidence.rows.firing(evidence.neuron)
    active, held_out = evidence.active(head), evidence.places.held_out[firing]
    return evidence.kernel.auroc(active[~held_out], active[held_out])


def _share(there: HeldOut, chosen: Holds) -> float | None:
    total = float(there.activation[chosen].sum())
    return float(there.effect[chosen].sum()) / total if total != 0 else None


def resampled_activations(evidence: Evidence, heads: Sequence[HeadId]) -> dict[HeadId, Array]:
    """Activations on the held-out firing places, each head's output at p taken from other texts, the mean of several.

    Empty where there are no other texts to take it from.
    """
    workspace = evidence.workspace
    by = workspace.stand_ins("resample")
    if by.pool is None or not heads:
        return {}
    queries = evidence.rows.queries(evidence.neuron, evidence.held_out)
    masks = single_heads(workspace, heads)
    donors = np.array([by.drawn(row)[:DONORS] for row in evidence.held_out_rows])  # place donor
    jobs = [EditJob(queries, masks, by.pool.cpu(), donors[:, i].astype(np.int64)) for i in range(donors.shape[1])]
    after = np.mean(edited_activations(workspace.model, evidence.rows.rows, jobs, watch=workspace.watch), axis=0)
    return dict(zip(heads, after, strict=True))


def resample_contrast(
    evidence: Evidence, head: ClaimHead, holds: Holds, after: Array, places: Ints | None = None
) -> Estimate | None:
    """Δ by resample ablation. `after`: of the head, from `resampled_activations`."""
    there = HeldOut.of(evidence, head, places)
    remaining = after if places is None else after[places]
    direction = -1.0 if head.suppressing else 1.0
    effect = direction * (there.activation - there.weight * remaining)
    contrast, _ = ratio_contrast(effect, there.activation, holds, there.clusters, seed=evidence.seed)
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
    """Learned from the head's training labels, shuffled."""
    firing = evidence.rows.firing(evidence.neuron)
    labels = evidence.active(head)[~evidence.places.held_out[firing]]
    rng = np.random.default_rng([evidence.seed, evidence.neuron.layer, evidence.neuron.index, head.layer, head.index])
    return find_rule(table, shuffled_labels(labels, rng), clusters=evidence.clusters(evidence.train))


def shuffled_labels(labels: Holds, rng: np.random.Generator) -> Holds:
    """As many labels, in the same proportion on places truly active and truly inactive.

    In an order that is merely random they still say something of the true ones, and the true rule can be found.
    """
    shuffled = np.zeros(len(labels), bool)
    for members in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        shuffled[rng.permutation(members)[: round(len(members) * float(labels.mean()))]] = True
    return shuffled


def _control(evidence: Evidence, head: ClaimHead, kind: ControlKind, rule: Rule) -> ControlClaim:
    there = HeldOut.of(evidence, head)
    holds: NDArray[np.bool_] = evidence.holds(rule, evidence.held_out)
    e, interval, p_e = clustered_accuracy(holds.tolist(), there.active.tolist(), there.clusters, seed=evidence.seed)
    contrast, p = ratio_contrast(there.effect, there.activation, holds, there.clusters, seed=evidence.seed)
    within, _ = ratio_contrast_within(
        there.effect, there.activation, holds, there.last_tokens, there.clusters, seed=evidence.seed
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
