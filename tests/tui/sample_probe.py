"""Made-up answers about a text of the user's own; their sums agree."""

from __future__ import annotations

from headtorch.core.engine.protocol import TextProbed, TokenProbability
from headtorch.core.records import HeadId, NeuronId

NEURON, HEAD = NeuronId(3, 892), HeadId(2, 7)


def sample_probe(
    text: str = " the apple tree and picked",
    request: int = 1,
    position: int | None = None,
    head: HeadId | None = HEAD,
    strength: float = 4.1,
    gated: bool = False,
) -> TextProbed:
    """An answer on the words of a text; `strength` is what HEAD gives."""
    tokens = [f" {word}" for word in text.split(" ") if word]
    position = len(tokens) - 1 if position is None else position
    heads: list[list[float | None]] = [[0.01 * (layer + 1)] * 8 for layer in range(4)]
    heads[2][7], heads[1][2], heads[2][4] = strength, 1.2, -0.8
    heads[3] = [None] * 8
    total = sum(value for row in heads for value in row if value is not None)
    shown = [TokenProbability(" an", 0.11 * strength), TokenProbability(" a", 0.2), TokenProbability(" the", 0.05)]
    without = [TokenProbability(" a", 0.4), TokenProbability(" an", 0.1), TokenProbability(" no", 0.06)]
    return TextProbed(
        request=request,
        neuron=NEURON,
        head=head,
        tokens=tokens,
        token_ids=[hash(token) % 4096 for token in tokens],
        activation=[0.2 * at for at in range(len(tokens) - 1)] + [total + 2.0],
        position=position,
        pre_activation=None if gated else total + 2.0,
        heads=heads,
        other=None if gated else 2.0,
        error=None if gated else 2e-7,
        sources=[0.1] * len(tokens) if head else [],
        attention=[1 / len(tokens)] * len(tokens) if head else [],
        next_tokens=shown,
        next_without=without if head else [],
        activation_without=2.5 if head else None,
    )
