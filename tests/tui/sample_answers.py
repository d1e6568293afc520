"""What an engine answers about the made-up study: shaded prompts, roles of heads, and the list of all neurons."""

from __future__ import annotations

import numpy as np
from sample_records import AN, DAMPING, HEADS, LAYERS, LOOKUP, PREVIOUS, PROMPTS, sample_arrays, sample_prompt

from headtorch.core.engine.protocol import HeadRoles, NeuronList, Shading
from headtorch.core.records import HeadId, Kind, NeuronId


def sample_shading(
    neuron: NeuronId = AN, head: HeadId | None = LOOKUP, full: bool = False, request: int = 1
) -> Shading:
    """The engine's answer to ShadePrompts; sources sum to the head's attribution, attention to 1."""
    prompts = [sample_prompt(neuron, index) for index in range(PROMPTS)]
    far = ["Long", " before", " that", ","] if full else []
    tokens = [[prompt.tokens[0], *far, *prompt.tokens[1:]] for prompt in prompts]
    random = np.random.default_rng(5)
    activation, sources, attention = [], [], []
    for index, (prompt, row) in enumerate(zip(prompts, tokens, strict=True)):
        share = np.full(len(row), 0.1 / len(row))
        share[len(row) // 2] += 0.9
        direct = 0.0 if head is None else sample_arrays(neuron)["headline"][index, head.layer, head.index]
        activation.append([*np.abs(random.normal(0.0, 0.3, len(row) - 1)).tolist(), prompt.activation])
        sources.append((float(np.nan_to_num(direct)) * share).tolist())
        attention.append(share.tolist())
    return Shading(
        request=request,
        neuron=neuron,
        head=head,
        full=full,
        tokens=tokens,
        activation=activation,
        sources=sources if head else [],
        elsewhere=[0.0] * PROMPTS,
        attention=attention if head else [],
        probability=[0.71 - 0.03 * index for index in range(PROMPTS)],
    )


def sample_roles() -> HeadRoles:
    """PREVIOUS looks at the token before, DAMPING at repeated ones; nothing else has a role."""
    scores = np.zeros((3, LAYERS, HEADS))
    scores[0, PREVIOUS.layer, PREVIOUS.index] = 0.92
    scores[2, DAMPING.layer, DAMPING.index] = 0.71
    previous, duplicate, induction = scores.tolist()
    return HeadRoles(request=1, previous_token=previous, duplicate_token=duplicate, induction=induction)


def sample_neuron_list(count: int = 200) -> NeuronList:
    """Every neuron of the last two layers, `count` rows in order of address; the study's own are among them."""
    random = np.random.default_rng(11)
    half = count // 2
    layer = np.repeat([2, 3], [half, count - half])
    index = np.concatenate([np.arange(half), np.arange(count - half)])
    kinds: tuple[Kind, ...] = ("ordinary", "prediction", "suppression", "entropy")
    token = random.integers(0, 4096, count)
    return NeuronList(
        request=1,
        layer=layer.tolist(),
        index=index.tolist(),
        token_id=token.tolist(),
        token=[f" word{i}" for i in token.tolist()],
        congruence=random.normal(3.0, 1.0, count).tolist(),
        cosine=random.uniform(0.0, 0.6, count).tolist(),
        z=random.normal(8.0, 3.0, count).tolist(),
        kind=[kinds[i] for i in random.integers(0, 4, count).tolist()],
    )
