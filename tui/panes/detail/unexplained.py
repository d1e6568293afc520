"""Why there is nothing to show about a head, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import AblateHead, ExplainHead, ShadePrompts
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
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


def why_unexplained(session: Session, neuron: NeuronId, head: HeadId) -> str:
    """One or two sentences on a head that has no explanation."""
    if reason := nothing_yet(session, neuron, head):
        return reason
    event, key = session.state.activity.get(neuron), session.key("workbench.explain")
    if event is None:
        return "On which prompts the head is active is not decided yet."
    labels = labels_of(session, neuron, head)
    if labels is None:
        return (
            f"Not explained. Of {event.eligible} heads {event.never_active} are never active, {event.always_active} "
            f"nearly always, and {event.explainable} have a contrast. {key} explains this one."
        )
    active, count = labels.share_explaining()
    share = f"{active} of the {count} prompts to explain from"
    if not any(labels.active):
        return "Never active on this neuron's prompts: it stays within its range on random text. Nothing to explain."
    if count and active > HIGH * count and not any(prompt.bin is not None for prompt in labels.prompts):
        return f"Active on {share}: too nearly always for a contrast. {key} explains it all the same."
    if count and active < LOW * count:
        return f"Active on only {share}: too rarely to learn from. {key} explains it all the same."
    return f"Active on {share}. Not explained yet: {key} does it."
