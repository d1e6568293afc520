"""A real language model explains and judges the heads of a planted circuit: small, so that what it says is modest.

What it scores is printed beside the rules (pytest -m real_llm -rP); what must hold is that everything asked is answered
or counted, that nearly all its verdicts can be read, and that every score has its counts and its interval.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
import pytest
from circuits import INDUCTION
from real_llm import MODEL, NotAtHand, served

from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.pipeline import explain_study, run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import CallsMade
from headtorch.core.records import Judgement, PlannedCalls, Score, Verdict
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

pytestmark = [pytest.mark.real_llm, pytest.mark.slow]
EXPLAINER = f"llm:{MODEL}"


@dataclass(frozen=True)
class Asked:
    """A study explained by rules, then by the model: what was planned, what was asked, and what came of it."""

    state: StudyState
    planned: list[PlannedCalls]
    made: list[CallsMade]
    again: list[CallsMade]  # by another study of the same question

    @property
    def scores(self) -> list[Score]:
        return [score for score in self.state.scores.values() if score.explainer == EXPLAINER]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(served())
        except NotAtHand as reason:
            pytest.skip(str(reason))
        yield url


@pytest.fixture(scope="module")
def asked(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        settings = INDUCTION.settings(home / "texts", documents=70)
        llm = LlmSettings(model=MODEL, base_url=endpoint, max_tokens=100, control_n=4, random_n=4)
        state, planned, made = explained(settings, llm, "first")
        yield Asked(state, planned, made, explained(settings, llm, "second")[2])


def explained(
    settings: Settings, llm: LlmSettings, name: str
) -> tuple[StudyState, list[PlannedCalls], list[CallsMade]]:
    planned: list[PlannedCalls] = []
    workspace = Workspace(settings, model=INDUCTION.open())
    workspace.llm = LanguageModels(LlmAccess(concurrency=2, attempts=2), leave=planned.extend)
    with Study.create(name, settings) as study:
        for _ in run_study(study, workspace):
            pass
        by_model = msgspec.structs.replace(settings, explainer="llm", llm=llm)
        events = list(explain_study(study, workspace, by_model))
    return study.state, planned, [event for event in events if isinstance(event, CallsMade)]


def test_every_head_is_scored_or_said_to_be_unanswered(asked: Asked) -> None:
    by_rules = {(score.neuron, score.head) for score in asked.state.scores.values() if score.explainer == "rules"}
    by_model = {(score.neuron, score.head) for score in asked.scores}
    unanswered = {(neuron, head) for neuron, head, explainer in asked.state.unanswered if explainer == EXPLAINER}
    assert len(by_rules) == 2
    assert by_model | unanswered == by_rules and not by_model & unanswered


def test_every_call_is_counted_by_the_endpoint_itself_and_none_is_made_that_was_not_planned(asked: Asked) -> None:
    calls = sum(one.calls + one.unanswered for one in asked.made)
    assert len(asked.state.explanations) < calls <= sum(one.calls for one in asked.planned)
    assert all(one.counted and one.cost is None for one in asked.made)  # nobody said what the model costs
    assert 100 * calls < sum(one.prompt_tokens for one in asked.made) < 2 * sum(p.prompt_tokens for p in asked.planned)
    assert calls < sum(one.completion_tokens for one in asked.made) < 100 * calls


def test_nearly_every_verdict_can_be_read(asked: Asked) -> None:
    judged = [one for one in asked.state.judgements.values() if one.explainer == EXPLAINER]
    assert all(one.judge == EXPLAINER for one in judged)
    said = [verdict for one in judged for verdict in every_verdict(one)]
    assert len(said) >= 30
    assert sum(verdict is None for verdict in said) <= 0.1 * len(said)


def every_verdict(judgement: Judgement) -> list[Verdict]:
    controls = [verdict for other in judgement.others for verdict in other]
    return [*judgement.verdicts, *controls, *judgement.empty, *judgement.random_verdicts]


def test_its_scores_stand_on_the_same_prompts_as_the_rules_with_counts_and_intervals(asked: Asked) -> None:
    assert asked.scores
    for score in asked.scores:
        rules = asked.state.scores[score.neuron, score.head, "rules"]
        assert rules.e == 1.0
        assert (score.n_active, score.n_inactive) == (rules.n_active, rules.n_inactive)
        assert min(score.n_active, score.n_inactive) >= 8
        assert score.e is not None and score.interval is not None
        assert 0 <= score.interval.low <= score.e <= score.interval.high <= 1
        assert {control.name for control in score.controls} == {"other head", "empty", "shuffled"}
        said = asked.state.explanations[score.neuron, score.head, EXPLAINER].text
        assert said.strip()
        sys.stdout.write(
            f"{score.neuron} {score.head}: {MODEL} E = {score.e:.2f} [{score.interval.low:.2f}, "
            f"{score.interval.high:.2f}], rules E = {rules.e:.2f}; n = {score.n_active} active + {score.n_inactive} "
            f"inactive, {score.unusable} unusable; it says: {said}\n"
        )


def test_the_same_question_asked_again_is_answered_without_a_call(asked: Asked) -> None:
    assert asked.again and sum(one.calls for one in asked.again) == 0
    assert sum(one.cached for one in asked.again) == sum(one.calls for one in asked.made)
