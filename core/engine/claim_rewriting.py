"""The causal test of a claim's text: the tokens that make a rule hold are replaced, and the neuron is read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.cluster_statistics import paired_difference, relative_change
from headtorch.core.analysis.place_attribution import place_attribution
from headtorch.core.analysis.position_replay import EditJob, Queries, observe, observed_and_edited
from headtorch.core.claims import EditedToken, Estimate, Rewriting, RewrittenText
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.explain.rewriting import RewritePlan, rewrite_places
from headtorch.core.explain.rule import Rule
from headtorch.core.records import HeadId

EXAMPLES = 12  # pairs that are kept with the claim
SHOWN_TOKENS = 40  # of an example

Array = Float[np.ndarray, " pair"]


@dataclass(frozen=True)
class _Numbers:
    """What is measured at the end of each row."""

    activation: Array
    effect: Array | None  # e(h)
    attribution: Array | None  # A(h)


def rewriting_of(evidence: Evidence, rule: Rule, head: HeadId | None, *, limit: int) -> Rewriting:
    """Rewrite up to `limit` held-out firing places where the rule holds; `head`: measure what becomes of it too."""
    texts = evidence.texts_at(evidence.held_out)
    watch = evidence.workspace.watch
    plan = rewrite_places(
        evidence.likely, evidence.held_out_rows, rule, texts, seed=evidence.seed, limit=limit, watch=watch
    )
    pairs = [i for i, placebo in enumerate(plan.placebo_rows) if placebo is not None]
    if plan.not_testable is not None:
        return Rewriting(kind=plan.kind, pairs=len(pairs), documents=0, not_testable=plan.not_testable)
    edited = [plan.edited_rows[i] for i in pairs]
    placebos = [placebo for i in pairs if (placebo := plan.placebo_rows[i]) is not None]
    numbers = _measured(evidence, [*edited, *placebos], head)
    after, placebo_after = (_part(numbers, k, len(pairs)) for k in range(2))
    originals = np.array([plan.originals[i] for i in pairs])
    places = evidence.held_out[originals]
    before = _before(evidence, originals, head)
    clusters = evidence.clusters(places)

    def change(x: Array | None, y: Array | None) -> Estimate | None:
        if x is None or y is None or x.sum() == 0:
            return None
        return relative_change(evidence.sign * x, evidence.sign * y, clusters, seed=evidence.seed)

    difference = None
    if before.activation.sum() != 0:
        difference = paired_difference(
            before.activation,
            after.activation,
            before.activation,
            placebo_after.activation,
            clusters,
            seed=evidence.seed,
        )
    return Rewriting(
        kind=plan.kind,
        pairs=len(pairs),
        documents=len(np.unique(clusters)),
        change=change(before.activation, after.activation),
        placebo=change(before.activation, placebo_after.activation),
        difference=difference,
        effect_change=change(before.effect, after.effect),
        effect_placebo=change(before.effect, placebo_after.effect),
        attribution_change=change(before.attribution, after.attribution),
        attribution_placebo=change(before.attribution, placebo_after.attribution),
        examples=_examples(evidence, plan, pairs, (before.activation, after.activation, placebo_after.activation)),
    )


def _measured(evidence: Evidence, rows: Sequence[Sequence[int]], head: HeadId | None) -> _Numbers:
    model, neuron, watch = evidence.workspace.model, evidence.neuron, evidence.workspace.watch
    ends = np.array([len(row) - 1 for row in rows])
    queries = Queries.of(neuron, np.arange(len(rows)), ends)
    if head is None:
        return _Numbers(observe(model, rows, queries, watch=watch).activation, None, None)
    mask = np.zeros((1, model.facts.n_layers, model.facts.n_heads), bool)
    mask[0, head.layer, head.index] = True
    job = EditJob(queries, mask, evidence.workspace.mean_outputs[None].cpu(), np.zeros(len(rows), np.int64))
    seen, edited = observed_and_edited(model, rows, [job], watch=watch)
    attribution = place_attribution(model, neuron, seen[0])[:, head.layer, head.index]
    return _Numbers(seen[0].activation, seen[0].activation - edited[0][0], attribution)


def _before(evidence: Evidence, originals: NDArray[np.int64], head: HeadId | None) -> _Numbers:
    """The same on the texts as they are, measured before: of held-out places by their number."""
    activation = evidence.activation[evidence.held_out[originals]]
    if head is None:
        return _Numbers(activation, None, None)
    firing = evidence.rows.firing(evidence.neuron)
    mine = np.flatnonzero(evidence.places.held_out[firing])[originals]
    return _Numbers(activation, evidence.effect(head)[mine], evidence.attribution(head)[mine])


def _part(numbers: _Numbers, part: int, size: int) -> _Numbers:
    chosen = slice(part * size, (part + 1) * size)
    return _Numbers(
        numbers.activation[chosen],
        None if numbers.effect is None else numbers.effect[chosen],
        None if numbers.attribution is None else numbers.attribution[chosen],
    )


def _examples(
    evidence: Evidence, plan: RewritePlan, pairs: Sequence[int], activation: tuple[Array, Array, Array]
) -> list[RewrittenText]:
    before, after, placebo = activation
    examples = []
    for n, i in list(enumerate(pairs))[:EXAMPLES]:
        place = int(evidence.held_out[plan.originals[i]])
        text = evidence.texts[place]
        cut = max(0, min(len(text) - SHOWN_TOKENS, *plan.edited[i], *(plan.placebo[i] or ())))
        examples.append(
            RewrittenText(
                document=int(evidence.places.document[place]),
                position=int(evidence.places.position[place]),
                tokens=list(text[cut:]),
                edited=_edits(plan.edited[i], cut),
                placebo=_edits(plan.placebo[i] or {}, cut),
                activation=float(before[n]),
                edited_activation=float(after[n]),
                placebo_activation=float(placebo[n]),
            )
        )
    return examples


def _edits(edits: dict[int, str], cut: int) -> list[EditedToken]:
    return [EditedToken(index - cut, token) for index, token in sorted(edits.items())]
