"""What a language model is saying of a head, why it said nothing, and what the study has spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.engine.protocol import ExplainHead
from headtorch.core.events import HeadUnanswered
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.explaining import asks_a_model, heads_unanswered, name_of
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import title
from headtorch.tui.panes.detail.judged import judged_of
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.flow import paragraph
from headtorch.tui.spending import count, study_spent

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def asked_now(session: Session, neuron: NeuronId, head: HeadId) -> ExplainHead | None:
    """The request about the head that the engine is at."""
    for request in session.requests.waiting.values():
        if isinstance(request, ExplainHead) and (request.neuron, request.head) == (neuron, head):
            return request
    return None


def working_line(session: Session, request: ExplainHead) -> str:
    """What is being done, and how to stop what costs something."""
    about = f"{request.head} on {request.neuron}"
    if not asks_a_model(request):
        return f"Explaining {about} …"
    who = visible(name_of(request)) if request.explainer == "llm" else "a language model"
    return f"Asking {who} about {about} … · {session.key('workbench.stop')} stops"


def heard_lines(
    session: Session, neuron: NeuronId, head: HeadId, name: str, width: int, palette: Palette, *, working: bool
) -> list[Text]:
    """The explanation as far as it came, where it has not come to its end."""
    text = session.heard.texts.get((neuron, head, name))
    if text is None or (neuron, head, name) in session.state.explanations:
        return []
    end = " …" if working else f" … (stopped here; {session.key('workbench.explain')} asks again)"
    return paragraph(f"{text}{end}", min(width, 100), palette.style("bright"))


def verdicts_so_far(
    session: Session, neuron: NeuronId, head: HeadId, name: str, width: int, palette: Palette, *, working: bool
) -> list[Text]:
    """How many prompts are judged, while they are or where that was stopped."""
    labels = labels_of(session, neuron, head)
    if labels is None or (neuron, head, name) not in session.heard.verdicts:
        return []
    judged = judged_of(session, neuron, head, name, labels)
    if judged is None:
        return []
    left = ", now the controls and random text" if judged.done >= judged.total else ""
    again = session.key("workbench.explain")
    rest = left if working else f": stopped there. The answers are kept, and {again} asks for the rest only"
    return paragraph(f"{judged.in_words()}{rest}.", width, palette.style("text"))


def unanswered_lines(
    session: Session, neuron: NeuronId, head: HeadId, name: str, width: int, palette: Palette
) -> list[Text]:
    """Why there is no explanation or no score, and what to do."""
    event = session.state.unanswered.get((neuron, head, name))
    if event is None:
        return []
    return paragraph(_why(event, session.key("workbench.explain")), width, palette.style("warning"))


def _why(event: HeadUnanswered, again: str) -> str:
    reason = event.reason if event.reason.rstrip().endswith(".") else f"{event.reason.rstrip()}."
    if event.step == "explain":
        return f"! No answer from {event.explainer}: {reason} {again} asks again."
    missing = f"{event.unanswered} of {count(event.calls, 'call')}"
    return f"! Not scored, for {missing} had no answer: {reason} What was answered is kept; {again} asks again."


def study_lines(session: Session, width: int, palette: Palette) -> list[Text]:
    """What the whole study has asked of language models, and how many of its heads wait for an answer."""
    lines = []
    if made := session.state.calls.values():
        lines += [Text(), title("Language models asked by this study", palette)]
        lines += [line for one in made for line in paragraph(study_spent(one), width, palette.style("quiet"))]
    if missing := heads_unanswered(session.state):
        again = session.key("workbench.restart-engine")
        said = f"! {count(missing, 'head')} of the study without an answer yet: {again} asks again for all of them."
        lines += paragraph(said, width, palette.style("warning"))
    return lines
