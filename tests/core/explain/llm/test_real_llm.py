"""A real language model explains the heads of a planted circuit and judges them: by its own claims and by a good one.

It is small, so what it says is modest, and may be no claim at all. What it scores is printed beside the rules
(pytest -m real_llm -rP). What must hold is that everything asked is answered or counted, that nearly all its verdicts
can be read, and that every score has its counts and its interval.
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
from headtorch.core.events import AnyEvent, CallsMade
from headtorch.core.records import Judgement, PlannedCalls, Score, Verdict
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

pytestmark = [pytest.mark.real_llm, pytest.mark.slow]
NAME = f"llm:{MODEL}"
CLAIM = "Active when the last word of the text was said earlier in it."


@dataclass(frozen=True)
class Asked:
    """A study explained by rules, by the model, and by a claim that the model judges: what was planned and asked."""

    state: StudyState
    planned: list[PlannedCalls]
    made: list[CallsMade]
    for_claim: list[CallsMade]  # of these, by the judge of the claim

    @property
    def scores(self) -> list[Score]:
        return [score for score in self.state.scores.values() if score.explainer != "rules"]

    @property
    def calls(self) -> int:
        return sum(one.calls for one in self.made)

    @property
    def unanswered(self) -> int:
        return sum(one.unanswered for one in self.made)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(served())
        except NotAtHand as reason:
            pytest.skip(str(reason))
        yield url


@pytest.fixture(scope="module")
def asked(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asked]]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        settings = msgspec.structs.replace(INDUCTION.settings(home / "texts"), explain_n=12, score_n=8)
        llm = LlmSettings(model=MODEL, base_url=endpoint, max_tokens=60, control_n=3, random_n=3)
        yield [explained(settings, llm, name) for name in ("first", "second")]


def explained(settings: Settings, llm: LlmSettings, name: str) -> Asked:
    planned: list[PlannedCalls] = []
    workspace = Workspace(settings, model=INDUCTION.open())
    workspace.llm = LanguageModels(LlmAccess(concurrency=2, attempts=2), leave=planned.extend)
    with Study.create(name, settings) as study:
        for _ in run_study(study, workspace):
            pass
        by_model = msgspec.structs.replace(settings, explainer="llm", llm=llm)
        by_claim = msgspec.structs.replace(settings, explainer="me", explanation=CLAIM, llm=llm)
        made = calls_made(explain_study(study, workspace, by_model))
        for_claim = calls_made(explain_study(study, workspace, by_claim))
    return Asked(study.state, planned, made + for_claim, for_claim)


def calls_made(events: Iterator[AnyEvent]) -> list[CallsMade]:
    return [event for event in events if isinstance(event, CallsMade)]


def test_every_head_is_scored_or_said_to_be_unanswered(asked: list[Asked]) -> None:
    state = asked[0].state
    heads = {(neuron, head) for neuron, head, explainer in state.scores if explainer == "rules"}
    unanswered = {(neuron, head) for neuron, head, explainer in state.unanswered if explainer == NAME}
    assert len(heads) == 2
    assert {(one.neuron, one.head) for one in asked[0].scores if one.explainer == "me"} == heads
    by_model = {(one.neuron, one.head) for one in asked[0].scores if one.explainer == NAME}
    assert by_model | unanswered == heads and not by_model & unanswered
    assert all(state.unanswered[*key, NAME].reason for key in unanswered)


def test_every_call_is_counted_by_the_endpoint_itself_and_none_is_made_that_was_not_planned(asked: list[Asked]) -> None:
    made, calls = asked[0].made, asked[0].calls
    assert 20 <= calls <= calls + asked[0].unanswered <= sum(one.calls for one in asked[0].planned)
    assert all(one.counted for one in made)
    assert all(one.cost is None for one in made if one.calls)  # nobody said what the model costs
    assert sum(one.prompt_tokens for one in made) > 100 * calls
    assert 2 * calls < sum(one.completion_tokens for one in made) < 100 * calls


def test_nearly_every_verdict_can_be_read(asked: list[Asked]) -> None:
    judged = [one for one in asked[0].state.judgements.values() if one.explainer != "rules"]
    assert all(one.judge == NAME for one in judged)
    said = [verdict for one in judged for verdict in every_verdict(one)]
    assert len(said) >= 40
    assert sum(verdict is None for verdict in said) <= 0.1 * len(said)


def every_verdict(judgement: Judgement) -> list[Verdict]:
    controls = [verdict for other in judgement.others for verdict in other]
    return [*judgement.verdicts, *controls, *judgement.empty, *judgement.random_verdicts]


def test_its_scores_stand_on_some_of_the_places_of_the_rules_with_counts_and_intervals(asked: list[Asked]) -> None:
    state = asked[0].state
    for score in asked[0].scores:
        rules = state.scores[score.neuron, score.head, "rules"]
        assert rules.e == 1.0
        assert (score.n_active, score.n_inactive) == (8, 8) and min(rules.n_active, rules.n_inactive) > 8
        assert score.e is not None and score.interval is not None
        assert 0 <= score.interval.low <= score.e <= score.interval.high <= 1
        controls = {control.name for control in score.controls}
        assert controls - {"other head"} == {"empty", "shuffled"}  # the other head may be unexplained
        said = state.explanations[score.neuron, score.head, score.explainer].text
        assert said.strip()
        sys.stdout.write(
            f"{score.neuron} {score.head}: explained by {score.explainer}, judged by {NAME}: E = {score.e:.2f} "
            f"[{score.interval.low:.2f}, {score.interval.high:.2f}], rules E = {rules.e:.2f}; n = {score.n_active} "
            f"active + {score.n_inactive} inactive, {score.unusable} unusable; claim: {said}\n"
        )
    for (neuron, head, _), lost in state.unanswered.items():
        sys.stdout.write(f"{neuron} {head}: unanswered: {lost.reason}\n")


def test_it_says_how_sure_it_is_of_nearly_every_verdict(asked: list[Asked]) -> None:
    state = asked[0].state
    judged = [one for one in state.judgements.values() if one.explainer != "rules"]
    told = [(p, verdict) for one in judged for p, verdict in zip(one.probabilities, one.verdicts, strict=True)]
    surely = [(p, verdict) for p, verdict in told if p is not None and verdict is not None]
    assert len(surely) >= 0.9 * len(told) >= 20
    assert all((p > 0.5) is verdict for p, verdict in surely)  # the model says what is likelier, at temperature 0
    for score in asked[0].scores:
        assert score.auroc is not None
        sys.stdout.write(f"{score.neuron} {score.head} {score.explainer}: AUROC {score.auroc:.2f}, E {score.e:.2f}\n")


def test_the_same_claim_judged_again_is_judged_without_a_call(asked: list[Asked]) -> None:
    first, second = (one.for_claim for one in asked)
    assert sum(one.calls for one in first) >= 16
    assert sum(one.calls + one.unanswered for one in second) == 0
    assert sum(one.cached for one in second) == sum(one.calls + one.cached for one in first)
