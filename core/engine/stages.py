"""The stages of a study, each a generator of the durable events that it finds.

A stage reads what earlier stages found from the study's state alone, so that a study goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from headtorch.core.analysis.attribution import Attribution, attribute
from headtorch.core.analysis.congruence import best_token_neurons, random_neurons, token_neurons
from headtorch.core.analysis.prior import weight_prior
from headtorch.core.analysis.trim import Place, collapse, trim
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError
from headtorch.core.events import (
    AnyEvent,
    CorpusOpened,
    HeadsAttributed,
    IndexReady,
    ModelOpened,
    NeuronsFound,
    PromptsFound,
    ValidityMeasured,
    Warned,
)
from headtorch.core.records import Half, HeadId, HeadSummary, NeuronId, NextTokenNeuron, Prompt
from headtorch.core.study.study import Study

CANDIDATES = 30  # prompts of each half that are trimmed where those over the limit are dropped, as in the paper's code


def open_model(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Which model is studied, and a refusal when it is no longer the one that the study began with."""
    yield ModelOpened(facts=workspace.model.facts)


def open_corpus(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Which corpus is read, and a refusal when it is no longer the one that the study began with."""
    tokenized = workspace.corpus
    corpus = tokenized.corpus
    yield CorpusOpened(
        name=corpus.name,
        fingerprint=tokenized.fingerprint,
        documents=len(corpus),
        tokens=tokenized.n_tokens,
        clusters=len(np.unique(corpus.clusters)),
        explain_documents=int(corpus.halves.sum()),
        score_documents=int((~corpus.halves).sum()),
    )


def discover(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The next-token neurons asked for, and as many random ones as the settings say."""
    settings, model = study.settings, workspace.model
    rejected = workspace.neurons(settings.reject_neurons)
    found: dict[NeuronId, NextTokenNeuron] = {}
    by = "congruence" if settings.preset == "paper" else "z"
    if settings.token_texts:
        share = -(-settings.neurons_limit // len(settings.token_texts))
        for token in workspace.tokens(settings.token_texts):
            for row in token_neurons(
                model, workspace.layers, token, limit=share, by=by, reject_neurons=rejected, watch=workspace.watch
            ):
                found.setdefault(row.neuron, row)
    wanted = set(workspace.neurons(settings.neurons))
    if wanted or not settings.token_texts:
        best = best_token_neurons(
            model,
            workspace.layers,
            per_layer=None if wanted else settings.per_layer,
            spaced_only=settings.preset == "paper" and not wanted,
            by=by,
            reject_neurons=rejected,
            reject_tokens=workspace.tokens(settings.reject_tokens),
            watch=workspace.watch,
        )
        chosen = [row for row in best if row.neuron in wanted] if wanted else best[: settings.neurons_limit]
        found.update((row.neuron, row) for row in chosen if row.neuron not in found)
    drawn = random_neurons(
        model,
        workspace.layers,
        settings.random_neurons,
        seed=settings.seed,
        exclude=[*found, *rejected],
        watch=workspace.watch,
    )
    if not found:
        raise InputError("No neuron is left: the reject list or the preset's filter takes them all; widen --layers.")
    yield NeuronsFound(neurons=[*found.values(), *drawn])


def build_index(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The activation index of the layers."""
    started = time.monotonic()
    index = workspace.index
    yield IndexReady(
        key=index.key,
        windows=len(workspace.corpus.windows),
        tokens=workspace.corpus.n_tokens,
        seconds=time.monotonic() - started,
        shipped=index.shipped,
    )


def trim_prompts(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The strongest prompts of every neuron, trimmed together, near-duplicates collapsed."""
    settings, state = study.settings, study.state
    wanted: dict[Half, int] = {"explain": settings.explain_n, "score": 2 * settings.score_n}
    spare = 0 if settings.prompt_limit is None else CANDIDATES  # some will be too long
    workspace.ranking.prepare([(row.neuron, row.sign) for row in state.neurons.values()], workspace.watch)
    chosen = {
        (neuron, half): _distinct_places(workspace, row, half, max(count, spare))
        for neuron, row in state.neurons.items()
        for half, count in wanted.items()
    }
    prompts = trim(
        workspace.model,
        workspace.corpus,
        [place for places, _ in chosen.values() for place in places],
        ratio=settings.trim_ratio,
        method=settings.trim,
        watch=workspace.watch,
    )
    for neuron in state.neurons:
        distinct, dropped = collapse([prompt for prompt in prompts if prompt.neuron == neuron], workspace.corpus)
        dropped += sum(chosen[neuron, half][1] for half in wanted)
        kept, too_long = _within_limit(distinct, wanted, settings.prompt_limit)
        yield PromptsFound(neuron=neuron, prompts=kept, dropped_near_duplicates=dropped, dropped_long=too_long)
        if not kept:
            too_few = f"All of its prompts have {settings.prompt_limit} tokens or more, so none is left."
            text = too_few if too_long else "It never fires on this corpus, so it has no prompts."
            yield Warned(text=text, neuron=neuron)


def _within_limit(prompts: Sequence[Prompt], counts: Mapping[Half, int], limit: int | None) -> tuple[list[Prompt], int]:
    """The first `counts` prompts of each half with fewer than `limit` document tokens, and how many had more."""
    if limit is None:
        return list(prompts), 0
    short = [prompt for prompt in prompts if len(prompt.document_tokens) < limit]
    within = [one for half, count in counts.items() for one in [p for p in short if p.half == half][:count]]
    return within, len(prompts) - len(short)


def _distinct_places(workspace: Workspace, row: NextTokenNeuron, half: Half, count: int) -> tuple[list[Place], int]:
    """The `count` strongest places in as many clusters of documents, and how many were passed over on the way.

    What is passed over would be collapsed after trimming all the same; this saves trimming it.
    """
    top = workspace.ranking.top(row.neuron, half, row.sign)
    clusters: set[int] = set()
    places: list[Place] = []
    passed = 0
    for document, position, window, activation in zip(
        top.document, top.position, top.window, top.activation, strict=True
    ):
        cluster = workspace.corpus.cluster(int(document))
        if activation * row.sign <= 0 or len(places) == count:
            break
        if cluster in clusters:
            passed += 1
            continue
        clusters.add(cluster)
        places.append(Place(row.neuron, int(document), int(position), int(window), float(activation)))
    return places, passed


def validate(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Whether each neuron predicts its token on the corpus."""
    rows = list(study.state.neurons.values())
    for done, row in enumerate(rows):
        workspace.watch.progress("validity", done, len(rows), "neurons")
        validity = workspace.validator.measure(row, watch=workspace.watch)
        if validity is not None:
            yield ValidityMeasured(validity=validity)


def prompt_rows(
    study: Study, workspace: Workspace, prompts: Sequence[Prompt], places: Literal["prompts", "firing"] = "prompts"
) -> list[list[int]]:
    """The rows that heads are attributed and labelled on: full contexts, or the trimmed prompts by the settings.

    Places of a firing set are labelled in their full contexts, whatever the settings.
    """
    if study.settings.attribute_on == "trimmed" and places == "prompts":
        return [list(prompt.token_ids) for prompt in prompts]
    return [workspace.row(prompt.document, prompt.position) for prompt in prompts]


def attribute_heads(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """Each neuron's pre-activation split over the heads, on its prompts and on random positions."""
    state = study.state
    neurons = [neuron for neuron, prompts in state.own(state.prompts).items() if prompts]
    if not neurons:
        return
    base, prior = workspace.baselines(neurons), _prior(workspace, neurons)
    prompts = [prompt for neuron in neurons for prompt in state.prompts[neuron]]
    rows = prompt_rows(study, workspace, prompts)
    attribution = attribute(workspace.model, rows, [prompt.neuron for prompt in prompts], watch=workspace.watch)
    for n, neuron in enumerate(neurons):
        mine = [i for i, prompt in enumerate(prompts) if prompt.neuron == neuron]
        arrays = _arrays(study, attribution, mine)
        summaries = [
            HeadSummary(
                head=HeadId(layer, head),
                mean_direct=float(attribution.direct[mine, layer, head].mean()),
                mean_dot=float(attribution.dot[mine, 0, layer, head].mean()),
                mean_removal=float(arrays["removal"][:, layer, head].mean()),
                beta=_finite(base.beta[n, layer, head]),
                baseline_mean=_finite(base.mean[n, layer, head]),
                baseline_sd=_finite(base.sd[n, layer, head]),
                prior=_finite(prior[n, layer, head]),
            )
            for layer, head in np.argwhere(workspace.model.eligible_heads(neuron.layer)).tolist()
        ]
        judged_by = np.abs(arrays["headline"].mean(0))  # layer head; nan where a head is not judged
        order = np.argsort(-judged_by, axis=None, kind="stable")[: np.isfinite(judged_by).sum()]
        yield HeadsAttributed(
            neuron=neuron,
            artefact=study.save_arrays(arrays),
            heads=summaries,
            top_heads=[HeadId(*divmod(int(i), judged_by.shape[1])) for i in order[:5]],
            max_error=float(attribution.relative_error[mine].max()),
        )


def _prior(workspace: Workspace, neurons: Sequence[NeuronId]) -> Float[np.ndarray, "neuron layer head"]:
    """How much of what a head can write the neuron (gated: its gate) can read; nan where the weights cannot tell."""
    facts = workspace.model.facts
    if facts.post_norm:
        return np.full((len(neurons), facts.n_layers, facts.n_heads), np.nan)
    return weight_prior(workspace.model, neurons)[:, 0]


def _arrays(study: Study, attribution: Attribution, mine: Sequence[int]) -> dict[str, np.ndarray]:
    """What the artefact of a neuron holds, prompts first; heads that cannot feed it are nan."""
    return {
        "headline": headline(study, attribution)[mine],  # prompt layer head
        "heads": attribution.heads[mine],  # prompt read layer head
        "dot": attribution.dot[mine],  # prompt read layer head
        "removal": attribution.removal[mine],  # prompt layer head
        "embed": attribution.embed[mine],  # prompt read
        "position": attribution.position[mine],
        "attention_bias": attribution.attention_bias[mine],  # prompt read layer
        "mlps": attribution.mlps[mine],
        "bias": attribution.bias[mine],
        "pre_activation": attribution.pre_activation[mine],
        "activation": attribution.activation[mine],
    }


def headline(study: Study, attribution: Attribution) -> Float[np.ndarray, "prompt layer head"]:
    """The numbers that heads are judged by: ⟨o_h, w_in⟩ where the settings say dot, else A(h); gated: `removal`.

    nan for heads that are not judged: those that cannot feed the neuron, and by the settings those of its own layer.
    """
    judged_by = attribution.dot[:, 0] if study.settings.attribution == "dot" else attribution.headline
    if study.settings.own_layer:
        return judged_by
    own = np.array([neuron.layer for neuron in attribution.neurons])
    return np.where((own[:, None] == np.arange(judged_by.shape[1]))[:, :, None], np.float32(np.nan), judged_by)


def judged_heads(study: Study, workspace: Workspace, layer: int) -> Bool[np.ndarray, "layer head"]:
    """The heads that feed the MLP of `layer` and are judged: without those of its own layer where settings say so."""
    eligible = workspace.model.eligible_heads(layer)
    eligible[layer] &= study.settings.own_layer
    return eligible


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def baseline_arrays(study: Study, workspace: Workspace, neuron: NeuronId) -> tuple[np.ndarray, np.ndarray]:
    """Ā(h) and sd(h) of a neuron as arrays [layer, head]; nan where a head cannot feed it."""
    shape = (workspace.model.facts.n_layers, workspace.model.facts.n_heads)
    mean, sd = np.full(shape, np.nan), np.full(shape, np.nan)
    for summary in study.state.attributed[neuron].heads:
        place = (summary.head.layer, summary.head.index)
        mean[place] = np.nan if summary.baseline_mean is None else summary.baseline_mean
        sd[place] = np.nan if summary.baseline_sd is None else summary.baseline_sd
    return mean, sd
