"""What the heads of a neuron looked up on its strongest prompts, kept with the study for whoever reads it later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headtorch.core.analysis.activations import activations
from headtorch.core.analysis.lookup import sources
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import PromptsShaded
from headtorch.core.records import HeadId, NeuronId, Prompt
from headtorch.core.study.shading import ShadedPrompt, to_arrays
from headtorch.core.study.study import Study

SHADED = 16  # prompts of each half, the strongest


def shade(study: Study, workspace: Workspace) -> Iterator[PromptsShaded]:
    """For every next-token neuron with prompts: activations and heads' shares of their kept tokens."""
    state = study.state
    rows = [row.neuron for row in state.next_token_neurons()]
    left = [neuron for neuron in rows if neuron in state.attributed and neuron not in state.shaded]
    for done, neuron in enumerate(left):
        workspace.watch.progress("shade", done, len(left), "neurons")
        workspace.watch.checkpoint()
        heads = _heads(study, neuron)
        yield PromptsShaded(
            neuron=neuron, artefact=study.save_arrays(to_arrays(heads, _shaded(study, workspace, neuron, heads)))
        )


def _heads(study: Study, neuron: NeuronId) -> list[HeadId]:
    """Those worth explaining, and the strongest."""
    activity, attributed = study.state.activity.get(neuron), study.state.attributed.get(neuron)
    explained = [one.head for one in activity.heads] if activity else []
    return list(dict.fromkeys([*explained, *(attributed.top_heads if attributed else [])]))


def _shaded(study: Study, workspace: Workspace, neuron: NeuronId, heads: Sequence[HeadId]) -> list[ShadedPrompt]:
    prompts = study.state.prompts[neuron]
    chosen = _strongest(prompts)
    kept = [prompts[i] for i in chosen]
    lit = activations(workspace.model, [prompt.token_ids for prompt in kept], neuron, workspace.watch)
    rows = prompt_rows(study, workspace, kept)
    reads = np.zeros((len(rows), 0, max(map(len, rows))))  # a neuron that no head feeds
    if heads:
        given = sources(workspace.model, rows, [neuron] * len(rows), heads, watch=workspace.watch)
        reads = np.abs(given).sum(1)  # prompt head position
    begins = int(workspace.model.facts.first_token is not None)
    found = []
    for i, prompt, row, weights, activation in zip(chosen, kept, rows, reads, lit, strict=True):
        count = len(prompt.document_tokens)
        total = np.maximum(weights.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
        of_head = weights / total  # head position
        shares, first = of_head[:, len(row) - count : len(row)], of_head[:, :begins].sum(-1)
        found.append(
            ShadedPrompt(
                index=i,
                activation=activation[-count:],
                shares={str(head): share.tolist() for head, share in zip(heads, shares, strict=True)},
                first={str(head): float(share) for head, share in zip(heads, first, strict=True)},
            )
        )
    return found


def _strongest(prompts: Sequence[Prompt]) -> list[int]:
    """The indices of the strongest of either half, in the order of the prompts."""
    order = sorted(range(len(prompts)), key=lambda i: -abs(prompts[i].activation))
    chosen = [[i for i in order if prompts[i].half == half][:SHADED] for half in ("explain", "score")]
    return sorted(i for half in chosen for i in half)
