"""What is typed into the pick screen, read: tokens out of a line, and the settings of a study."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from headtorch.core.engine.presets import DEFAULT_NEURONS, DEFAULT_RANDOM, paper_settings
from headtorch.core.errors import HeadtorchError, InputError
from headtorch.core.model.addresses import parse_layers
from headtorch.core.model.preview import ModelPreview
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import LlmSettings, Settings
from headtorch.core.text import visible_token
from headtorch.tui.cli.workspaces import anchored
from headtorch.tui.remembered import Choices


@dataclass(frozen=True)
class PickResult:
    """What was picked: a new question, or with settings None a study to reopen."""

    settings: Settings | None
    where: str | None
    device: str
    neuron: NeuronId | None = None  # to look at first in a study that is reopened, and a head of it
    head: HeadId | None = None


def read_tokens(line: str) -> tuple[str, ...]:
    """The tokens of a line: separated by commas, spaces kept, ``\\,`` for a comma itself."""
    pieces = [re.sub(r"\\([,\\])", r"\1", piece) for piece in re.findall(r"(?:\\[,\\]|[^,])+", line)]
    return tuple(dict.fromkeys(piece for piece in pieces if piece.strip(" ")))


def write_tokens(tokens: tuple[str, ...]) -> str:
    """The line that reads back as these tokens."""
    return ",".join(re.sub(r"([,\\])", r"\\\1", token) for token in tokens)


def last_token(line: str) -> tuple[str, str]:
    """What stands before the token that is being typed, and that token as typed."""
    last = list(re.finditer(r"(?<!\\),", line))
    at = last[-1].end() if last else 0
    return line[:at], re.sub(r"\\([,\\])", r"\1", line[at:])


def layers_named(spec: str, preset: str, preview: ModelPreview) -> list[int]:
    """The layers that would be studied. Raises AddressError for what names none of the model's."""
    return parse_layers("last:5" if preset == "paper" else spec, preview.n_layers)


def ask(
    choices: Choices,
    preview: ModelPreview | HeadtorchError | None,
    tokens: TokensAtHand | None,
    llm: LlmSettings | None = None,
) -> Settings:
    """The settings of the study: those that `headtorch run` would make of the same choices.

    Raises InputError for what can be told wrong without loading the model.
    """
    if isinstance(preview, HeadtorchError):
        raise preview
    if not choices.corpus.strip():
        raise InputError("The corpus has no name; give sotu, a file, folder or glob, or hf: and a name.")
    if preview is not None:
        layers_named(choices.layers, choices.preset, preview)
    if tokens is not None:
        for token in choices.tokens:
            problem = token_problem(token, tokens)
            if problem is not None:
                raise InputError(problem)
    by_model = choices.explainer == "llm" and llm is not None
    asked = Settings(
        model=anchored(choices.model.strip()),
        corpus=anchored(choices.corpus.strip()),
        token_texts=choices.tokens,
        layers=choices.layers.strip(),
        neurons_limit=DEFAULT_NEURONS,
        random_neurons=DEFAULT_RANDOM,
        context=256,
        top_k=128,
        explainer="llm" if by_model else "rules",
        llm=llm if by_model else None,
    )
    return paper_settings(asked) if choices.preset == "paper" else asked


def token_problem(token: str, tokens: TokensAtHand) -> str | None:
    """Why the text is no token, with those nearest to it; None where it is one."""
    if tokens.is_single(token):
        return None
    pieces = tokens.pieces(token)
    near = [visible_token(other) for other in tokens.suggestions(token, 3)]
    advice = f"near: {'  '.join(near)}" if near else "choose another"
    made = f"{len(pieces)} tokens ({' + '.join(map(visible_token, pieces))})" if len(pieces) > 1 else "not one token"
    return f"{visible_token(token)} is {made}; {advice}."


Preset = Literal["default", "paper"]
PRESETS: tuple[Preset, ...] = ("default", "paper")
