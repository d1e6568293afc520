"""Context claims: after its tokens, a neuron fires where a rule about the text before holds; and which heads do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from headtorch.core.analysis.cluster_statistics import clustered_accuracy, ratio_estimate
from headtorch.core.analysis.lookup import head_lookups
from headtorch.core.analysis.matched_patching import (
    JOINT,
    SINGLE,
    Exchanged,
    counted,
    exchange,
    first_heads,
    head_sets,
    heads_for_most,
    limited,
    ranked_heads,
)
from headtorch.core.analysis.statistics import auroc
from headtorch.core.claims import ContextClaim, ControlClaim, JointHeads, MatchedHead
from headtorch.core.engine.claim_evidence import Evidence
from headtorch.core.engine.claim_rewriting import rewriting_of
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.explain.ceiling import TextKernel
from headtorch.core.explain.features import FeatureTable, feature_table
from headtorch.core.explain.learning import find_rule
from headtorch.core.explain.named_tokens import named_tokens
from headtorch.core.explain.rule import Rule
from headtorch.core.records import HeadId, NeuronId

CONTEXT_EXPLAINER = "rules"  # whoever explains heads: contexts are learned offline
FEWEST_PAIRS = 20  # in either split, for a context claim
REWRITTEN = 48  # held-out places that are rewritten
TRACED = 24  # held-out places on which attention is looked at
COUNTED_PAIRS = 80  # for the number of heads that take 80 %
GROUP_BYTES = 2**30  # of head outputs of the neurons whose pairs are exchanged together

Ints = Int[np.ndarray, " place"]
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Patched:
    """Heads exchanged within a neuron's held-out pairs: the strongest alone, then 5, 20 and all together."""

    ranked: list[HeadId]
    exchanged: Exchanged
    heads_for_80: int | None


class ContextTexts:
    """The texts of a neuron's matched pairs: firing places first, then those where it is off."""

    def __init__(self, evidence: Evidence) -> None:
        self.pairs = {split: evidence.rows.pairs(evidence.neuron, held_out=split) for split in (False, True)}
        self.train, self.held_out = (np.concatenate(self.pairs[split]) for split in (False, True))
        self.train_labels, self.held_out_labels = (
            np.arange(2 * len(self.pairs[split][0])) < len(self.pairs[split][0]) for split in (False, True)
        )
        self._evidence = evidence
        self.table: FeatureTable = feature_table(evidence.texts_at(self.train))

    @property
    def n_pairs(self) -> int:
        return len(self.pairs[True][0])

    def rule(self, labels: Bool[np.ndarray, " text"]) -> Rule:
        """The rule that separates the labelled training texts."""
        return find_rule(self.table, labels, clusters=self._evidence.clusters(self.train))

    def ceiling(self) -> float | None:
        """Held-out AUROC of a kernel ridge on the text."""
        texts = self._evidence.texts_at
        return TextKernel(texts(self.train), texts(self.held_out)).auroc(self.train_labels, self.held_out_labels)


def has_pairs(rows: ClaimRows, neuron: NeuronId) -> bool:
    """Whether there are enough matched pairs in both splits."""
    return all(len(rows.pairs(neuron, held_out=split)[0]) >= FEWEST_PAIRS for split in (False, True))


def patch(workspace: Workspace, rows: ClaimRows, neurons: Sequence[NeuronId]) -> dict[NeuronId, Patched]:
    """Matched patching of neurons; as many together as memory allows, so that they share passes over their rows."""
    patched: dict[NeuronId, Patched] = {}
    facts = workspace.model.facts
    per_pair = 2 * 4 * facts.n_layers * facts.n_heads * facts.d_head
    group: list[NeuronId] = []
    size = 0
    for neuron in neurons:
        pairs = sum(len(rows.pairs(neuron, held_out=split)[0]) for split in (False, True))
        if group and size + pairs * per_pair > GROUP_BYTES:
            patched |= _patch_group(workspace, rows, group)
            group, size = [], 0
        group.append(neuron)
        size += pairs * per_pair
    return patched | (_patch_group(workspace, rows, group) if group else {})


