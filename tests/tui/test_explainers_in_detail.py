"""The detail pane with several explainers: side by side, while a language model answers, and where it does not."""

from __future__ import annotations

import pytest
from detail_pages import page, words
from language_models import AT_HAND, MODEL, NAME, explained_by, said_by
from pane_stage import on_stage, shown
from sample_records import AN, AS, HOSTILE, LOOKUP, PREVIOUS, is_active

from headtorch.core.engine.protocol import ExplainHead, Happened, RequestCancelled
from headtorch.core.events import (
    AnyEvent,
    CallsMade,
    ExplanationSoFar,
    HeadExplained,
    HeadUnanswered,
    Spending,
    VerdictsSoFar,
)
from headtorch.core.records import Verdict
from headtorch.tui.explaining import explain, request_for, show_next_explainer, shown_explainer
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.neuron_table import table_of
from headtorch.tui.session import Session
from headtorch.tui.widgets.progress_line import words_for

pytestmark = pytest.mark.anyio

RIGHT: list[Verdict] = [is_active(LOOKUP, 1 + 2 * at) for at in range(6)]
MIXED: list[Verdict] = [not RIGHT[0], *RIGHT[1:5], None]


@pytest.fixture
def session(session: Session) -> Session:
    session.model = AT_HAND
    return session


def tell(session: Session, *events: AnyEvent, request: int = 1) -> None:
    for event in events:
        session.take(Happened(request=request, event=event))


def asking(session: Session) -> int:
    """The language model is asked about the head; returns the request's number."""
    request = request_for(session, "llm")
    assert request is not None
    explain(session, request)
    return max(session.requests.waiting)


def text_of(session: Session, tab: str, width: int = 110) -> str:
    return "\n".join(map(words, page(session, tab, width).split("\n")))


def test_explainers_stand_in_one_order_with_score_and_judge(session: Session) -> None:
    tell(session, *explained_by(NAME, NAME, MIXED, "Active after a fruit."), request=1)
    tell(session, *explained_by("me", "rule", RIGHT, "re:an$", e=0.6), request=1)
    lines = text_of(session, "Explanation").splitlines()
    assert lines[0] == "rules E 0.83 [0.71, 0.92] n 8 + 4 F1 0.81"
    assert lines[1] == "▸ me E 0.60 [0.40, 0.70] n 4 + 2 F1 0.70 judged by the pattern itself"
    assert lines[2] == f"{NAME} E 0.75 [0.55, 0.85] n 4 + 2 F1 0.70 judged by {NAME}"
    assert lines[4] == "re:an$" and "by me judged by the pattern itself" in lines


def test_one_explainer_needs_no_table(session: Session) -> None:
    assert text_of(session, "Explanation").startswith("Active when the text has named")


def test_the_explainer_shown_is_the_one_chosen_and_stays_chosen_on_other_heads(session: Session) -> None:
    tell(session, *explained_by(NAME, NAME, MIXED, "Active after a fruit."))
    assert shown_explainer(session) == NAME  # the newest
    assert show_next_explainer(session) and shown_explainer(session) == "rules"
    assert "named, a few words earlier" in text_of(session, "Explanation")
    assert show_next_explainer(session) and shown_explainer(session) == NAME
    session.select_head(PREVIOUS)
    assert shown_explainer(session) == "rules" and not show_next_explainer(session)
    session.select_head(LOOKUP)
    assert shown_explainer(session) == NAME


def test_the_evidence_has_the_verdicts_on_the_explanation_shown(session: Session) -> None:
    tell(session, *explained_by(NAME, "llm:judge-2", MIXED, "Active after a fruit."))
    text = text_of(session, "Evidence")
    assert text.startswith(f"verdicts on {NAME} by llm:judge-2 4 of 6 right")
    marks = {int(line.split()[0 + (line[0] == "▸")]): line for line in text.splitlines() if " held-out " in line}
    assert "✗" in marks[2] and all("✓" in marks[n] for n in (4, 6, 8, 10)) and "?" in marks[12]
    show_next_explainer(session)
    assert "verdicts on" not in text_of(session, "Evidence")  # a score alone tells of the wrong ones only


def test_a_hypothesis_of_ones_own_says_why_it_has_no_q(session: Session) -> None:
    tell(session, *explained_by("me", "rule", RIGHT, "re:an$"))
    text = text_of(session, "Explanation")
    assert "p 0.03 q –" in text and "fixed beforehand; it came after them." in text
    show_next_explainer(session)
    assert "fixed beforehand" not in text_of(session, "Explanation")


