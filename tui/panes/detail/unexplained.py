"""Why there is nothing to show about a head, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import AblateHead, ExplainHead, ShadePrompts
from headtorch.core.format import count
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.claims import is_driven_by_last_token
from headtorch.tui.feeding import why_not
from headtorch.tui.panes.detail.labels import labels_of

if TYPE_CHECKING:
    from headtorch.tui.session import Session

LOW, HIGH = 0.25, 0.75  # of the explaining half: between them a head has a contrast to explain


def is_working(session: Session, kind: type[ExplainHead | AblateHead], neuron: NeuronId, head: HeadId) -> bool:
    """Whether the engine is explaining, or ablating, this head."""
    return any(
        isinstance(request, kind) and request.neuron == neuron and request.head == head
        for request in session.requests.waiting.values()
    )


def failure(
    session: Session, kind: type[ExplainHead | AblateHead | ShadePrompts], neuron: NeuronId, head: HeadId
) -> str:
    """What the engine said when it last failed at this; empty where it did not."""
    said = [
        text
        for request, text in session.requests.failed
        if isinstance(request, kind) and request.neuron == neuron and request.head == head
    ]
    return visible(said[-1]) if said else ""


def nothing_yet(session: Session, neuron: NeuronId, head: HeadId) -> str:
    """Why nothing can be said about the head at all; empty where something can."""
    state = session.state
    if state.model is not None and (reason := why_not(state.model, head, neuron)):
        return reason
    if neuron in state.attributed:
        return ""
    if neuron in state.prompts and not state.prompts[neuron]:
        return f"{neuron} never fires on this corpus, so there is nothing to say about its heads."
    stages = ", ".join(dict.fromkeys(stage for stage, _ in state.running))
    return f"The heads of {neuron} are not attributed yet" + (f"; now running: {visible(stages)}." if stages else ".")


def unlabelled(session: Session, neuron: NeuronId, head: HeadId) -> str:
    """Why nobody says where the head is active."""
    if session.state.activity_of(neuron, head) is not None:
        return "On which firing places the head is active cannot be read: their artefact is missing."
    return why_not_chosen(session, neuron, head) or "On which prompts the head is active is not decided yet."


def why_not_chosen(session: Session, neuron: NeuronId, head: HeadId) -> str:
    """Why no claim can be about the head; empty where one can, or that is not decided yet."""
    if is_driven_by_last_token(session, neuron):
        return f"The heads of {neuron} are not explained: it is driven by its last token."
    event = session.state.claim_heads.get(neuron)
    if event is None:
        return ""
    chosen = next((one for one in event.heads if one.head == head), None)
    if chosen is None:
        return f"{head} is not among the {count(len(event.heads), 'head')} chosen by effect: no claim is about it."
    if chosen.not_explained is not None:
        return f"{head} is not explained: {visible(chosen.not_explained)} to tell its places apart."
    return ""


def why_unexplained(session: Session, neuron: NeuronId, head: HeadId) -> str:
    """One or two sentences on a head that has no explanation."""
    if reason := nothing_yet(session, neuron, head):
        return reason
    event, key = session.state.activity.get(neuron), session.key("workbench.explain")
    if reason := why_not_chosen(session, neuron, head):
        return f"{reason} {key} explains it all the same."
    if event is None:
        return "On which prompts the head is active is not decided yet."
    labels = labels_of(session, neuron, head)
    if labels is None:
        return (
            f"Not explained. Of {event.eligible} heads {event.never_active} are never active, {event.always_active} "
            f"nearly always, and {event.explainable} have a contrast. {key} explains this one."
        )
    active, number = labels.share_explaining()
    share = f"{active} of the {number} {'training places' if labels.firing else 'prompts to explain from'}"
    if not any(labels.active):
        return "Never active on this neuron's prompts: it stays within its range on random text. Nothing to explain."
    if number and active > HIGH * number and not any(prompt.bin is not None for prompt in labels.prompts):
        return f"Active on {share}: too nearly always for a contrast. {key} explains it all the same."
    if number and active < LOW * number:
        return f"Active on only {share}: too rarely to learn from. {key} explains it all the same."
    return f"Active on {share}. Not explained yet: {key} does it."
