"""A made-up study of a hundred next-token neurons in a model of 12 layers of 12 heads, as a run leaves it.

Prompts are about as long, head maps and look-ups about as sparse as those that real runs find.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headtorch.core.causes import Ablation, AblationGroup
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
    CorpusOpened,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadsAttributed,
    HeadScored,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    PromptsShaded,
    ValidityMeasured,
)
from headtorch.core.records import (
    Control,
    Explanation,
    GroupMean,
    HeadActivity,
    HeadId,
    HeadSummary,
    Interval,
    ModelFacts,
    NeuronId,
    NextTokenNeuron,
    Prompt,
    Score,
    Validity,
)
from headtorch.core.settings import Settings
from headtorch.core.study.shading import ShadedPrompt, to_arrays
from headtorch.core.study.study import Study

NEURONS, RANDOM, LAYERS, HEADS, PROMPTS, EXPLAINED = 100, 20, 12, 12, 60, 5
WORDS = " the| of| United| States| year| Congress| and| to| for|,| last| submitted| reform| peace| revenue".split("|")  # noqa: SIM905


def large_study(folder: Path) -> Study:
    """The study in `folder`, open for reading."""
    with Study.create(folder, Settings(token_texts=(" year",), neurons_limit=NEURONS, random_neurons=RANDOM)) as study:
        for event in _events(study):
            study.append(event)
    return Study.open(folder)


def _events(study: Study) -> Iterator[AnyEvent]:
    draw = np.random.default_rng(0)
    neurons = [NeuronId(11, i) for i in range(NEURONS + RANDOM)]
    yield ModelOpened(facts=_facts())
    yield CorpusOpened(
        name="sotu",
        fingerprint="c0ffee",
        documents=249,
        tokens=2_000_000,
        clusters=247,
        explain_documents=125,
        score_documents=124,
    )
    yield NeuronsFound(neurons=[_found(neuron, random=i >= NEURONS) for i, neuron in enumerate(neurons)])
    for i, neuron in enumerate(neurons):
        yield from _of_neuron(study, neuron, draw, random=i >= NEURONS)
    group = GroupMean(mean=0.65, median=0.66, interval=Interval(0.6, 0.7), heads=500, neurons=100)
    yield BaselineCompared(
        explainer="rules", next_token=group, random=group, difference=0.0, interval=Interval(-0.1, 0.1)
    )


def _of_neuron(study: Study, neuron: NeuronId, draw: np.random.Generator, random: bool) -> Iterator[AnyEvent]:
    prompts = [_prompt(neuron, i, draw) for i in range(PROMPTS)]
    yield PromptsFound(neuron=neuron, prompts=prompts, dropped_near_duplicates=7)
    yield ValidityMeasured(validity=_validity(neuron))
    given = draw.normal(0.0, 0.6, (LAYERS, HEADS)) ** 3
    heads = [HeadId(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    top = sorted(heads, key=lambda head: -abs(given[head.layer, head.index]))[:EXPLAINED]
    yield HeadsAttributed(
        neuron=neuron,
        artefact="a" * 64 + ".npz",
        heads=[
            HeadSummary(
                head=head,
                mean_direct=float(given[head.layer, head.index]),
                beta=0.1,
                baseline_mean=0.0,
                baseline_sd=0.1,
            )
            for head in heads
        ],
        top_heads=top,
        max_error=3e-7,
    )
    labels = {head: [bool(x) for x in draw.random(PROMPTS) < 0.5] for head in top}
    activities = [
        HeadActivity(
            neuron=neuron,
            head=head,
            rule="baseline",
            suppressing=False,
            active=labels[head],
            explain_share=0.5,
            mean_active=0.9,
            mean_inactive=0.1,
        )
        for head in top
    ]
    yield HeadActivityFound(
        neuron=neuron, heads=activities, eligible=LAYERS * HEADS, never_active=90, always_active=3, explainable=5
    )
    if not random:
        yield PromptsShaded(neuron=neuron, artefact=study.save_arrays(to_arrays(top, _shades(prompts, top, draw))))
    for head in top:
        said = 'Active when " for" is among the last 6 tokens, or the word "during" in any case is among the last 3.'
        yield HeadExplained(explanation=Explanation(neuron=neuron, head=head, explainer="rules", text=said))
        yield HeadScored(score=_score(neuron, head, labels[head], draw))
        yield HeadAblated(ablation=_ablation(neuron, head))


def _shades(prompts: list[Prompt], heads: list[HeadId], draw: np.random.Generator) -> list[ShadedPrompt]:
    found = []
    for i, prompt in enumerate(prompts[:32]):
        count = len(prompt.document_tokens)
        shares = draw.dirichlet(np.full(count + 2, 0.08), len(heads))
        found.append(
            ShadedPrompt(
                index=i,
                activation=draw.random(count).tolist(),
                shares={str(head): share[:count].tolist() for head, share in zip(heads, shares, strict=True)},
                first={str(head): float(share[count]) for head, share in zip(heads, shares, strict=True)},
            )
        )
    return found


def _found(neuron: NeuronId, random: bool) -> NextTokenNeuron:
    return NextTokenNeuron(
        neuron=neuron,
        token_id=8,
        token=" year",
        congruence=3.25,
        cosine=0.5,
        z=10.8,
        rank=0,
        kind="prediction",
        random=random,
    )


def _prompt(neuron: NeuronId, index: int, draw: np.random.Generator) -> Prompt:
    tokens = [WORDS[i] for i in draw.integers(0, len(WORDS), int(draw.integers(4, 21)))]
    return Prompt(
        neuron=neuron,
        document=index,
        title=f"{1800 + index} A speech",
        position=200,
        start=200 - len(tokens) + 1,
        window_start=0,
        token_ids=[0, *range(5, 5 + len(tokens))],
        tokens=["<|endoftext|>", *tokens],
        activation=5.0 - 0.05 * index,
        full_activation=6.0 - 0.05 * index,
        kept_ratio=0.85,
        cluster=index,
        half="explain" if index % 3 == 0 else "score",
        long=False,
        next_token_id=8,
        next_token=" year",
    )


def _score(neuron: NeuronId, head: HeadId, labels: list[bool], draw: np.random.Generator) -> Score:
    e = float(draw.uniform(0.45, 0.95))
    wrong = [i for i in range(PROMPTS) if i % 3 and draw.random() < 0.3]
    return Score(
        neuron=neuron,
        head=head,
        explainer="rules",
        n_active=20,
        n_inactive=20,
        true_active=14,
        true_inactive=15,
        unusable=0,
        e=e,
        interval=Interval(max(0.0, e - 0.12), min(1.0, e + 0.1)),
        f1=0.7,
        mcc=0.45,
        p=0.004,
        q=0.03,
        random_text_precision=0.2,
        controls=[Control(name=name, e=0.52, n=40) for name in ("other head", "empty", "shuffled")],
        dropped=1,
        wrong_active=[i for i in wrong if labels[i]],
        wrong_inactive=[i for i in wrong if not labels[i]],
    )


def _ablation(neuron: NeuronId, head: HeadId) -> Ablation:
    group = AblationGroup(n=20, delta_log_p=-0.31, delta_p=-0.1, delta_logit=-0.4, delta_activation=-0.9)
    return Ablation(
        neuron=neuron,
        head=head,
        token_id=8,
        replacement="mean",
        position="last",
        active=group,
        inactive=group,
        ks=0.4,
        ks_p=0.01,
    )


def _validity(neuron: NeuronId) -> Validity:
    return Validity(
        neuron=neuron,
        token_id=8,
        n=60,
        next_share=0.875,
        base_rate=0.001,
        lift=875.0,
        auroc=0.9,
        logit_attribution=2.5,
        ablation_log_p=-0.5,
        valid=True,
    )


def _facts() -> ModelFacts:
    return ModelFacts(
        name="large",
        family="gpt2",
        revision=None,
        fingerprint="f00d",
        n_layers=LAYERS,
        n_heads=HEADS,
        n_kv_heads=HEADS,
        d_model=768,
        d_head=64,
        d_mlp=3072,
        d_vocab=50257,
        context=1024,
        parallel=False,
        gated=False,
        activation="gelu",
        norm="layer",
        post_norm=False,
        soft_cap=None,
        first_token=0,
        dtype="float32",
        device="cpu",
    )
