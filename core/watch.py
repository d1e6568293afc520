"""How long work talks to whoever waits for it: one small object, passed down, that knows no screen."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class Watch:
    """Told between batches how far the work is, and asked whether to go on. This one listens to nobody.

    Front ends subclass it; analysis calls both methods at least every 250 ms of interactive work.
    """

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        """`done` of `total` `unit`s of `stage` are finished. Units are real work done, never time.

        `total` is 0 where nobody can know it yet.
        """

    def note(self, text: str, *, minor: bool = False) -> None:
        """A sentence that the user should see, beside the progress; a minor one where somebody looks on."""

    def checkpoint(self) -> None:
        """Return to go on; raise `Interrupted` to stop here with everything kept."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Entered around all the work of a stage, for whoever measures it; stages may lie within one another."""
        return nullcontext()

    def waiting(self) -> None:
        """As `checkpoint`, while the work waits for somebody else with nothing half done: other work may go first."""
        self.checkpoint()


class PartOf(Watch):
    """For work within other work: asks the outer watch, and tells it no progress."""

    def __init__(self, outer: Watch) -> None:
        self._outer = outer

    def checkpoint(self) -> None:
        self._outer.checkpoint()

    def waiting(self) -> None:
        self._outer.waiting()


SILENT = Watch()
