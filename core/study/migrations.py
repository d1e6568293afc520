"""Logs of older schemas, brought to the present one as they are read. What is on the disk stays as it was written.

Fields that have a default and new events need no new schema. What else changes gets a number and a step here: the step
takes a line as its schema wrote it and returns it as the next one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headtorch.core.settings import Settings

SCHEMA = 2
Line = dict[str, Any]
Step = Callable[[Line, Settings | None], Line]


def needs_migration(kind: str, schema: int) -> bool:
    """Whether an event of this type reads otherwise than it did in `schema`."""
    return any(kind in _STEPS[number] for number in range(schema, SCHEMA))


def migrated(line: Line, schema: int, settings: Settings | None) -> Line:
    """A line of `schema` as the present one writes it; `settings` are those that the log began with."""
    for number in range(schema, SCHEMA):
        step = _STEPS[number].get(line["type"])
        line = line if step is None else step(line, settings)
    return line


def migrated_settings(settings: Line, schema: int) -> Line:
    """The same for the settings in study.json."""
    return dict(migrated({"type": "StudyOpened", "settings": settings}, schema, None)["settings"])


def _judged_by_direct(line: Line, settings: Settings | None) -> Line:
    # The attribution "removal" could be asked for and was never used: heads were judged by the direct one.
    asked = line["settings"]
    if asked.get("attribution") != "removal":
        return line
    return line | {"settings": asked | {"attribution": "direct"}}


def _names_explainer(line: Line, settings: Settings | None) -> Line:
    # There was one explainer in a study, and its adjusted p values did not say whose they are.
    if line.get("explainer") is not None:
        return line
    return line | {"explainer": (settings or Settings()).explainer_name}


_STEPS: Mapping[int, Mapping[str, Step]] = {
    1: {"StudyOpened": _judged_by_direct, "ScoresAdjusted": _names_explainer},
}


def as_line(data: bytes) -> Line:
    """A line of JSON as a dictionary. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(data, type=Line)
