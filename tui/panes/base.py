"""What every pane of the workbench shares."""

from __future__ import annotations

from typing import Protocol

from headtorch.tui.session import Session
from headtorch.tui.topics import Topic


class Pane(Protocol):
    """A numbered part of the workbench. `show` is called when one of its topics changed; it reads, never asks."""

    number: int
    topics: frozenset[Topic]
    help: str  # what its columns, marks and abbreviations mean, in plain sentences

    def show(self, session: Session) -> None:
        """Draw what the session holds now; quick, and the same again where nothing changed."""
        ...

    def copy_text(self) -> str:
        """What `copy` puts on the clipboard."""
        ...
