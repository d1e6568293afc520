"""Notes and bookmarks on what is selected: what a note is about, and both on the disk at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.errors import HeadtorchError
from headtorch.core.study.notes import NoteBook, subject_of
from headtorch.tui.topics import Topic

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def present_subject(session: Session) -> str:
    """What a note is about now: the study, a neuron, or a head of it once the heads were entered."""
    head = session.selection.head if session.selection.deepest >= 3 else None
    return subject_of(session.selection.neuron, head)


def write_note(session: Session, about: str, text: str) -> frozenset[Topic]:
    """Save a note at once; returns what changed. Raises StorageError where that cannot be."""
    if session.study is not None:
        session.study.notes.write(about, text)
        session.notes = read_notes(session)
    return frozenset({"detail"})


def toggle_bookmark(session: Session) -> frozenset[Topic]:
    """Set or take away the bookmark of the selected neuron; returns what changed. Raises StorageError."""
    if session.study is not None and session.selection.neuron is not None:
        about = subject_of(session.selection.neuron)
        session.study.notes.bookmark(about, about not in session.notes.bookmarks)
        session.notes = read_notes(session)
    return frozenset({"neurons"})


def read_notes(session: Session) -> NoteBook:
    """The study's notes as they are on the disk; where they cannot be read, that is said."""
    if session.study is None:
        return NoteBook()
    try:
        return session.study.notes.read()
    except HeadtorchError as error:
        session.on_notice(str(error), True)
        return NoteBook()