def test_an_explanation_comes_as_it_is_said_and_verdicts_fill_in(session: Session) -> None:
    number = asking(session)
    assert f"▸ {NAME} is asked" in text_of(session, "Explanation")
    tell(session, ExplanationSoFar(neuron=AN, head=LOOKUP, explainer=NAME, text="Active when a fr"), request=number)
    text = text_of(session, "Explanation")
    assert f"Asking {NAME} about L2.H7 on L3.N892 … · ctrl+x stops" in text and "Active when a fr …" in text
    tell(session, HeadExplained(explanation=said_by(NAME)), request=number)
    so_far = VerdictsSoFar(neuron=AN, head=LOOKUP, explainer=NAME, prompts=[1, 3], verdicts=MIXED[:2], total=6)
    tell(session, so_far, request=number)
    text = text_of(session, "Explanation")
    assert "Active after a fruit." in text and "\n2 of 6 judged, 1 right." in text
    assert text_of(session, "Evidence").startswith(f"verdicts on {NAME} 2 of 6 judged, 1 right")
    whole = VerdictsSoFar(neuron=AN, head=LOOKUP, explainer=NAME, prompts=[1, 3], verdicts=MIXED[:2], total=2)
    tell(session, whole, request=number)
    assert "1 of 2 right, now the controls and random text." in text_of(session, "Explanation")
    tell(session, *explained_by(NAME, NAME, MIXED, "Active after a fruit."), request=number)
    assert "of 2" not in text_of(session, "Explanation") and not session.heard.verdicts


def test_what_was_judged_before_a_stop_stays_until_the_head_is_asked_about_again(session: Session) -> None:
    number = asking(session)
    tell(session, HeadExplained(explanation=said_by(NAME)), request=number)
    so_far = VerdictsSoFar(neuron=AN, head=LOOKUP, explainer=NAME, prompts=[1, 3], verdicts=MIXED[:2], total=6)
    tell(session, so_far, request=number)
    session.take(RequestCancelled(request=number))
    assert "2 of 6 judged, 1 right: stopped there. The answers are kept, and e asks" in text_of(session, "Explanation")
    asking(session)
    assert "2 of 6" not in text_of(session, "Explanation")


def test_a_stop_does_not_hide_the_score_that_was_there(session: Session) -> None:
    tell(session, *explained_by(NAME, NAME, MIXED, "Active after a fruit."))
    number = asking(session)
    tell(session, VerdictsSoFar(neuron=AN, head=LOOKUP, explainer=NAME, prompts=[1], verdicts=[True], total=6))
    assert "1 of 6 judged" in text_of(session, "Explanation")
    session.take(RequestCancelled(request=number))
    text = text_of(session, "Explanation")
    assert "1 of 6 judged" not in text and "E 0.75 [0.55, 0.85]" in text


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("explain", f"! No answer from {NAME}: the endpoint hung up. e asks again."),
        ("score", "! Not scored, for 3 of 80 calls had no answer: the endpoint hung up. What was answered is kept;"),
    ],
)
def test_a_head_without_an_answer_says_why_and_what_to_press(session: Session, step: str, said: str) -> None:
    missing = HeadUnanswered(
        neuron=AN,
        head=LOOKUP,
        explainer=NAME,
        step=step,  # type: ignore[arg-type]
        reason="the endpoint hung up",
        unanswered=3,
        calls=80,
    )
    tell(session, missing)
    session.selection.explainer = NAME
    text = " ".join(text_of(session, "Explanation").split())
    assert said in text and f"▸ {NAME} gave no answer" in text
    tell(session, *explained_by(NAME, NAME, RIGHT, "Active after a fruit."))
    assert "hung up" not in text_of(session, "Explanation")


def test_heads_of_the_study_without_an_answer_are_counted_and_can_be_asked_for_again(session: Session) -> None:
    session.ready = True
    assert not session.is_unfinished()
    tell(session, HeadUnanswered(neuron=AS, head=LOOKUP, explainer="rules", step="explain", reason="gone"))
    assert session.is_unfinished()
    assert words_for(session) == "1 head without an answer of the language model; R asks again."
    assert "1 head of the study without an answer yet: R asks again" in text_of(session, "Explanation")


