"""How a neuron's prompts light up, token by token, as an artefact holds it: nothing of it needs the model again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headtorch.core.errors import StudyError
from headtorch.core.records import HeadId, Record
from headtorch.core.study.artefacts import Arrays

DIGITS = 4  # of a share; activations keep their precision


class ShadedPrompt(Record, frozen=True, kw_only=True):
    """A prompt of a neuron, one number for each token that it keeps of its document.

    A head's shares are of all that it took from any token, in size (gated: over both reads). `first` is the share of
    the model's own first token; what is then missing to 1 came from before the kept tokens.
    """

    index: int  # in the order of `HeadActivity.active`
    activation: list[float]
    shares: dict[str, list[float]]  # by head, "L2.H4"
    first: dict[str, float]


def to_arrays(heads: Sequence[HeadId], prompts: Sequence[ShadedPrompt]) -> dict[str, NDArray[np.generic]]:
    """The arrays of an artefact: tokens of all prompts in one row, cut at `ends`."""
    shares = [[share for prompt in prompts for share in prompt.shares[str(head)]] for head in heads]
    first = [[prompt.first[str(head)] for prompt in prompts] for head in heads]
    activation = [value for prompt in prompts for value in prompt.activation]
    return {
        "heads": np.array([(head.layer, head.index) for head in heads], dtype=np.int32).reshape(-1, 2),
        "prompts": np.array([prompt.index for prompt in prompts], dtype=np.int32),
        "ends": np.cumsum([len(prompt.activation) for prompt in prompts], dtype=np.int32),
        "activation": np.array(activation, dtype=np.float32),  # token
        "shares": np.array(shares, dtype=np.float32).reshape(len(heads), len(activation)).round(DIGITS),  # head token
        "first": np.array(first, dtype=np.float32).reshape(len(heads), len(prompts)).round(DIGITS),  # head prompt
    }


def from_arrays(arrays: Arrays) -> dict[int, ShadedPrompt]:
    """The prompts of an artefact, by their index. Raises StudyError for arrays of something else."""
    try:
        return _prompts(arrays)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise StudyError("An artefact of the study is not what its log says: it holds no shaded prompts.") from error


def _prompts(arrays: Arrays) -> dict[int, ShadedPrompt]:
    names = [str(HeadId(int(layer), int(index))) for layer, index in arrays["heads"]]
    starts = [0, *arrays["ends"].tolist()]
    activation = np.asarray(arrays["activation"], dtype=np.float64).round(DIGITS)
    shares = np.asarray(arrays["shares"], dtype=np.float64).round(DIGITS)
    first = np.asarray(arrays["first"], dtype=np.float64).round(DIGITS)
    return {
        int(index): ShadedPrompt(
            index=int(index),
            activation=activation[start:end].tolist(),
            shares=dict(zip(names, shares[:, start:end].tolist(), strict=True)),
            first=dict(zip(names, first[:, place].tolist(), strict=True)),
        )
        for place, (index, start, end) in enumerate(zip(arrays["prompts"], starts, starts[1:], strict=False))
    }
