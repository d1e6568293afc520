"""What can be written to files, in which formats, about which neurons, and where to: without a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from headtorch.core.watch import Watch


@dataclass(frozen=True)
class Offer:
    """A format, what it is for, and why it cannot be had."""

    name: str
    about: str
    problem: str = ""


@dataclass(frozen=True)
class About:
    """A choice of neurons: as the command line writes it, and as a reader does."""

    value: str
    name: str


@dataclass
class Chosen:
    """What was chosen last, for this session of the program."""

    formats: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by what is exported
    about: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)  # by the folder offered, where the user wrote another
    compared: list[str] = field(default_factory=list)  # folders of the studies put side by side last

    @classmethod
    def of(cls, app: Any) -> Chosen:
        """The application's; a new one for an application without."""
        return getattr(app, "chosen_exports", None) or cls()


@dataclass(frozen=True)
class Export:
    """Something to write. `write` gets formats, a choice of neurons and a folder, and runs in a thread.

    folder: the folder offered for a choice of neurons
    usual: the formats chosen at first
    """

    what: str
    title: str
    offers: Sequence[Offer]
    usual: Sequence[str]
    about: Sequence[About]
    folder: Callable[[str], Path]
    write: Callable[[Sequence[str], str, Path, Watch], list[Path]]


class Writing(Watch):
    """Tells what is being made, and stops between two formats when asked."""

    def __init__(self, on_progress: Callable[[str, int, int], object], stopped: Callable[[], Exception]) -> None:
        self._on_progress, self._stopped = on_progress, stopped
        self._stop = Event()

    def stop(self) -> None:
        """End at the next checkpoint."""
        self._stop.set()

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        """Pass it on."""
        self._on_progress(stage, done, total)

    def checkpoint(self) -> None:
        """Stop where that was asked for."""
        if self._stop.is_set():
            raise self._stopped()
