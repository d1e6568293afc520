"""Reading the studies of a comparison and computing it, in a thread that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from threading import Event, Thread
from typing import TYPE_CHECKING

from headtorch.core.errors import HeadtorchError, InputError, Interrupted
from headtorch.core.watch import Watch

if TYPE_CHECKING:
    from headtorch.core.study.side_by_side import SideBySide


class Loading(Watch):
    """Tells how far the work is, and stops it when asked. All three callbacks are called from the thread."""

    def __init__(
        self,
        on_progress: Callable[[str], object],
        on_done: Callable[[SideBySide, list[str]], object],
        on_failure: Callable[[HeadtorchError], object],
    ) -> None:
        self._on_progress, self._on_done, self._on_failure = on_progress, on_done, on_failure
        self._stop = Event()

    def start(self, studies: Sequence[str]) -> None:
        """Begin; returns at once."""
        Thread(target=self._run, args=(list(studies),), daemon=True, name="compare").start()

    def stop(self) -> None:
        """Nothing is called any more; the thread ends after the study that it reads."""
        self._stop.set()

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        """Pass it on as a sentence."""
        doing = "Reading" if unit == "studies" else "Comparing"
        self._tell(lambda: self._on_progress(f"{doing} {PurePath(stage).name} …  {done + 1} of {total}"))

    def checkpoint(self) -> None:
        """Stop here where the user has left."""
        if self._stop.is_set():
            raise Interrupted("The comparison was left.")

    def _run(self, names: list[str]) -> None:
        try:
            from headtorch.core.study.side_by_side import (
                compare_studies,
                open_studies,
            )  # scipy: not on the screen's time

            studies = open_studies(names, self)
            found = compare_studies(studies, self)
        except Interrupted:
            return
        except HeadtorchError as error:
            failure: HeadtorchError = error
            self._tell(lambda: self._on_failure(failure))
        except Exception as error:  # said in a sentence: a thread's traceback would land on the screen
            wrong = InputError(f"The studies cannot be compared: {error or type(error).__name__}.")
            self._tell(lambda: self._on_failure(wrong))
        else:
            folders = [str(study.folder) for study in studies]
            self._tell(lambda: self._on_done(found, folders))

    def _tell(self, say: Callable[[], object]) -> None:
        if not self._stop.is_set():
            say()