def _patch_group(workspace: Workspace, rows: ClaimRows, neurons: Sequence[NeuronId]) -> dict[NeuronId, Patched]:
    model, watch = workspace.model, workspace.watch
    train = [rows.matched(neuron, held_out=False) for neuron in neurons]
    held_out = [rows.matched(neuron, held_out=True) for neuron in neurons]
    ranked = ranked_heads(model, rows.rows, train, watch=watch)
    masks = [head_sets(model, neuron, heads) for neuron, heads in zip(neurons, ranked, strict=True)]
    counts = [counted(heads) for heads in ranked]
    masks += [first_heads(model, heads, some) for heads, some in zip(ranked, counts, strict=True)]
    pairs = held_out + [limited(one, COUNTED_PAIRS) for one in held_out]
    both_ways = [n < len(neurons) for n in range(len(pairs))]
    done = exchange(model, rows.rows, pairs, masks, both_ways, watch=watch)
    return {
        neuron: Patched(ranked[n], done[n], heads_for_most(done[n + len(neurons)], counts[n]))
        for n, neuron in enumerate(neurons)
    }


def context_claim(
    evidence: Evidence, texts: ContextTexts, patched: Patched | None, *, full: bool
) -> tuple[ContextClaim, Arrays]:
    """The claim by the rule learner, tested on held-out pairs; `full`: with rewriting and where heads attend."""
    rule = texts.rule(texts.train_labels)
    verdicts = evidence.holds(rule, texts.held_out)
    clusters = evidence.clusters(texts.held_out)
    e, interval, p = clustered_accuracy(verdicts.tolist(), texts.held_out_labels.tolist(), clusters, seed=evidence.seed)
    degree = [rule.degree(text) for text in evidence.texts_at(texts.held_out)]
    on = texts.held_out_labels
    claim = ContextClaim(
        neuron=evidence.neuron,
        explainer=CONTEXT_EXPLAINER,
        text=_wording(rule),
        rule=rule.dumps(),
        pairs=texts.n_pairs,
        documents=len(np.unique(clusters)),
        true_firing=int((verdicts & on).sum()),
        true_off=int((~verdicts & ~on).sum()),
        firing=int(on.sum()),
        off=int((~on).sum()),
        e=e,
        interval=interval,
        p=p,
        auroc=auroc(degree, on),
        auroc_ceiling=texts.ceiling(),
        heads=matched_heads(evidence, texts, rule, patched, full) if patched else [],
        joint=_joint(evidence, texts, patched) if patched else [],
        eligible_heads=len(patched.ranked) if patched else 0,
        heads_for_80=patched.heads_for_80 if patched else None,
        rewriting=rewriting_of(evidence, rule, None, limit=REWRITTEN) if full and rule.terms else None,
    )
    return claim, _arrays(evidence, texts, rule, patched, [one.head for one in claim.heads])


def _wording(rule: Rule) -> str:
    return rule.wording().replace("Active when ", "Fires where ", 1)


def _arrays(
    evidence: Evidence, texts: ContextTexts, rule: Rule, patched: Patched | None, heads: Sequence[HeadId]
) -> Arrays:
    """What the artefact of the claim holds; `heads` in the claim's order, in units of the activation."""
    every = np.arange(len(evidence.places))
    on, off = texts.pairs[True]
    arrays: Arrays = {"holds": evidence.holds(rule, every), "pair_on": on, "pair_off": off}
    if patched is not None:
        columns = [patched.ranked.index(head) for head in heads]
        arrays["taken"] = (evidence.sign * patched.exchanged.taken[columns].T).astype(np.float32)  # pair head
        arrays["restored"] = (evidence.sign * patched.exchanged.restored[columns].T).astype(np.float32)
    return arrays


