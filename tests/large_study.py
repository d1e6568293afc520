"""A made-up study of a hundred next-token neurons in a model of 12 layers of 12 heads, as a run leaves it.

Prompts are about as long, head maps and look-ups about as sparse as those that real runs find.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import made_up
import numpy as np

from headtorch.core.causes import AblationGroup
from headtorch.core.events import (
    AnyEvent,
    BaselineCompared,
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
    GroupMean,
    HeadId,
    HeadSummary,
    Interval,
    NeuronId,
    Prompt,
    Score,
)
from headtorch.core.settings import Settings
from headtorch.core.study.shading import ShadedPrompt, to_arrays
from headtorch.core.study.study import Study

NEURONS, RANDOM, LAYERS, HEADS, PROMPTS, EXPLAINED = 100, 20, 12, 12, 60, 5
GROUP = AblationGroup(n=20, delta_log_p=-0.31, delta_p=-0.1, delta_logit=-0.4, delta_activation=-0.9)
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
    yield ModelOpened(facts=made_up.facts(LAYERS, HEADS, 768, name="large", d_vocab=50257, context=1024))
    yield made_up.corpus()
    yield NeuronsFound(
        neurons=[made_up.found(neuron, " year", random=i >= NEURONS) for i, neuron in enumerate(neurons)]
    )
    for i, neuron in enumerate(neurons):
        yield from _of_neuron(study, neuron, draw, random=i >= NEURONS)
    group = GroupMean(mean=0.65, median=0.66, interval=Interval(0.6, 0.7), heads=500, neurons=100)
    yield BaselineCompared(
        explainer="rules", next_token=group, random=group, difference=0.0, interval=Interval(-0.1, 0.1)
    )


def _of_neuron(study: Study, neuron: NeuronId, draw: np.random.Generator, random: bool) -> Iterator[AnyEvent]:
    prompts = [_prompt(neuron, i, draw) for i in range(PROMPTS)]
    yield PromptsFound(neuron=neuron, prompts=prompts, dropped_near_duplicates=7)
    yield ValidityMeasured(validity=made_up.validity(neuron, auroc=0.9))
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
    activities = [made_up.activity(neuron, head, labels[head]) for head in top]
    yield HeadActivityFound(
        neuron=neuron, heads=activities, eligible=LAYERS * HEADS, never_active=90, always_active=3, explainable=5
    )
    if not random:
        yield PromptsShaded(neuron=neuron, artefact=study.save_arrays(to_arrays(top, _shades(prompts, top, draw))))
    for head in top:
        said = 'Active when " for" is among the last 6 tokens, or the word "during" in any case is among the last 3.'
        yield HeadExplained(explanation=made_up.explanation(neuron, head, said))
        yield HeadScored(score=_score(neuron, head, labels[head], draw))
        yield HeadAblated(ablation=made_up.ablation(neuron, head, GROUP, GROUP, ks=0.4, ks_p=0.01))


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


def _prompt(neuron: NeuronId, index: int, draw: np.random.Generator) -> Prompt:
    tokens = [WORDS[i] for i in draw.integers(0, len(WORDS), int(draw.integers(4, 21)))]
    return made_up.prompt(
        neuron,
        index,
        tokens,
        position=200,
        title=f"{1800 + index} A speech",
        activation=5.0 - 0.05 * index,
        full_activation=6.0 - 0.05 * index,
        kept_ratio=0.85,
        half="explain" if index % 3 == 0 else "score",
        next_token=" year",
    )


def _score(neuron: NeuronId, head: HeadId, labels: list[bool], draw: np.random.Generator) -> Score:
    e = float(draw.uniform(0.45, 0.95))
    wrong = [i for i in range(PROMPTS) if i % 3 and draw.random() < 0.3]
    return made_up.score(
        neuron,
        head,
        e,
        interval=Interval(max(0.0, e - 0.12), min(1.0, e + 0.1)),
        q=0.03,
        random_text_precision=0.2,
        controls=[Control(name=name, e=0.52, n=40) for name in ("other head", "empty", "shuffled")],
        wrong_active=[i for i in wrong if labels[i]],
        wrong_inactive=[i for i in wrong if not labels[i]],
    )
