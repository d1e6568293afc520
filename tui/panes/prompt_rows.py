"""The prompts of a neuron with everything that is drawn about each: tokens, their strengths, the head's mark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len

from headtorch.core.engine.protocol import Shading
from headtorch.core.records import HeadActivity, Prompt
from headtorch.core.text import visible, visible_token
from headtorch.tui.panes.detail.labels import on_examples
from headtorch.tui.selection import ShadingMode
from headtorch.tui.session import Session

FIRST = "⊢"  # the model's own first token


@dataclass(frozen=True)
class PromptRow:
    """One prompt as it is drawn. `strengths`: a share of the strongest per token, signed for contributions."""

    prompt: Prompt
    tokens: list[str]
    has_first: bool  # tokens[0] is the model's own
    strengths: list[float] | None
    active: bool | None  # None: nobody said whether the head is
    probability: float | None  # of the neuron's token

    @cached_property
    def words(self) -> list[str]:
        """The tokens as they are drawn."""
        shown = [visible(token) for token in self.tokens]
        return [FIRST, *shown[1:]] if self.has_first else shown

    @cached_property
    def cells(self) -> int:
        """How wide the whole text is."""
        return sum(map(cell_len, self.words))

    @cached_property
    def strongest(self) -> int | None:
        """The token with the largest strength; None where all are next to nothing."""
        if not self.strengths:
            return None
        sizes = [abs(strength) for strength in self.strengths]
        return sizes.index(max(sizes)) if max(sizes) >= 1 / 16 else None

    @property
    def text(self) -> str:
        """The raw text."""
        return "".join(self.tokens[1:] if self.has_first else self.tokens)


@dataclass(frozen=True)
class PromptRows:
    """All prompts of the selected neuron: the strongest, then those from lower activation bins."""

    rows: list[PromptRow]
    mode: ShadingMode
    shaded: bool
    activity: HeadActivity | None
    so_far: bool  # the scan goes on

    @cached_property
    def activation_cells(self) -> int:
        """How wide the activations are."""
        largest = max((abs(row.prompt.activation) for row in self.rows), default=0.0)
        return (4 if largest < 10 else 5) + any(row.prompt.activation < 0 for row in self.rows)

    @cached_property
    def text_cells(self) -> int:
        """How wide the longest text is."""
        return max((row.cells for row in self.rows), default=0)

    @cached_property
    def follows_cells(self) -> int:
        """How wide the longest token that follows is."""
        return max((cell_len(visible_token(row.prompt.next_token or "")) for row in self.rows), default=4)


def prompt_rows(session: Session) -> PromptRows:
    """What the session holds about the selected neuron's prompts."""
    chosen, prompts = session.selection, session.prompts()
    neuron = chosen.neuron
    final = neuron is not None and bool(session.state.prompts.get(neuron))
    shading = (session.shading() or session.recorded()) if final else None
    activity = session.state.activity_of(neuron, chosen.head) if neuron and chosen.head and final else None
    row = session.row()
    values = _values(shading, chosen.shading, row.sign if row else 1)
    labels = [None] * len(prompts) if activity is None else on_examples(session, activity, prompts)
    rows = [_row(prompt, at, shading, values, labels[at]) for at, prompt in enumerate(prompts)]
    return PromptRows(rows, chosen.shading, bool(values), activity, so_far=bool(prompts) and not final)


def _row(prompt: Prompt, at: int, shading: Shading | None, values: list[list[float]], active: bool | None) -> PromptRow:
    known = shading is not None and at < len(shading.tokens)
    tokens = shading.tokens[at] if shading is not None and known else prompt.tokens
    own_first = len(prompt.tokens) > prompt.position - prompt.start + 1
    strengths = values[at] if at < len(values) and len(values[at]) == len(tokens) else None
    return PromptRow(
        prompt=prompt,
        tokens=tokens,
        has_first=own_first and tokens[:1] == prompt.tokens[:1],
        strengths=strengths,
        active=active,
        probability=shading.probability[at] if shading is not None and at < len(shading.probability) else None,
    )


def _values(shading: Shading | None, mode: ShadingMode, sign: int) -> list[list[float]]:
    """Per prompt and token a share of the largest over all prompts, the first token of each left out of the largest.

    Whatever a head attends to elsewhere, it attends to the first token: as the measure it would leave all else dark.
    """
    if shading is None:
        return []
    values = {"activation": shading.activation, "sources": shading.sources, "attention": shading.attention}[mode]
    if mode == "activation":
        values = [[max(0.0, sign * value) for value in row] for row in values]
    largest = max((abs(value) for row in values for value in row[1:]), default=0.0)
    return [[value / largest for value in row] for row in values] if largest > 0 else []
