"""A study that is only looked at: another process writes it, or the user wants no engine. Why, and until when."""

from __future__ import annotations

from headtorch.core.study.tour import is_tour
from headtorch.tui.session import Session
from headtorch.tui.topics import EVERYTHING, Topic

WANTED = "it was opened with --read-only."
TOUR = "this is the tour, a recorded study without its model; headtorch alone studies one."
WAS_WRITTEN = "another headtorch wrote it until now."


def why_read_only(session: Session, wanted: bool, own: int | None = None) -> str | None:
    """The end of a sentence; None where the study can be worked on. `own` is the process of this program's engine."""
    if is_the_tour(session):
        return TOUR
    writer = session.study.writer if session.study is not None else None
    if wanted:
        return WANTED
    return f"another headtorch writes it ({writer})." if writer and writer != f"process {own}" else None


def is_the_tour(session: Session) -> bool:
    """Whether the recorded study that ships with headtorch is shown."""
    return session.study is not None and is_tour(session.study.folder)


def look_again(session: Session) -> frozenset[Topic]:
    """Take in what another process has logged, and notice its end. Raises StudyError for a damaged log."""
    topics = session.follow()
    now = session.read_only if session.read_only in (WANTED, TOUR) else why_read_only(session, False) or WAS_WRITTEN
    if now != session.read_only:
        session.read_only, topics = now, EVERYTHING
    return topics


def read_only_line(session: Session) -> str | None:
    """What stands above the keys, and why something is refused."""
    if session.read_only == WAS_WRITTEN:
        return f"read-only: {WAS_WRITTEN} {session.key('workbench.restart-engine')} opens it to work on."
    return f"read-only: {session.read_only}" if session.read_only else None
