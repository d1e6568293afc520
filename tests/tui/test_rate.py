"""Rating in the terminal: single keys, blind, and every answer kept at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import Call, Places, data, refusal
from sample_records import PROMPTS
from sample_study import sample_folder
from screens import screen_text
from stage import SIZES, in_terminal

from headtorch.core.events import HeadJudged
from headtorch.core.records import Judgement
from headtorch.core.study.rating_plan import left, plan
from headtorch.core.study.ratings import ExplanationRated, PromptJudged, Ratings
from headtorch.core.study.study import Study
from headtorch.core.text import visible
from headtorch.tui.rating import RatingApp


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The sample study, judged on all its prompts: few of its texts are unlike all others."""
    with Study.open(sample_folder(tmp_path), write=True) as opened:
        for said in list(opened.state.explanations.values()):
            judgement = Judgement(
                neuron=said.neuron,
                head=said.head,
                explainer=said.explainer,
                judge="rule",
                prompts=list(range(PROMPTS)),
                verdicts=[i % 3 == 0 for i in range(PROMPTS)],
            )
            opened.append(HeadJudged(judgement=judgement))
    return Study.open(opened.folder)


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_questions_are_answered_by_single_keys(study: Study, size: tuple[int, int]) -> None:
    items, ratings = plan(study.state, "ada"), Ratings(study.folder)
    app = RatingApp(study.state, items, ratings)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for number, item in enumerate(items[:12]):
            text = screen_text(app)
            assert f"question {number + 1} of {len(items)}" in text and "active" in text
            assert visible(item.explanation.text)[:20] in text
            assert item.explanation.explainer not in text.replace(visible(item.explanation.text), "")
            await pilot.press("4" if item.prompt is None else "aic"[number % 3])
            await pilot.pause()
            assert len(ratings.read()) == number + 1
        for item, answer in zip(items, ratings.read(), strict=False):
            if isinstance(answer, PromptJudged):
                assert answer.prompt == item.prompt
                assert answer.verdict is {"a": True, "i": False, "c": None}["aic"[items.index(item) % 3]]
            else:
                assert isinstance(answer, ExplanationRated) and answer.rating == 4
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value == 12 and left(items, ratings.read()) == items[12:]


@in_terminal
async def test_an_answer_can_be_given_again_and_a_question_skipped(study: Study) -> None:
    items, ratings = plan(study.state, "ada"), Ratings(study.folder)
    assert items[0].prompt is not None and items[1].prompt is not None
    app = RatingApp(study.state, items[:2], ratings)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("a", "u")
        await pilot.pause()
        assert "You said: active." in screen_text(app)
        await pilot.press("i", "5", "s")
        await pilot.pause()
        assert "These were all the questions." in screen_text(app)
        await pilot.press("a", "3", "q")
    assert ratings.read() == [items[0].judged(False)]


@in_terminal
async def test_an_answer_that_cannot_be_kept_is_said_and_asked_again(study: Study) -> None:
    (study.folder / "ratings.jsonl").mkdir()
    app = RatingApp(study.state, plan(study.state, "ada"), Ratings(study.folder))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("a")
        await pilot.pause()
        assert "question 1 of" in screen_text(app) and "0 answered" in screen_text(app)
        assert any("cannot be written" in note.message for note in app._notifications)


def test_the_summary_is_printed_and_is_json(study: Study, cli: Call, places: Places) -> None:
    assert "Nobody has rated" in cli("rate", study.folder, "--summary").out
    ratings = Ratings(study.folder)
    for item in plan(study.state, "ada"):
        ratings.add(item.rated(3) if item.prompt is None else item.judged(True))
    found = data(cli("rate", study.folder, "--summary", "--json"))
    assert found["scores"] and all(one["e"] == 0.5 for one in found["scores"]), "always active is a blind guess"
    assert {one["mean"] for one in found["mean_rating"]} == {3.0}
    out = cli("rate", study.folder, "--summary").out
    assert "Mean human E" in out and "ada" in out
    assert "has answered all" in cli("rate", study.folder, "--rater", "ada").out


def test_what_cannot_be_rated_is_refused(study: Study, cli: Call, places: Places) -> None:
    assert "needs a terminal" in refusal(cli("rate", study.folder, "--rater", "ada"))
    assert "--json goes with" in refusal(cli("rate", study.folder, "--json"))
    assert "a rater's name" in refusal(cli("rate", study.folder, "--rater", "\x1b[31m"))
    assert "There is no study" in refusal(cli("rate", "nowhere", "--summary"))
