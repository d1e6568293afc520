"""What is shown while a request runs: how far it is and what the device does, at a pace that a terminal can take."""

from __future__ import annotations

import time
from collections.abc import Callable

from headtorch.core.events import AnyEvent, Progress

PROGRESS_SECONDS = 0.1  # between two messages about one stage
RATE_SECONDS = 0.5  # of work before its rate is told


class Pace:
    """Turns reports of progress into events: at most ten a second for each stage, the last of them never lost.

    The rate is that of the work done since the stage was first heard of (a resumed scan starts in the middle), so that
    time spent on other requests counts; until half a second of work it is None.
    """

    def __init__(self, tell: Callable[[AnyEvent], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._began: dict[str, tuple[float, int]] = {}  # when, and how much was done then
        self._told: dict[str, float] = {}
        self._held: dict[str, Progress] = {}

    def report(self, stage: str, done: int, total: int, unit: str) -> None:
        """Hear of progress; told now or later."""
        now = self._clock()
        began, first = self._began.get(stage, (now, done))
        if stage not in self._began or done < first:
            self._began[stage] = began, first = now, done
        rate = (done - first) / (now - began) if done > first and now - began >= RATE_SECONDS else None
        left = (total - done) / rate if rate and total else None
        self._held[stage] = Progress(stage=stage, done=done, total=total, unit=unit, rate=rate, seconds_left=left)
        self.tell_due()

    def tell_due(self, all_of_it: bool = False) -> None:
        """Tell what was held back, as far as it is time for it."""
        now = self._clock()
        for stage in [*self._held]:
            if all_of_it or now - self._told.get(stage, -PROGRESS_SECONDS) >= PROGRESS_SECONDS:
                self._told[stage] = now
                self._tell(self._held.pop(stage))
