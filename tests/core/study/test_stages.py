"""The stages that a study goes through, by its preset and by the version that made it."""

from __future__ import annotations

from headtorch.core.events import STAGES, StageFinished, StageStarted, StudyFinished, StudyOpened
from headtorch.core.settings import Settings
from headtorch.core.study.stages import OF_EXAMPLES, has_claim_stages, stages_of
from headtorch.core.study.state import StudyState, fold


def state_after(*stages: str, preset: str = "default", finished: bool = False) -> StudyState:
    settings = Settings(preset=preset)  # type: ignore[arg-type]
    events = [StudyOpened(settings=settings, version="1"), *(StageFinished(stage=one, seconds=1.0) for one in stages)]
    return fold([*events, *([StudyFinished(seconds=9.0)] if finished else [])])


def test_a_study_that_begins_now_tests_claims_from_its_first_moment() -> None:
    for state in (StudyState(), state_after(), state_after("discover", "scan")):
        assert has_claim_stages(state)
        assert stages_of(state) == tuple(stage for stage in STAGES if stage not in (*OF_EXAMPLES, "report"))


def test_the_papers_preset_labels_examples() -> None:
    wanted = tuple(stage for stage in STAGES if stage not in ("places", "heads", "claims", "report"))
    for state in (state_after(preset="paper"), state_after(*wanted, preset="paper", finished=True)):
        assert not has_claim_stages(state)
        assert stages_of(state) == wanted


def test_studies_of_earlier_versions_are_known_by_the_stages_they_had() -> None:
    assert "contrast" in stages_of(state_after("discover", "scan", "trim", "validity", "attribute", "contrast"))
    assert "contrast" in stages_of(state_after("discover", finished=True)), "finished, and no claims"
    assert "contrast" in stages_of(state_after("discover").apply(StageStarted(stage="contrast")))


def test_an_earlier_study_that_goes_on_to_claims_has_their_stages() -> None:
    state = state_after("discover", "contrast").apply(StageStarted(stage="places"))
    assert "places" in stages_of(state) and "contrast" not in stages_of(state)
