"""What a report says of one neuron and of one of its heads."""

from __future__ import annotations

import msgspec

from headtorch.core.causes import Ablation
from headtorch.core.claims import ContextShare, FiringSet
from headtorch.core.records import (
    Explanation,
    Half,
    HeadActivity,
    HeadId,
    HeadSummary,
    NextTokenNeuron,
    Prompt,
    Record,
    Score,
    Validity,
)


class CitedPrompt(Record, frozen=True, kw_only=True):
    """A prompt that the report points at, token by token where the study knows how the tokens light up.

    `shares`: by head, of what it took from all tokens, in size; `first`: that of the model's own first token. For heads
    that are cited with this prompt.
    """

    index: int  # in the order of `HeadActivity.active`
    half: Half
    title: str
    tokens: list[str]  # those kept of the document; the last is where the neuron fires
    next_token: str | None
    activation: float
    lower: bool  # from a lower activation bin
    lit: list[float]  # the neuron's activation on each of the tokens
    shares: dict[str, list[float]]
    first: dict[str, float]


class HeadPart(Record, frozen=True, kw_only=True):
    """A head of a neuron: attribution, activity, explanations with their scores, ablations.

    Examples are indices of the neuron's `cited` prompts, in the order of `HeadActivity.active`; of its `cited_places`
    where the activity is of firing places.
    """

    head: HeadId
    summary: HeadSummary | None
    activity: HeadActivity | None
    explanations: list[Explanation]
    scores: list[Score]
    ablations: list[Ablation]
    active_examples: list[int]
    inactive_examples: list[int]

    @property
    def is_of_firing_places(self) -> bool:
        """Whether examples and wrong verdicts are indices of firing places, not of the strongest prompts."""
        return self.activity is not None and self.activity.places == "firing"


class NeuronPart(Record, frozen=True, kw_only=True):
    """A neuron: what it is, where it fires, which heads light it."""

    found: NextTokenNeuron
    validity: Validity | None
    context_share: ContextShare | None = None
    firing: FiringSet | None = None
    prompts: list[Prompt]  # the strongest PROMPTS_SHOWN
    prompts_in_all: int
    near_duplicates_dropped: int
    long_dropped: int = 0  # prompts over the limit of the settings
    max_error: float | None  # of the sum of parts, relative to Σ|parts|
    eligible_heads: int
    never_active: int | None
    always_active: int | None
    explainable: int | None
    lower_prompts: int = 0  # from lower activation bins, for the always-active heads
    heads: list[HeadPart]
    notes: dict[str, str]
    map: list[list[float | None]]  # [layer][head] mean contribution; None: the head cannot feed the neuron
    strongest: list[int]  # of `cited`, the prompts in `prompts`
    cited: list[CitedPrompt]  # every prompt that the neuron's part of the report points at
    # likewise of its firing places, which label heads in studies with claims
    cited_places: list[CitedPrompt] = msgspec.field(default_factory=list)

    def cited_of(self, head: HeadPart) -> dict[int, CitedPrompt]:
        """By index, the prompts or firing places that a head's examples point at."""
        return {one.index: one for one in (self.cited_places if head.is_of_firing_places else self.cited)}
