"""Why something cannot be done now, in a sentence that says what to do; None where nothing speaks against it."""

from __future__ import annotations

from headtorch.core.engine.protocol import OpenStudy, Request
from headtorch.tui.feeding import why_not
from headtorch.tui.read_only import read_only_line
from headtorch.tui.session import Session


def no_neuron(session: Session) -> str | None:
    """Nothing is selected."""
    return "Select a neuron first." if session.selection.neuron is None else None


def no_head(session: Session) -> str | None:
    """No head is selected, or one that cannot feed the neuron."""
    neuron, head, facts = session.selection.neuron, session.selection.head, session.state.model
    if neuron is None or head is None:
        return f"Select a head first: {session.key('workbench.pane-3')} leads to the heads."
    return (why_not(facts, head, neuron) or None) if facts is not None else None


def no_study(session: Session) -> str | None:
    """Nothing is on the disk yet."""
    return "There is no study yet." if session.study is None else None


def no_engine(session: Session, *, dead: bool) -> str | None:
    """The engine has ended, is loading, or does not have the study; or the study is only looked at."""
    again = session.key("workbench.restart-engine")
    if session.read_only:
        return read_only_line(session)
    if dead:
        return f"The engine is not running; {again} starts it again."
    if not session.ready and session.requests.is_waiting(OpenStudy):
        return "The engine is still loading the model; a moment."
    if not session.ready:
        return f"The study is not open; {again} tries again, {session.key('workbench.pick')} picks another."
    return None


def busy(session: Session, kind: type[Request]) -> str | None:
    """The same is being worked on."""
    if not session.requests.is_waiting(kind):
        return None
    return f"That is being worked on already; {session.key('workbench.stop')} stops it."
