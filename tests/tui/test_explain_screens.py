"""The dialogs before a head is explained: the menu, one's own words, what would be sent, and a study's caps."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from language_models import MODEL, PRICED
from stage import HOSTILE, SIZES, Stage, in_terminal, lines_of, text_of
from textual.pilot import Pilot

from headtorch.core.engine.protocol import CallsPlanned
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import LlmAccess, LlmSettings, Settings
from headtorch.tui.screens.budget import BudgetScreen, Leave
from headtorch.tui.screens.calls import CallsScreen
from headtorch.tui.screens.explain import ExplainScreen, Way
from headtorch.tui.screens.hypothesis import HypothesisLine
from headtorch.tui.screens.prompt_line import Suggestion
from headtorch.tui.spending import caps, dollars, most_calls_a_head
from headtorch.tui.widgets.entry import Entry

WAYS = [
    Way("rules", "rules", "offline", known="E 0.83"),
    Way("llm", "llm: small-1", "asked"),
    Way("me", "my own", "typed"),
]
STUDY = Settings(explainer="llm", llm=MODEL)


def plan_of(calls: int = 74, cached: int = 6, cost: float | None = 0.028, model: str = "small-1") -> PlannedCalls:
    return PlannedCalls(
        model=model,
        base_url="http://127.0.0.1:9/v1",
        calls=calls,
        cached=cached,
        prompt_tokens=33_700,
        completion_tokens=37_888,
        cost=cost,
    )


# the menu


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["e"], "llm"),
        (["enter"], "llm"),
        (["r"], "rules"),
        (["1"], "rules"),
        (["l"], "llm"),
        (["2"], "llm"),
        (["i"], "me"),
        (["3"], "me"),
        (["j", "enter"], "me"),
        (["k", "e"], "rules"),
        (["down", "down", "enter"], "rules"),
        (["escape"], None),
    ],
)
@in_terminal
async def test_one_key_takes_a_way_and_e_again_the_last_one(keys: list[str], kind: str | None) -> None:
    app = Stage(ExplainScreen("L2.H7 on L3.N892", WAYS, first="llm"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        assert app.returned == [kind]


@in_terminal
async def test_a_way_that_cannot_be_taken_says_what_to_do() -> None:
    missing = replace(WAYS[1], problem="No language model is named: set model in config.toml.")
    app = Stage(ExplainScreen("L2.H7", [WAYS[0], missing, WAYS[2]], first="llm"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("l")
        assert app.returned == [] and "✗ No language model is named: set model" in text_of(app)
        await pilot.press("r")
        assert app.returned == ["rules"]


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_each_way_has_one_line_at_the_bottom(size: tuple[int, int]) -> None:
    long = [replace(way, about="word " * 60, name="name " * 20) for way in WAYS]
    app = Stage(ExplainScreen("L2.H7", long))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        lines = lines_of(app)
        assert [line.strip("│ ").split()[:3] for line in lines[-4:-1]] == [
            ["▸", "r", "name"],
            ["l", "name", "name"],
            ["i", "name", "name"],
        ]
        assert not any(lines[:-5])


# one's own words


@in_terminal
async def test_a_pattern_that_is_none_is_said_while_it_is_typed() -> None:
    app = Stage(HypothesisLine("L2.H7"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"re:(a")
        assert "is not a regular expression" in text_of(app)
        await pilot.press("enter")
        assert app.returned == []
        await pilot.press(")")
        assert "✗" not in text_of(app)
        await pilot.press("enter")
        assert app.returned == ["re:(a)"]


@in_terminal
async def test_a_sentence_without_a_judge_says_what_to_do_and_a_pattern_needs_none() -> None:
    app = Stage(HypothesisLine("L2.H7", no_judge="No language model is named: set model in config.toml."))
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press(*"Active.", "enter")
        assert app.returned == []
        assert "judged by a language model. No language model is named: set model in config.toml." in text_of(app)
        app.screen.query_one(Entry).value = "re: an$"
        await pilot.press("enter")
        assert app.returned == ["re: an$"]


@in_terminal
async def test_nothing_is_no_hypothesis_and_earlier_ones_are_offered() -> None:
    earlier = [Suggestion("re: an$", "E 0.83 on L1.H2 of L3.N17"), Suggestion("Active.", "L1.H2 of L3.N17")]
    app = Stage(HypothesisLine("L2.H7", earlier=earlier))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "re: an$  E 0.83 on L1.H2" in text_of(app)
        await pilot.press("enter")
        assert app.returned == [] and "Write when the head is active" in text_of(app)
        await pilot.press("down", "enter")
        assert app.returned == ["re: an$"]


# what would be sent


async def planned(pilot: Pilot[None], screen: CallsScreen, *plans: PlannedCalls, examples: list[str]) -> None:
    screen.show_plan(CallsPlanned(request=7, plans=list(plans), examples=examples))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_calls_tokens_price_and_texts_are_shown_and_enter_sends(size: tuple[int, int]) -> None:
    screen = CallsScreen("L2.H7 on L3.N892", 7, LlmAccess(max_calls=500))
    app = Stage(screen)
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")
        assert app.returned == []  # nothing is sent before it is known what
        both = [plan_of(), plan_of(calls=1, cached=0, cost=0.01, model="large-2")]
        await planned(pilot, screen, *both, examples=["You find out\nwhat a head does", "You apply a claim"])
        text = " ".join(text_of(app).replace("│", " ").split())
        assert "small-1 at http://127.0.0.1:9/v1" in text and "74 calls, 6 more from the cache" in text
        assert "about 33,700 + 37,888 tokens at most about $0.028" in text
        assert "in all 75 calls, at most about $0.038" in text
        assert "at most 500 calls; tokens are estimates" in text
        await pilot.press("v")
        await pilot.pause()
        assert "what a head does" in text_of(app) and "You apply a claim" in text_of(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "74 calls" in text_of(app)
        await pilot.press("enter")
        assert app.returned == [True]


@in_terminal
async def test_escape_sends_nothing() -> None:
    for before in (True, False):
        screen = CallsScreen("L2.H7", 7, LlmAccess())
        app = Stage(screen)
        async with app.run_test() as pilot:
            if not before:
                await planned(pilot, screen, plan_of(), examples=["a"])
            await pilot.press("escape")
            assert app.returned == [False]


@in_terminal
async def test_an_unknown_price_is_never_a_number() -> None:
    screen = CallsScreen("L2.H7", 7, LlmAccess())
    app = Stage(screen)
    async with app.run_test(size=(120, 36)) as pilot:
        await planned(pilot, screen, plan_of(), plan_of(cost=None, model="odd"), examples=["a"])
        text = text_of(app)
        assert text.count("price unknown") == 2 and "add the model to prices.toml" in text
        assert "no cap on calls or cost" in text and "$0.00" not in text


@in_terminal
async def test_nothing_is_asked_where_every_answer_is_kept_and_a_plan_for_another_question_is_passed_over() -> None:
    screen = CallsScreen("L2.H7", 7, LlmAccess())
    app = Stage(screen)
    async with app.run_test() as pilot:
        screen.show_plan(CallsPlanned(request=6, plans=[], examples=[]))
        await pilot.pause()
        assert app.returned == []
        await planned(pilot, screen, plan_of(calls=0, cached=80, cost=0.0), examples=["a"])
        assert app.returned == [True]


@in_terminal
async def test_a_plan_that_cannot_be_made_says_why() -> None:
    screen = CallsScreen("L2.H7", 7, LlmAccess())
    app = Stage(screen)
    async with app.run_test(size=(120, 36)) as pilot:
        screen.show_failure(7, "There is nothing to judge.")
        await pilot.pause()
        assert "✗ There is nothing to judge." in text_of(app)
        await pilot.press("enter", "escape")
        assert app.returned == [False]


@in_terminal
async def test_long_texts_scroll() -> None:
    screen = CallsScreen("L2.H7", 7, LlmAccess())
    app = Stage(screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot, screen, plan_of(), examples=["\n".join(f"line {n}" for n in range(99))])
        await pilot.press("v")
        await pilot.pause()
        assert "line 0" in text_of(app) and "line 98" not in text_of(app)
        await pilot.press("G")
        await pilot.pause()
        assert "line 98" in text_of(app)
        await pilot.press("g", "j")
        await pilot.pause()
        assert "line 1" in text_of(app) and "Example 1 of 1" not in text_of(app)


# a study's caps


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_a_study_shows_its_model_its_price_and_its_caps(size: tuple[int, int]) -> None:
    judged = msgspec.structs.replace(MODEL, judge_model="large-2")
    access = msgspec.structs.replace(PRICED, max_calls=500)
    app = Stage(BudgetScreen(Settings(explainer="llm", llm=judged), access, heads=3))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = " ".join(text_of(app).replace("│", " ").split())
        assert "explains small-1 at http://127.0.0.1:9/v1 $1 for a million tokens sent" in text
        assert "judges large-2 at http://127.0.0.1:9/v1 price unknown" in text
        assert "A head takes up to 141 calls" in text and "3 heads to go, so at most 423 calls in all" in text
        assert "calls 500" in text and "dollars no cap" in text
        await pilot.press("enter")
        assert app.returned == [Leave(access, run=True)]


@in_terminal
async def test_without_any_cap_there_is_a_warning_that_a_cap_takes_away() -> None:
    app = Stage(BudgetScreen(STUDY, PRICED))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        text = " ".join(text_of(app).replace("│", " ").split())
        assert "Neither calls nor cost are capped" in text
        assert "is not known before the study has found them" in text
        await pilot.press("tab", *"2.5")
        await pilot.pause()
        assert "Neither" not in text_of(app)
        await pilot.press("enter")
        assert app.returned == [Leave(msgspec.structs.replace(PRICED, max_cost=2.5), run=True)]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("max_calls", "many", "The cap on calls is a whole number"),
        ("max_calls", "0", "The cap on calls is a whole number"),
        ("max_cost", "-1", "The cap on cost is an amount in dollars"),
        ("max_cost", "nan", "The cap on cost is an amount in dollars"),
    ],
)
@in_terminal
async def test_what_is_no_cap_is_said_and_nothing_begins(field: str, typed: str, said: str) -> None:
    app = Stage(BudgetScreen(STUDY, PRICED))
    async with app.run_test(size=(80, 24)) as pilot:
        app.screen.query_one(f"#{field}", Entry).value = typed
        await pilot.press("enter")
        await pilot.pause()
        assert app.returned == [] and said in text_of(app)


@in_terminal
async def test_a_cap_in_dollars_needs_a_price() -> None:
    app = Stage(BudgetScreen(STUDY, LlmAccess(max_cost=1.0)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert app.returned == [] and "The price of small-1 is unknown" in text_of(app)


@in_terminal
async def test_a_study_can_be_opened_without_asking_anything() -> None:
    for key, returned in (("ctrl+l", Leave(PRICED, run=False)), ("escape", None)):
        app = Stage(BudgetScreen(STUDY, PRICED))
        async with app.run_test() as pilot:
            await pilot.press(key)
            assert app.returned == [returned]


def test_the_most_calls_are_those_of_every_text_that_is_judged() -> None:
    assert most_calls_a_head(STUDY) == 1 + 2 * 40 + 2 * 2 * 10 + 20
    batched = msgspec.structs.replace(STUDY, llm=msgspec.structs.replace(MODEL, judge_batch=10))
    assert most_calls_a_head(batched) == 1 + 8 + 2 * 2 + 2
    assert most_calls_a_head(Settings()) == 0


def test_money_in_words() -> None:
    assert [dollars(cost) for cost in (None, 0.0, 0.00213, 0.14, 1234.5)] == [
        "price unknown",
        "$0.00",
        "$0.0021",
        "$0.14",
        "$1,234.50",
    ]
    assert caps(LlmAccess()) == "no cap on calls or cost"
    assert caps(LlmAccess(max_calls=1, max_cost=2.0)) == "at most 1 call and $2.00"


# hostile text


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_hostile_names_and_texts_are_inert(size: tuple[int, int]) -> None:
    menu = ExplainScreen(HOSTILE, [Way("rules", HOSTILE, HOSTILE, HOSTILE, HOSTILE)])
    line = HypothesisLine(HOSTILE, HOSTILE, [Suggestion("re:" + HOSTILE, HOSTILE)], HOSTILE)
    calls = CallsScreen(HOSTILE, 7, LlmAccess())
    named = LlmSettings(model=HOSTILE, base_url=HOSTILE, judge_model=HOSTILE * 2)
    budget = BudgetScreen(Settings(explainer="llm", llm=named), LlmAccess())
    for screen in (menu, line, calls, budget):
        app = Stage(screen)
        async with app.run_test(size=size) as pilot:
            if isinstance(screen, CallsScreen):
                plan = msgspec.structs.replace(plan_of(model=HOSTILE), base_url=HOSTILE)
                await planned(pilot, screen, plan, examples=[HOSTILE + "\n" + HOSTILE])
                assert "[red]x[/INST]" in text_of(app)
                await pilot.press("v")
            else:
                await pilot.press("tab" if isinstance(screen, BudgetScreen) else "enter")
            await pilot.pause()
            assert "[red]x[/INST]" in text_of(app)