def matched_heads(
    evidence: Evidence, texts: ContextTexts, rule: Rule, patched: Patched, full: bool
) -> list[MatchedHead]:
    """What each of the strongest heads takes and restores, and how much of its attention is on the rule's tokens."""
    done, on = patched.exchanged, texts.pairs[True][0]
    clusters, holds = evidence.clusters(on), evidence.holds(rule, on)
    singles = patched.ranked[:SINGLE]
    attends = _attends(evidence, rule, on[holds], singles) if full and rule.terms else {}
    heads = []
    for i, head in enumerate(singles):
        taken, p = ratio_estimate(done.taken[i], done.difference, clusters, seed=evidence.seed)
        restored, _ = ratio_estimate(done.restored[i], done.difference, clusters, seed=evidence.seed)
        attention, attribution = attends.get(head, (None, None))
        heads.append(
            MatchedHead(
                head=head,
                taken=taken,
                restored=restored,
                p=p,
                taken_holds=_share(done, i, holds),
                taken_elsewhere=_share(done, i, ~holds),
                attends=attention,
                attributes=attribution,
            )
        )
    return sorted(heads, key=lambda one: -one.taken.value)


def _share(done: Exchanged, edit: int, chosen: NDArray[np.bool_]) -> float | None:
    total = float(done.difference[chosen].sum())
    return float(done.taken[edit, chosen].sum()) / total if total != 0 else None


def _joint(evidence: Evidence, texts: ContextTexts, patched: Patched) -> list[JointHeads]:
    done, clusters = patched.exchanged, evidence.clusters(texts.pairs[True][0])
    n_singles = min(SINGLE, len(patched.ranked))
    counts = [*(min(count, len(patched.ranked)) for count in JOINT), len(patched.ranked)]
    joint: list[JointHeads] = []
    for i, count in enumerate(counts, start=n_singles):
        if count in [one.heads for one in joint]:
            continue
        taken, _ = ratio_estimate(done.taken[i], done.difference, clusters, seed=evidence.seed)
        restored, _ = ratio_estimate(done.restored[i], done.difference, clusters, seed=evidence.seed)
        joint.append(JointHeads(heads=count, taken=taken, restored=restored))
    return joint


def _attends(
    evidence: Evidence, rule: Rule, places: Ints, heads: Sequence[HeadId]
) -> dict[HeadId, tuple[float, float]]:
    """Of each head the mean share of its attention, and of its attribution in size, on tokens that the rule names."""
    chosen = [place for place in places.tolist() if named_tokens(rule, evidence.texts[place])][:TRACED]
    if not chosen:
        return {}
    rows = [evidence.places.ids(place).tolist() for place in chosen]
    masks = np.zeros((len(rows), max(map(len, rows))))
    for mask, row, place in zip(masks, rows, chosen, strict=True):
        text = evidence.texts[place]
        mask[[len(row) - len(text) + i for i in named_tokens(rule, text)]] = 1.0
    shares = {}
    reads = head_lookups(evidence.workspace.model, rows, evidence.neuron, heads, watch=evidence.workspace.watch)
    for head, read in reads.items():
        size = np.abs(read.sources).sum(1)  # place position
        total = np.maximum(size.sum(1), 1e-30)
        shares[head] = float((read.attention * masks).sum(1).mean()), float(((size * masks).sum(1) / total).mean())
    return shares


def shuffled_control(evidence: Evidence, texts: ContextTexts) -> ControlClaim:
    """The same with firing and off exchanged within half of the training split's pairs: a rule about nothing.

    Exactly half: where chance flips fewer, the labels still say something of the true ones, and the true rule is found.
    """
    n = len(texts.pairs[False][0])
    rng = np.random.default_rng([evidence.seed, evidence.neuron.layer, evidence.neuron.index])
    flip = rng.permutation(n) < n // 2
    rule = texts.rule(np.concatenate([~flip, flip]))
    verdicts = evidence.holds(rule, texts.held_out)
    e, interval, p = clustered_accuracy(
        verdicts.tolist(), texts.held_out_labels.tolist(), evidence.clusters(texts.held_out), seed=evidence.seed
    )
    return ControlClaim(
        kind="shuffled",
        neuron=evidence.neuron,
        head=None,
        e=e,
        e_low=interval.low if interval else None,
        p_e=p,
        contrast=None,
        p_contrast=None,
    )
