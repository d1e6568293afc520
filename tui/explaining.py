"""Explaining heads from the terminal: who can be asked, what is asked, and whose words are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from headtorch.core.engine.protocol import ExplainHead, PlanCalls
from headtorch.core.records import Explanation, Score
from headtorch.core.settings import LlmSettings, Settings
from headtorch.core.study.state import StudyState
from headtorch.tui.requests import UNNUMBERED

if TYPE_CHECKING:
    from headtorch.tui.session import Session

Kind = Literal["rules", "llm", "me"]
KINDS: tuple[Kind, ...] = ("rules", "llm", "me")
PATTERN = "re:"
DECIDING = ("heads", "contrast")  # stages after which the heads worth explaining are known


def llm_of(session: Session) -> LlmSettings | None:
    """The language model that would be asked."""
    return session.model.asked(_study_llm(session))


def why_no_llm(session: Session) -> str:
    """What to do where there is none; empty where there is one."""
    return session.model.why_none(_study_llm(session))


def _study_llm(session: Session) -> LlmSettings | None:
    return session.state.settings.llm if session.state.settings is not None else None


def request_for(session: Session, explainer: Kind, words: str | None = None) -> ExplainHead | None:
    """The request to explain the selected head; None without one. `words`: the researcher's own."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None or head is None:
        return None
    return ExplainHead(
        id=UNNUMBERED,
        neuron=neuron,
        head=head,
        explainer=explainer,
        explanation=words,
        llm=None if explainer == "rules" else llm_of(session),
        access=session.model.access,
    )


def asks_a_model(request: ExplainHead) -> bool:
    """Whether a language model explains or judges."""
    own = request.explanation or ""
    return request.explainer == "llm" or (request.explainer == "me" and not own.lstrip().startswith(PATTERN))


def name_of(request: ExplainHead) -> str:
    """What the explanation will be signed with."""
    return f"llm:{request.llm.model}" if request.explainer == "llm" and request.llm is not None else request.explainer


def explain(session: Session, request: ExplainHead) -> None:
    """Explain and score a head, and look at what is said."""
    name = name_of(request)
    session.heard.forget((request.neuron, request.head, name))
    session.heard.spending, session.selection.explainer = None, name
    session.requests.ask(request)


def plan(session: Session, request: ExplainHead) -> int:
    """Ask what explaining would take; the answer carries the number returned."""
    return session.requests.ask(PlanCalls(id=UNNUMBERED, head=request))


def explainers(session: Session) -> list[str]:
    """Whoever says or was asked something about the selected head: rules, me, then language models by name."""
    about = session.selection.neuron, session.selection.head
    state, heard = session.state, session.heard
    keys = [*state.explanations, *state.unanswered, *heard.texts, *heard.verdicts]
    names = {name for neuron, head, name in keys if (neuron, head) == about}
    waiting = [one for one in session.requests.waiting.values() if isinstance(one, ExplainHead)]
    names |= {name_of(one) for one in waiting if (one.neuron, one.head) == about}
    return sorted(names, key=lambda name: (name != "rules", name != "me", name))


def shown_explainer(session: Session) -> str | None:
    """Whose words are shown in full: who was chosen, else who spoke last."""
    names, chosen = explainers(session), session.selection
    if chosen.explainer in names or not names:
        return chosen.explainer if names else None
    about = chosen.neuron, chosen.head
    spoken = [name for neuron, head, name in session.state.explanations if (neuron, head) == about]
    return spoken[-1] if spoken else names[-1]


def show_next_explainer(session: Session) -> bool:
    """Show another explainer's words; False where there is no other."""
    names, now = explainers(session), shown_explainer(session)
    if now is None or len(names) < 2:
        return False
    session.selection.explainer = names[(names.index(now) + 1) % len(names)]
    return True


def shown_explanation(session: Session) -> tuple[Explanation, Score | None] | None:
    """What the explainer shown says of the selected head, with its score."""
    neuron, head, name = session.selection.neuron, session.selection.head, shown_explainer(session)
    if neuron is None or head is None or name is None:
        return None
    said = session.state.explanations.get((neuron, head, name))
    return None if said is None else (said, session.state.scores.get((neuron, head, name)))


def own_explainer(state: StudyState) -> str:
    """Who explains the heads of the study by its question."""
    return state.settings.explainer_name if state.settings is not None else "rules"


def heads_unanswered(state: StudyState) -> int:
    """The study's heads that its language model left without an answer; the next run asks for them again."""
    own = own_explainer(state)
    family = {(one.neuron, one.head, own) for one in state.explainable()}
    return len(family & state.unanswered.keys())


def heads_left(state: StudyState) -> int | None:
    """The study's heads without a score of its own explainer; None until all worth explaining are known."""
    if not any(map(state.is_done, DECIDING)):
        return None
    own = own_explainer(state)
    return sum((one.neuron, one.head, own) not in state.scores for one in state.explainable())


def asks_models(settings: Settings | None) -> bool:
    """Whether running the study asks a language model."""
    if settings is None or settings.llm is None:
        return False
    own = settings.explanation or ""
    return settings.explainer == "llm" or (settings.explainer == "me" and not own.lstrip().startswith(PATTERN))
