"""Which stages a study goes through: some label heads on max-activating examples, the others test claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.events import STAGES

if TYPE_CHECKING:
    from headtorch.core.study.state import StudyState

OF_CLAIMS = ("places", "heads", "claims")  # not in the paper's preset, nor in studies of earlier versions
OF_EXAMPLES = ("contrast",)  # only there


def has_claim_stages(state: StudyState) -> bool:
    """Whether the study tests claims on firing places: not by the paper's preset, nor by an earlier version."""
    if state.settings is not None and state.settings.preset == "paper":
        return False
    seen = {stage for stage, _ in [*state.done, *state.running]}
    if not seen.isdisjoint(OF_CLAIMS) or state.firing or state.claim_heads:
        return True
    return state.finished is None and seen.isdisjoint(OF_EXAMPLES)


def stages_of(state: StudyState) -> tuple[str, ...]:
    """The stages of the study, in order; "report" is written again whenever it is opened and does not count."""
    skipped = ("report", *(OF_EXAMPLES if has_claim_stages(state) else OF_CLAIMS))
    return tuple(stage for stage in STAGES if stage not in skipped)
