"""A made-up study with claims of every kind, its artefacts too: findings, candidates, last-token claims and controls.

Scores, effect contrasts and shares taken are computed from the arrays that the artefacts hold, so that tables made of
these can be checked against the numbers of the claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import made_up
import numpy as np

from headtorch.core.claims import (
    ClaimHead,
    ContextClaim,
    ContextShare,
    ControlClaim,
    ControlKind,
    EditedToken,
    Estimate,
    FiringSet,
    HeadClaim,
    JointHeads,
    LastToken,
    MatchedHead,
    Rewriting,
    RewrittenText,
)
from headtorch.core.events import (
    AnyEvent,
    ClaimHeadsChosen,
    ContextClaimTested,
    ContextShareMeasured,
    ControlsTested,
    FiringPlacesFound,
    HeadAblated,
    HeadActivityFound,
    HeadClaimTested,
    HeadExplained,
    HeadsAttributed,
    HeadScored,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
)
from headtorch.core.records import HeadId, HeadSummary, Interval, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.study import Study

WORDS = ("<s>", " the", " an", " end", " edge", " part", " some", " great", " people", " \x1b[31mred", " of")
THE, LAST_TOKENS = 1, (3, 4, 5)
LAYERS, HEADS, D_HEAD, ROW = 24, 9, 4, 12
TRAIN, HELD_OUT = 24, 16  # firing places of a neuron, and as many matched places

BEST = NeuronId(18, 98)  # a context finding, and head claims of which one passes
RAISED = NeuronId(14, 835)  # its context claim is at chance; a head claim passes, and ablating that head raises p(t)
BY_TOKEN = NeuronId(21, 5)  # driven by its last token
NOT_VALID = NeuronId(20, 374)  # passes everything but validity
SUPPRESSED = NeuronId(23, 386)  # a suppressing head, tested by insertion; another head is about the last token
RANDOM = NeuronId(17, 3)
HEADS_OF = {
    BEST: (HeadId(1, 2), HeadId(7, 6), HeadId(11, 7)),
    RAISED: (HeadId(2, 6), HeadId(9, 0)),
    NOT_VALID: (HeadId(3, 1),),
    SUPPRESSED: (HeadId(12, 8), HeadId(4, 4)),
    RANDOM: (HeadId(5, 5),),
}
HOSTILE = "<script>a()</script> `x` | [l](http://e.vil) \x1b[31mred \u202egnp"


@dataclass
class Spec:
    """What a made-up neuron is like. `noise`: share of places on which a rule is wrong."""

    neuron: NeuronId
    share: float
    valid: bool = True
    random: bool = False
    context_noise: float = 0.1
    head_noise: tuple[float, ...] = ()
    last_token: frozenset[HeadId] = frozenset()
    suppressing: frozenset[HeadId] = frozenset()
    disagreeing: frozenset[HeadId] = frozenset()  # rewriting does not agree
    delta_log_p: dict[HeadId, float] = field(default_factory=dict)
    text: str = '" the" among the last 2 tokens'


SPECS = (
    Spec(BY_TOKEN, -0.21, context_noise=0.5),
    Spec(RAISED, 0.52, context_noise=0.5, head_noise=(0.1, 0.5), delta_log_p={HeadId(2, 6): 0.12}),
    Spec(BEST, 0.61, head_noise=(0.06, 0.1, 0.5), disagreeing=frozenset({HeadId(7, 6)})),
    Spec(NOT_VALID, 0.7, valid=False, head_noise=(0.1,), text=HOSTILE),
    Spec(
        SUPPRESSED,
        0.34,
        context_noise=0.15,
        head_noise=(0.1, 0.1),
        suppressing=frozenset({HeadId(12, 8)}),
        last_token=frozenset({HeadId(4, 4)}),
    ),
    Spec(RANDOM, 0.4, valid=False, random=True, context_noise=0.4, head_noise=(0.4,)),
)


def claims_study(folder: Path) -> Study:
    """The study in `folder`, open for reading."""
    with Study.create(folder, Settings(token_texts=(" of",), layers="12-23")) as study:
        for event in claims_events(study):
            study.append(event)
    return Study.open(folder)


def claims_events(study: Study) -> Iterator[AnyEvent]:
    """The events of the study in the order of its stages; artefacts are saved on the way."""
    draw = np.random.default_rng(14)
    yield ModelOpened(facts=made_up.facts(LAYERS, HEADS, HEADS * D_HEAD, name="small", family="llama", norm="rms"))
    yield made_up.corpus()
    yield NeuronsFound(neurons=[made_up.found(spec.neuron, " of", random=spec.random) for spec in SPECS])
    means = study.save_arrays({"means": draw.normal(size=(LAYERS, HEADS, D_HEAD)).astype(np.float32)})
    for spec in SPECS:
        yield from _of_neuron(study, spec, means, draw)
    for stage in ("discover", "scan", "validity", "places", "heads", "explain", "score", "claims", "ablate"):
        yield StageStarted(stage=stage)
        yield StageFinished(stage=stage, seconds=1.5)
    yield StudyFinished(seconds=60.0)


def _of_neuron(study: Study, spec: Spec, means: str, draw: np.random.Generator) -> Iterator[AnyEvent]:
    neuron, places = spec.neuron, made_up_places(draw)
    yield PromptsFound(neuron=neuron, prompts=places.prompts(neuron)[:TRAIN], dropped_near_duplicates=0)
    yield ValidityMeasured(validity=made_up.validity(neuron, valid=spec.valid))
    yield FiringPlacesFound(firing=_firing(neuron), artefact=study.save_arrays(places.arrays()))
    yield ContextShareMeasured(share=_share(spec))
    if spec.share < 0.2:
        return
    yield from _heads(study, spec, places, means, draw)
    yield _context_claim(study, spec, places, draw)
    yield ControlsTested(neuron=neuron, controls=_controls(spec))
    for head, delta in spec.delta_log_p.items():
        yield HeadAblated(ablation=made_up.ablation(neuron, head, made_up.changes(delta, 8), made_up.changes(0.0, 8)))


def made_up_places(draw: np.random.Generator) -> ClaimPlaces:
    """Firing places, training split first, then matched places; " the" stands before the last token where firing."""
    firing = np.arange(2 * (TRAIN + HELD_OUT)) < TRAIN + HELD_OUT
    one = np.arange(TRAIN + HELD_OUT, dtype=np.int32)
    pair = np.concatenate([one, one])
    count = len(firing)
    ids = draw.integers(5, len(WORDS), (count, ROW)).astype(np.int32)
    ids[:, 0] = 0
    ids[:, -1] = np.array(LAST_TOKENS)[pair % len(LAST_TOKENS)]
    ids[firing, -2] = THE
    length = (ROW - draw.integers(0, 1, count)).astype(np.int32)
    document = np.arange(count, dtype=np.int32) // 2
    used = np.unique(np.append(ids, len(WORDS) - 1)).astype(np.int32)
    activation = np.where(firing, draw.gamma(4.0, 0.5, count) + 0.5, draw.normal(0.0, 0.05, count))
    return ClaimPlaces(
        document=document,
        position=(100 + 40 * (np.arange(count) % 2)).astype(np.int32),
        cluster=document.copy(),
        held_out=np.tile(one >= TRAIN, 2),
        firing=firing,
        pair=pair,
        activation=activation.astype(np.float32),
        next_token=np.full(count, len(WORDS) - 1, np.int32),
        row=np.arange(count, dtype=np.int32),
        length=length,
        row_ids=ids.reshape(-1),
        row_starts=(ROW * np.arange(count + 1)).astype(np.int32),
        row_text=np.ones(count, np.int32),
        vocabulary_ids=used,
        vocabulary=tuple(WORDS[i] for i in used.tolist()),
        titles=tuple(f"{1800 + i} Speech" for i in np.unique(document).tolist()),
    )


def _firing(neuron: NeuronId) -> FiringSet:
    return FiringSet(
        neuron=neuron,
        sign=1,
        threshold=0.5,
        off_below=0.1,
        surveyed=40_000,
        train=TRAIN,
        held_out=HELD_OUT,
        train_pairs=TRAIN,
        held_out_pairs=HELD_OUT,
        token_suffices=3,
        near_copies=1,
        documents=TRAIN + HELD_OUT,
    )


def _share(spec: Spec) -> ContextShare:
    last = [LastToken(3, " more", 2.5), LastToken(4, " \x1b[31mless", 1.75)] if spec.share < 0.2 else []
    return ContextShare(
        neuron=spec.neuron,
        share=Estimate(spec.share, spec.share - 0.08, spec.share + 0.07),
        places=TRAIN + HELD_OUT,
        r2=0.64 if last else 0.08,
        last_tokens=last,
    )


def _heads(study: Study, spec: Spec, places: ClaimPlaces, means: str, draw: np.random.Generator) -> Iterator[AnyEvent]:
    """Heads, labels, explanations, scores and claims: active is what is true, holds what the rule says."""
    heads, firing = HEADS_OF[spec.neuron], int(places.firing.sum())
    held_out = places.held_out[:firing]
    active = np.stack([_balanced(draw, firing) for _ in heads], axis=1)
    signs = np.array([-1.0 if head in spec.suppressing else 1.0 for head in heads])
    shares = np.where(active, draw.normal(0.3, 0.05, active.shape), draw.normal(0.02, 0.02, active.shape))
    effect = (signs * shares * places.activation[:firing, None]).astype(np.float32)
    attribution = (effect + draw.normal(0.0, 0.02, effect.shape)).astype(np.float32)
    arrays = {"attribution": attribution, "effect": effect, "active": active}
    arrays |= {"baseline_mean": np.zeros(len(heads)), "baseline_sd": np.full(len(heads), 0.1)}
    yield HeadsAttributed(
        neuron=spec.neuron,
        artefact=study.save_arrays(arrays),
        heads=[HeadSummary(head=head, mean_direct=float(attribution[:, i].mean())) for i, head in enumerate(heads)],
        top_heads=list(heads),
        max_error=2e-7,
    )
    sums = effect.sum(axis=0) / places.activation[:firing].sum()
    yield ClaimHeadsChosen(
        neuron=spec.neuron,
        heads=[
            ClaimHead(
                head=head,
                effect=float(sums[i]),
                suppressing=head in spec.suppressing,
                sparse=False,
                label="attribution",
                label_effect_spearman=0.93,
                active_share=float(active[:, i].mean()),
            )
            for i, head in enumerate(heads)
        ],
        replacement="mean",
        artefact=study.save_arrays(arrays),
        means=means,
        eligible=spec.neuron.layer * HEADS + HEADS,
        estimate_spearman=0.9,
    )
    yield HeadActivityFound(
        neuron=spec.neuron,
        heads=[
            made_up.activity(
                spec.neuron,
                head,
                active[:, i].tolist(),
                places="firing",
                suppressing=head in spec.suppressing,
            )
            for i, head in enumerate(heads)
        ],
        eligible=spec.neuron.layer * HEADS + HEADS,
        never_active=2,
        always_active=1,
        explainable=len(heads),
    )
    for i, head in enumerate(heads):
        holds = _flipped(draw, active[:, i], spec.head_noise[i])
        yield from _head_claim(
            study, spec, head, holds, active[:, i], effect[:, i], places.activation[:firing], held_out
        )


def _head_claim(
    study: Study,
    spec: Spec,
    head: HeadId,
    holds: np.ndarray,
    active: np.ndarray,
    effect: np.ndarray,
    activation: np.ndarray,
    held_out: np.ndarray,
) -> Iterator[AnyEvent]:
    tested, judged, labels = np.flatnonzero(held_out), holds[held_out], active[held_out]
    e = float((judged[labels].mean() + (~judged[~labels]).mean()) / 2)
    passes = spec.head_noise[HEADS_OF[spec.neuron].index(head)] < 0.3
    yield HeadExplained(
        explanation=made_up.explanation(spec.neuron, head, spec.text, rule="the@2", train_balanced_accuracy=0.9)
    )
    yield HeadScored(
        score=made_up.score(
            spec.neuron,
            head,
            e,
            n_active=int(labels.sum()),
            n_inactive=int((~labels).sum()),
            true_active=int((judged & labels).sum()),
            true_inactive=int((~judged & ~labels).sum()),
            interval=Interval(e - 0.12, e + 0.08),
            p=1e-4 if passes else 0.4,
            wrong_active=tested[labels & ~judged].tolist(),
            wrong_inactive=tested[~labels & judged].tolist(),
        )
    )
    sign = -1.0 if head in spec.suppressing else 1.0
    groups = (held_out & holds, held_out & ~holds)
    inside, outside = (sign * float(effect[at].sum() / activation[at].sum()) for at in groups)
    contrast = inside - outside
    yield HeadClaimTested(
        claim=HeadClaim(
            neuron=spec.neuron,
            head=head,
            explainer="rules",
            suppressing=head in spec.suppressing,
            label="attribution",
            label_effect_spearman=0.93,
            tag="last token" if head in spec.last_token else None,
            n_holds=int(judged.sum()),
            n_elsewhere=int((~judged).sum()),
            documents=12,
            effect_holds=inside,
            effect_elsewhere=outside,
            contrast=Estimate(contrast, contrast - 0.07, contrast + 0.09),
            p=2e-4 if passes else 0.3,
            within_token=Estimate(contrast / 2, contrast / 2 - 0.1, contrast / 2 + 0.1),
            contrast_resample=Estimate(contrast, contrast - 0.1, contrast + 0.1) if passes else None,
            auroc_ceiling=0.93,
            rewriting=_rewriting(-0.5 if head in spec.disagreeing else -0.9, head in spec.suppressing)
            if passes
            else None,
        ),
        artefact=study.save_arrays({"holds": holds}),
    )


def _context_claim(study: Study, spec: Spec, places: ClaimPlaces, draw: np.random.Generator) -> AnyEvent:
    holds = _flipped(draw, places.firing, spec.context_noise)
    on, off = (np.flatnonzero(places.held_out & (places.firing == firing)) for firing in (True, False))
    difference = places.activation[on] - places.activation[off]
    heads = HEADS_OF[spec.neuron]
    parts = np.array([0.17, 0.1, 0.09, 0.05, 0.04])[: len(heads)] + draw.normal(0.0, 0.02, (len(on), len(heads)))
    taken = (parts * difference[:, None]).astype(np.float32)
    restored = (taken * 0.4).astype(np.float32)
    shares, back = (array.sum(axis=0) / difference.sum() for array in (taken, restored))
    true_firing, true_off = int(holds[on].sum()), int((~holds[off]).sum())
    e = (true_firing / len(on) + true_off / len(off)) / 2
    passes = spec.context_noise < 0.3
    artefact = {"holds": holds, "taken": taken, "restored": restored, "pair_on": on, "pair_off": off}
    return ContextClaimTested(
        claim=ContextClaim(
            neuron=spec.neuron,
            explainer="rules",
            text=spec.text,
            rule="the@2",
            pairs=len(on),
            documents=16,
            true_firing=true_firing,
            true_off=true_off,
            firing=len(on),
            off=len(off),
            e=e,
            interval=Interval(e - 0.12, min(1.0, e + 0.08)),
            p=1e-5 if passes else 0.45,
            auroc=min(1.0, e + 0.02),
            auroc_ceiling=0.87,
            heads=[
                MatchedHead(
                    head=head,
                    taken=Estimate(float(shares[i]), float(shares[i]) - 0.04, float(shares[i]) + 0.04),
                    restored=Estimate(float(back[i]), float(back[i]) - 0.02, float(back[i]) + 0.02),
                    p=1e-4 * (i + 1),
                    taken_holds=float(shares[i]) * 1.1,
                    taken_elsewhere=float(shares[i]) * 0.5,
                    attends=0.62,
                    attributes=0.71,
                )
                for i, head in enumerate(heads)
            ],
            joint=[
                JointHeads(heads=5, taken=Estimate(0.44, 0.39, 0.49), restored=Estimate(0.18, 0.14, 0.22)),
                JointHeads(heads=20, taken=Estimate(0.84, 0.81, 0.87), restored=Estimate(0.62, 0.57, 0.66)),
                JointHeads(heads=171, taken=Estimate(1.0, 1.0, 1.0), restored=Estimate(1.0, 1.0, 1.0)),
            ],
            eligible_heads=171,
            heads_for_80=17,
            rewriting=_rewriting(-0.8) if passes else None,
        ),
        artefact=study.save_arrays(artefact),
    )


def _rewriting(change: float, insert: bool = False) -> Rewriting:
    placebo = -0.48
    difference = change - placebo
    edited = [EditedToken(3, " any")]
    example = RewrittenText(
        document=30,
        position=140,
        tokens=[" people", " and", " in", " the", " end"],
        edited=edited,
        placebo=[EditedToken(0, " \x1b[31mred")],
        activation=2.5,
        edited_activation=2.5 * (1 + change),
        placebo_activation=2.5 * (1 + placebo),
    )
    return Rewriting(
        kind="insert" if insert else "replace",
        pairs=12,
        documents=9,
        change=Estimate(change, change - 0.05, change + 0.05),
        placebo=Estimate(placebo, placebo - 0.1, placebo + 0.1),
        difference=Estimate(difference, difference - 0.08, difference + 0.08),
        effect_change=Estimate(change - 0.05),
        effect_placebo=Estimate(placebo - 0.05),
        examples=[example, example],
    )


def _controls(spec: Spec) -> list[ControlClaim]:
    """One of each kind; the rule of another head of the best neuron passes, nothing else does."""

    def control(kind: ControlKind, head: HeadId | None, passes: bool = False) -> ControlClaim:
        return ControlClaim(
            kind=kind,
            neuron=spec.neuron,
            head=head,
            e=0.8 if passes else 0.5,
            e_low=0.7 if passes else 0.4,
            p_e=1e-5 if passes else 0.5,
            contrast=None if head is None else 0.2 if passes else 0.01,
            p_contrast=None if head is None else 1e-5 if passes else 0.4,
        )

    of_heads = [
        control(kind, head, passes=kind == "same_neuron" and spec.neuron == BEST and head == HEADS_OF[BEST][0])
        for head in HEADS_OF[spec.neuron]
        for kind in ("same_neuron", "other_neuron", "shuffled")
    ]
    return [*of_heads, control("shuffled", None)]


def _balanced(draw: np.random.Generator, n: int) -> np.ndarray:
    return draw.permutation(np.arange(n) % 2 == 0)


def _flipped(draw: np.random.Generator, truth: np.ndarray, noise: float) -> np.ndarray:
    return truth ^ (draw.random(len(truth)) < noise)
