"""What the heads pane shows of a session: the numbers of its grid, ready to draw and to compare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import HeadRoles
from headtorch.core.records import HeadId, HeadSummary, ModelFacts, NeuronId
from headtorch.tui.feeding import why_not
from headtorch.tui.panes.head_measures import NAMES, SHORT, Grid, agreement_in_words, grid_of, measured
from headtorch.tui.panes.head_parts import parts_in_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headtorch.tui.session import Session

ROLE = 0.4  # agreement with a known pattern from which a head is called by its name
DOT = "⟨o, w⟩"


@dataclass(frozen=True)
class HeadView:
    """The heads of one neuron, over all its prompts or on one of them."""

    neuron: NeuronId
    facts: ModelFacts
    scope: str  # "mean of 24 prompts", "prompt 3"
    measure: str  # what a value is
    one_prompt: bool
    values: Grid
    total: float | None  # what the values are parts of: the pre-activation, gated the activation
    parts: list[str]
    summaries: dict[HeadId, HeadSummary]
    explained: frozenset[HeadId]
    roles: HeadRoles | None
    additive: bool = True  # whether the values are parts of one sum
    gap: str = ""  # why a head that can feed the neuron has no value
    agreement: list[str] = field(default_factory=list)  # of attribution with exact effects

    @property
    def title(self) -> str:
        """ "mean direct", "prompt 3, removal": short enough for a narrow pane."""
        if self.measure in (NAMES["beta"], NAMES["prior"]):
            return SHORT.get(self.measure, self.measure)
        short = self.measure if self.measure == DOT else SHORT.get(self.measure, self.measure.split()[0])
        return f"{self.scope}, {short}" if self.one_prompt else f"mean {short}"

    def value(self, head: HeadId) -> float | None:
        """The head's number; None where there is none."""
        inside = head.layer < self.facts.n_layers and head.index < self.facts.n_heads
        return self.values[head.layer][head.index] if inside else None

    def reason(self, head: HeadId) -> str:
        """Why the head cannot feed the neuron; empty where it can."""
        return why_not(self.facts, head, self.neuron)

    @cached_property
    def ranking(self) -> list[HeadId]:
        """The heads that have a number, the largest in size first."""
        sized = [
            (-abs(value), HeadId(layer, index))
            for layer, row in enumerate(self.values)
            for index, value in enumerate(row)
            if value is not None
        ]
        return [head for _, head in sorted(sized)]

    @cached_property
    def strongest(self) -> float:
        """The largest size of a value: the end of the colour scale."""
        return abs(self.value(self.ranking[0]) or 0.0) if self.ranking else 0.0

    @cached_property
    def all_heads(self) -> float:
        """The sum over the heads."""
        return sum(value for row in self.values for value in row if value is not None)

    def share_of_scale(self, head: HeadId) -> float | None:
        """The value from −1 to 1, the strongest at either end."""
        value = self.value(head)
        return None if value is None else value / self.strongest if self.strongest else 0.0

    def roles_of(self, head: HeadId) -> list[tuple[str, float]]:
        """What the head is known as, the best agreement first."""
        if self.roles is None:
            return []
        grids = {
            "previous-token": self.roles.previous_token,
            "duplicate-token": self.roles.duplicate_token,
            "induction": self.roles.induction,
        }
        named = [(name, grid[head.layer][head.index]) for name, grid in grids.items() if _holds(grid, head)]
        return sorted((entry for entry in named if entry[1] >= ROLE), key=lambda entry: -entry[1])


def head_view(session: Session) -> HeadView | None:
    """The view of the selected neuron; None until its heads are attributed."""
    neuron, facts = session.selection.neuron, session.state.model
    event = session.state.attributed.get(neuron) if neuron is not None else None
    if neuron is None or facts is None or event is None:
        return None
    arrays = session.arrays()
    prompt = session.selection.prompt if session.selection.one_prompt and arrays is not None else None
    if prompt is not None and arrays is not None and prompt >= len(arrays["headline"]):
        prompt = None  # the prompts changed and the heads have not followed yet
    activity = session.state.activity.get(neuron)
    summaries = {summary.head: summary for summary in event.heads}
    view = HeadView(
        neuron=neuron,
        facts=facts,
        scope=_scope(session, prompt),
        measure=measure_of(session, facts),
        one_prompt=prompt is not None,
        values=grid_of(facts, session.state.mean_headlines(neuron))
        if prompt is None or arrays is None
        else _of_prompt(facts, arrays, prompt),
        total=_total(session, facts, arrays, prompt),
        parts=parts_in_words(arrays, prompt) if arrays is not None else [],
        summaries=summaries,
        explained=frozenset(entry.head for entry in activity.heads) if activity is not None else frozenset(),
        roles=session.roles,
        agreement=agreement_in_words(session.state.effects.get(neuron), facts),
    )
    return view if session.selection.measure == "attribution" else _otherwise(session, view, prompt)


def _otherwise(session: Session, view: HeadView, prompt: int | None) -> HeadView:
    """The same heads by another measure than attribution."""
    measure = session.selection.measure
    found = measured(session, measure, view.facts, view.summaries, prompt)
    return replace(
        view,
        scope=found.scope,
        measure=NAMES[measure],
        values=found.values,
        total=None,
        parts=[],
        additive=measure == "beta",
        gap=found.gap,
    )


def measure_of(session: Session, facts: ModelFacts) -> str:
    """What a head's number is in this study."""
    settings = session.state.settings
    if settings is not None and settings.attribution == "dot":
        return DOT
    return "removal effect" if facts.gated else "direct attribution"


def _scope(session: Session, prompt: int | None) -> str:
    if prompt is not None:
        return f"prompt {prompt + 1}"
    count = len(session.state.prompts.get(session.selection.neuron, [])) if session.selection.neuron else 0
    return f"mean of {count} prompts" if count else "mean"


def _of_prompt(facts: ModelFacts, arrays: dict[str, NDArray[np.generic]], prompt: int) -> Grid:
    rows: list[list[float]] = arrays["headline"][prompt, : facts.n_layers, : facts.n_heads].tolist()
    return [[value if value == value else None for value in row] for row in rows]


def _total(
    session: Session, facts: ModelFacts, arrays: dict[str, NDArray[np.generic]] | None, prompt: int | None
) -> float | None:
    if arrays is None or measure_of(session, facts) == DOT:
        return None
    whole = arrays["activation"] if facts.gated else arrays["pre_activation"][:, 0]
    return float(whole.mean() if prompt is None else whole[prompt])


def _holds(grid: list[list[float]], head: HeadId) -> bool:
    return head.layer < len(grid) and head.index < len(grid[head.layer])
