"""Which parts of the screen an event of the study changes."""

from __future__ import annotations

from typing import Literal

from headtorch.core.events import (
    AgreementMeasured,
    AnyEvent,
    BaselineCompared,
    BestPrompts,
    CallsMade,
    ClaimHeadsChosen,
    ContextClaimTested,
    ContextShareMeasured,
    ControlsTested,
    CooperationMeasured,
    DeviceUse,
    EffectsMeasured,
    ExplanationSoFar,
    FiringPlacesFound,
    HeadAblated,
    HeadActivityFound,
    HeadClaimTested,
    HeadExplained,
    HeadJudged,
    HeadsAttributed,
    HeadScored,
    HeadUnanswered,
    NeuronsFound,
    NeuronVisited,
    Progress,
    PromptsFound,
    ScoresAdjusted,
    SpectrumMeasured,
    Spending,
    StageFinished,
    StageStarted,
    StudyFinished,
    ValidityMeasured,
    VerdictsSoFar,
    Warned,
)

Topic = Literal["study", "neurons", "prompts", "heads", "detail", "progress"]
EVERYTHING: frozenset[Topic] = frozenset({"study", "neurons", "prompts", "heads", "detail", "progress"})

_TOPICS: dict[type[AnyEvent], frozenset[Topic]] = {
    NeuronsFound: frozenset({"neurons", "prompts", "heads", "detail", "study"}),
    NeuronVisited: frozenset({"neurons"}),
    PromptsFound: frozenset({"prompts", "detail"}),
    BestPrompts: frozenset({"prompts"}),
    ValidityMeasured: frozenset({"neurons", "detail"}),
    HeadsAttributed: frozenset({"heads", "detail", "prompts"}),
    HeadActivityFound: frozenset({"heads", "prompts", "detail"}),
    FiringPlacesFound: frozenset({"prompts", "detail"}),
    ContextShareMeasured: frozenset({"neurons", "heads", "detail"}),
    ClaimHeadsChosen: frozenset({"heads", "prompts", "detail"}),
    ContextClaimTested: frozenset({"neurons", "heads", "detail"}),
    HeadClaimTested: frozenset({"neurons", "heads", "detail"}),
    ControlsTested: frozenset({"detail"}),
    HeadExplained: frozenset({"detail", "heads"}),
    HeadScored: frozenset({"neurons", "detail", "heads"}),
    HeadJudged: frozenset({"detail"}),
    HeadUnanswered: frozenset({"detail", "progress"}),
    CallsMade: frozenset({"detail"}),
    ExplanationSoFar: frozenset({"detail"}),
    VerdictsSoFar: frozenset({"detail"}),
    Spending: frozenset({"progress"}),
    ScoresAdjusted: frozenset({"neurons", "heads", "detail"}),
    BaselineCompared: frozenset({"detail"}),
    Warned: frozenset({"detail"}),
    HeadAblated: frozenset({"detail"}),
    EffectsMeasured: frozenset({"heads", "detail"}),
    AgreementMeasured: frozenset({"detail"}),
    CooperationMeasured: frozenset({"detail"}),
    SpectrumMeasured: frozenset({"detail"}),
    Progress: frozenset({"progress"}),
    DeviceUse: frozenset({"progress"}),
    StageStarted: frozenset({"progress"}),
    StageFinished: frozenset({"progress", "detail"}),
    StudyFinished: frozenset({"study", "progress", "detail"}),
}


def topics_of(event: AnyEvent) -> frozenset[Topic]:
    """The topics whose panes are drawn again after the event."""
    return _TOPICS.get(type(event), frozenset({"study"}))