def test_what_the_study_has_spent_is_in_words(session: Session) -> None:
    made = CallsMade(
        model="small-1",
        base_url=MODEL.base_url,
        calls=1204,
        cached=80,
        unanswered=3,
        prompt_tokens=812_000,
        completion_tokens=40_000,
        cost=None,
        counted=False,
    )
    tell(session, made)
    text = " ".join(text_of(session, "Explanation").split())
    assert (
        "small-1 at http://127.0.0.1:9/v1: 1,204 calls answered, 80 from the cache, 3 unanswered, "
        "about 812,000 + 40,000 tokens, price unknown." in text
    )


def test_the_cost_is_shown_while_it_grows(session: Session) -> None:
    number = asking(session)
    spending = Spending(calls=12, cached=3, unanswered=0, prompt_tokens=9, completion_tokens=9, cost=0.00213)
    tell(session, spending, request=number)
    assert words_for(session) == "Explaining the head …   12 calls, 3 from the cache, $0.0021   ctrl+x stops"
    session.take(RequestCancelled(request=number))
    assert session.heard.spending is None


def test_the_neurons_are_ranked_by_the_studys_own_explainer(session: Session) -> None:
    before = table_of(session, session.state.neurons.values())
    tell(session, *explained_by("me", "rule", RIGHT, "re:an$", e=0.99))
    after = table_of(session, session.state.neurons.values())
    assert after.E.tolist() == before.E.tolist() and after.n.tolist() == before.n.tolist()


def test_sentences_name_the_keys_in_force(session: Session) -> None:
    session.keymap = {
        "workbench.explain": "K,f5",
        "workbench.ablate": "ctrl+k",
        "workbench.pane-3": "colon",
        "workbench.restart-engine": "f9",
    }
    session.selection.head = None
    assert "No head is selected: : leads to the heads." in text_of(session, "Explanation")
    session.selection.head = PREVIOUS
    del session.state.explanations[AN, PREVIOUS, "rules"]
    session.state.ablations.clear()
    assert "K explains it all the same." in text_of(session, "Explanation")
    assert "has not been taken away yet: ctrl+k does it." in text_of(session, "Ablation")
    tell(session, HeadUnanswered(neuron=AS, head=LOOKUP, explainer="rules", step="explain", reason="gone"))
    assert "f9 asks again" in words_for(session)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_hostile_words_of_a_language_model_are_inert(session: Session, size: tuple[int, int]) -> None:
    name = f"llm:{HOSTILE}"
    tell(session, *explained_by(name, name, MIXED, HOSTILE))
    tell(session, HeadUnanswered(neuron=AN, head=LOOKUP, explainer=NAME, step="explain", reason=HOSTILE))
    tell(session, ExplanationSoFar(neuron=AN, head=LOOKUP, explainer="llm:x", text=HOSTILE))
    made = CallsMade(
        model=HOSTILE,
        base_url=HOSTILE,
        calls=1,
        cached=0,
        unanswered=0,
        prompt_tokens=1,
        completion_tokens=1,
        cost=1.0,
    )
    tell(session, made)
    pane = DetailPane()
    async with on_stage(pane, session, size) as (_, pilot):
        for explainer in (name, NAME, "llm:x"):
            session.selection.explainer = explainer
            for tab in ("Explanation", "Evidence"):
                pane.show_tab(tab)
                pane.show(session)
                await pilot.pause()
                assert tab == "Evidence" or "[bold]x[/bold]" in shown(pane.app)
                shown(pane.app)


async def test_the_border_names_the_key_that_shows_another_explainer(session: Session) -> None:
    session.keymap = {"workbench.explainer": "f6"}
    pane = DetailPane()
    async with on_stage(pane, session) as (app, pilot):
        assert "next explainer" not in shown(app)
        tell(session, *explained_by(NAME, NAME, MIXED, "Active after a fruit."))
        pane.show(session)
        await pilot.pause()
        assert "f6 next explainer" in shown(app)
        pane.show_tab("Notes")
        await pilot.pause()
        assert "next explainer" not in shown(app)


def test_the_request_says_who_would_be_asked(session: Session) -> None:
    request = request_for(session, "llm")
    assert isinstance(request, ExplainHead)
    assert (request.explainer, request.llm, request.access) == ("llm", MODEL, AT_HAND.access)
    rules = request_for(session, "rules")
    assert rules is not None and rules.llm is None
