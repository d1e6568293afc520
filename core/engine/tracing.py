"""Traces of torch's profiler, of a bounded part of each stage."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.profiler import profile

TRACED_SECONDS = 1.0  # of a stage, from its first word of progress: a trace of all would be gigabytes


class Tracer:
    """Writes trace-STAGE.json.gz, in Chrome's format, for the first second of work of every stage.

    `look` is called wherever the work can be looked at; a trace begins and ends only there, so between two batches.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it writes to standard error when a trace begins and ends
        self.folder = folder
        self.files: list[Path] = []
        self._stages: set[str] = set()  # that have had their trace
        self._stage = ""
        self._profile: profile | None = None
        self._until = 0.0

    def look(self, stage: str) -> None:
        """Begin the trace of a stage that has none yet; end the one under way when its time is over."""
        if self._profile is not None and (stage != self._stage or time.perf_counter() >= self._until):
            self.stop()
        if self._profile is None and stage not in self._stages:
            self._start(stage)

    def stop(self) -> None:
        """End the trace under way and write it."""
        if self._profile is None:
            return
        running, self._profile = self._profile, None
        running.stop()
        path = self.folder / f"trace-{re.sub(r'[^a-z0-9]+', '-', self._stage.lower())}.json.gz"
        running.export_chrome_trace(str(path))
        self.files.append(path)

    def _start(self, stage: str) -> None:
        import torch
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CPU]
        cuda: Any = torch.cuda  # not typed
        if cuda.is_initialized():
            activities.append(ProfilerActivity.CUDA)
        self._stages.add(stage)
        self._stage = stage
        self._profile = profile(activities=activities)
        self._profile.start()
        self._until = time.perf_counter() + TRACED_SECONDS
